#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# cargo.sh ARGUMENT... - cargo for the user-space crates: this machine's own if it is new enough and can
# link a static program, else Debian's, from the build root. What it builds goes to the cache.
. "$(dirname "$0")/common.sh"

# The guest's first process is one of these programs, so they are static.
export CARGO_BUILD_TARGET=x86_64-unknown-linux-gnu
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"

own_is_usable() {
	needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$PROJECT/Cargo.toml")
	have=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
	[ -n "$have" ] && cargo --version >/dev/null 2>&1 &&
		printf '%s\n' "$needed" "$have" | sort -CV &&
		[ -e "$(cc -print-file-name=libc.a 2>/dev/null)" ]
}

if [ "${DMNS_CARGO:-}" != root ] && own_is_usable; then
	export CARGO_TARGET_DIR="$CACHE/target/own"
	exec cargo "$@" >&3
fi
[ "${DMNS_CARGO:-}" = root ] ||
	say "no Rust $needed or no static C library here: taking Debian's from the build root"
root=$("$PROJECT/scripts/build-root.sh")
exec "$PROJECT/scripts/in-root.sh" "$root" \
	env CARGO_HOME="$CACHE/cargo" CARGO_TARGET_DIR="$CACHE/target/root" \
	CARGO_BUILD_TARGET="$CARGO_BUILD_TARGET" \
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="$CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS" \
	cargo "$@" >&3
