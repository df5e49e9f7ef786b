#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# cargo.sh ARGUMENT... - cargo for the user-space crates, with the toolchain that common.sh finds. What it
# builds goes to the cache.
. "$(dirname "$0")/common.sh"

target=$(target_dir)
if [ ! -d "$target" ]; then
	# Checkouts come and go; the last few are enough.
	prune "$CACHE/target" 4
fi
# The guest's first process is one of these programs, so they are static.
set -- env CARGO_TARGET_DIR="$target" \
	CARGO_BUILD_TARGET=x86_64-unknown-linux-gnu \
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static" \
	cargo "$@"
case $(toolchain) in
own) exec "$@" >&3 ;;
root)
	[ "${DMNS_CARGO:-}" = root ] ||
		say "no Rust that is new enough, or no static C library, here: taking Debian's from the build root"
	root=$("$PROJECT/scripts/build/build-root.sh")
	exec "$PROJECT/scripts/in-root.sh" "$root" env CARGO_HOME="$CACHE/cargo" "$@" >&3
	;;
esac
