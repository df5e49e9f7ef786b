#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# lint.sh - rustfmt and clippy: for user space with the oldest Rust that the workspace promises
# (Debian's, in the build root), for the module with the kernel's own rules.
. "$(dirname "$0")/common.sh"

# `make test` prepares the guest meanwhile, under the same lock.
mkdir -p "$CACHE"
exec 8>"$CACHE/lock"
flock 8
root=$("$PROJECT/scripts/build/build-root.sh")
kernel=$("$PROJECT/scripts/build/kernel.sh" "$root")
exec 8>&-
cd "$PROJECT"

promised=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
case $("$PROJECT/scripts/in-root.sh" "$root" rustc --version) in
"rustc $promised."*) ;;
*) die "Cargo.toml promises Rust $promised, the build root has another: the promise is not checked" ;;
esac
say "rustfmt, clippy: user space, with Rust $promised"
DMNS_CARGO=root scripts/cargo.sh fmt --all --check
DMNS_CARGO=root scripts/cargo.sh clippy --quiet --locked --workspace --all-targets -- -D warnings
DMNS_CARGO=root scripts/test/fuzz.sh --check

say "rustfmt, clippy: module, with the kernel's rules"
for file in kmod/*.rs kmod/*/*.rs; do
	[ "$file" != kmod/bindings_generated.rs ] || continue
	# From standard input, so that it does not follow `mod` into uapi/, which has cargo's style. --check would end with 0.
	scripts/in-root.sh "$root" rustfmt --edition 2021 --config-path "$kernel/build/.rustfmt.toml" <"$file" |
		diff -u "$file" - ||
		die "$file is not formatted"
done
scripts/build/module.sh "$root" "$kernel" CLIPPY=1 KRUSTFLAGS=-Dwarnings >"$CACHE/clippy.log" 2>&1 || {
	cat "$CACHE/clippy.log"
	die "clippy is not content with kmod/"
}
