#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Makes the root that the Debian packages are built and checked in. Prints its path.
. "$(dirname "$0")/../common.sh"

# What debian/control names in Build-Depends, and the tools that build and judge packages.
PACKAGES="build-essential cargo debhelper dh-dkms help2man lintian rustc bash-completion
	ca-certificates xz-utils"

if [ "$ARCH" != amd64 ]; then
	ARCHITECTURES=amd64,$ARCH
	PACKAGES="$PACKAGES crossbuild-essential-$ARCH libstd-rust-dev:$ARCH libc6-dev:$ARCH"
fi

make_root packaging "$PACKAGES"
