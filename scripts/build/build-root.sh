#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Makes the build root: a Debian with the toolchain that its kernels were built with. Prints its path.
. "$(dirname "$0")/../common.sh"

# The kernel's build (its Makefiles, objtool, resolve_btfids, pahole for BTF; without pahole the
# configuration would differ from Debian's), Rust for the module and for user space, the guest's image.
PACKAGES="make gcc-14 gcc libc6-dev flex bison bc perl-base python3-minimal xz-utils kmod
	libelf-dev libssl-dev pahole rustc cargo rust-src rust-clippy rustfmt bindgen clang-19
	ca-certificates erofs-utils"

# For arm64 this is a cross compiler, which says the same of itself as the one that Debian's kernel was built with.
if [ "$ARCH" != amd64 ]; then
	ARCHITECTURES=amd64,$ARCH
	# The kernel has a vDSO for 32-bit programs too.
	PACKAGES="$PACKAGES gcc-14-aarch64-linux-gnu libc6-dev-arm64-cross libstd-rust-dev:arm64 gcc-14-arm-linux-gnueabihf"
fi

make_root "$SUITE" "$PACKAGES"
