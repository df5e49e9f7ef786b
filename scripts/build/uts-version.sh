#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# uts-version.sh IMAGE TREE - writes the build that IMAGE calls itself (`uname -v`) into the prepared source TREE, as the
# kernel's own build does. The module refuses to load into another build.
. "$(dirname "$0")/../common.sh"

image=$1 tree=$2
case $ARCH in
amd64)
	# Documentation/arch/x86/boot.rst: at 0x20e is the offset, less 0x200, of "RELEASE (BUILDER) #NUMBER ... TIME".
	at=$(od -An -tu2 -j 526 -N 2 "$image")
	name=$(tail -c "+$((at + 513))" "$image" | head -c 512 | tr '\0' '\n' | head -n 1)
	;;
arm64)
	# Not compressed: init/version-timestamp.c has it.
	name=$(tr '\0' '\n' <"$image" | grep -a -m 1 '^Linux version [0-9].* #[0-9]')
	;;
esac
version=$(echo "$name" | sed -n 's/^[^#]*\(#.*\)$/\1/p')
[ -n "$version" ] || die "$image does not have the name of its build"
printf '#define UTS_VERSION "%s"\n' "$version" >"$tree/include/generated/utsversion.h"
