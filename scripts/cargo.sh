#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# cargo.sh ARGUMENT... - cargo for the user-space crates, with the toolchain that common.sh finds. What it
# builds goes to the cache. DMNS_ARCH=arm64 builds for that, with the cross compiler of the build root.
. "$(dirname "$0")/common.sh"

target=$(target_dir)
if [ ! -d "$target" ]; then
	# Checkouts come and go; the last few are enough.
	prune "$CACHE/target" 4
fi
# The guest's first process is one of these programs, so they are static.
set -- env CARGO_TARGET_DIR="$target" \
	CARGO_BUILD_TARGET="$(triple)" \
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static" \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static" \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc-14 \
	CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc-14 \
	cargo "$@"
case $(toolchain) in
own) exec "$@" >&3 ;;
root)
	[ "${DMNS_CARGO:-}" = root ] || [ "$ARCH" != amd64 ] ||
		say "no Rust that is new enough, or no static C library, here: taking Debian's from the build root"
	root=$("$PROJECT/scripts/build/build-root.sh")
	exec "$PROJECT/scripts/in-root.sh" "$root" env CARGO_HOME="$CACHE/cargo" "$@" >&3
	;;
esac
