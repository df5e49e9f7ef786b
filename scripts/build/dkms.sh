#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# dkms.sh [--check] RELEASE [HEADERS] - what DKMS calls in a copy of the module's source: builds kmod/dmns_audit.ko for the
# kernel RELEASE. --check builds nothing. Where something is missing, it prints all that is, and the apt command that brings
# it, and ends with 1. It ends with 3 if this kernel can never have the module.
#
# Debian's headers have no rust/, so the kernel's own source package is prepared, once for each kernel. Ubuntu's have it
# (linux-lib-rust), but not the headers that are private to the kernel's own code: these are taken from its source package.
# The result is kept in /var/lib/dmns-audit (DMNS_KERNELS) as long as the kernel is installed.

# Maintainer scripts may run without.
export HOME="${HOME:-/root}"
. "$(dirname "$0")/../common.sh"

check=
if [ "$1" = --check ]; then
	check=yes
	shift
fi
[ $# -gt 0 ] || die "which kernel? dkms.sh [--check] RELEASE [HEADERS]"
release=$1 headers=${2:-/lib/modules/$1/build}
kept=${DMNS_KERNELS:-/var/lib/dmns-audit/kernel}
series=$(echo "$release" | cut -d. -f1,2)
if [ ! -e "$headers/rust/libkernel.rmeta" ]; then
	layout=debian top=linux-source-$series
elif [ -e "$headers/kernel/audit.h" ]; then
	layout=whole top=
else
	layout=ubuntu top=linux-source-${release%%-*}
fi
tarball=${DMNS_SOURCE:-$(ls "/usr/src/$top.tar."* "/usr/src/$top/$top.tar."* 2>/dev/null | head -n 1)}

# installed PACKAGE - its version.
installed() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true; }

# suite PACKAGE BEGIN - the suite on offer with a version of PACKAGE that begins so.
suite() {
	apt-cache madison "$1" 2>/dev/null | awk -F ' *[|] *' -v begin="$2" \
		'index($2, begin) == 1 { split($3, place, " "); sub("/.*", "", place[2]); print place[2]; exit }'
}

# candidate PACKAGE - the version that apt would install.
candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p'; }

# lacks REASON PACKAGE... - notes what is missing, and the packages that bring it.
reasons='' packages=''
lacks() {
	reasons="$reasons
  $1"
	shift
	for package in "$@"; do
		case " $packages " in *" $package "*) ;; *) packages="$packages $package" ;; esac
	done
}
need() { command -v "$1" >/dev/null || lacks "$1 is missing" "$2"; }

# need_file FILE PACKAGE LIBRARY - a package for development has the version of its library, also if that is of another suite.
need_file() {
	[ ! -e "$1" ] || return 0
	version=$(installed "$3")
	case $version in "" | "$(candidate "$2")") lacks "$1 is missing" "$2" ;; *) lacks "$1 is missing" "$2=$version" ;; esac
}

# refuse_if_lacking - ends where something is missing.
refuse_if_lacking() {
	[ -n "$reasons" ] || return 0
	say "dmns_audit for $release cannot be built yet:$reasons"
	[ -z "$packages" ] || say "what is missing comes with: apt install$packages"
	exit 1
}

printf '6.19\n%s\n' "$series" | sort -CV || exit 3
config=$headers/.config
if [ ! -e "$config" ]; then
	# The image has its configuration too. A kernel without Rust needs no headers.
	[ ! -e "/boot/config-$release" ] || grep -q '^CONFIG_RUST=y' "/boot/config-$release" || exit 3
	lacks "$headers has no .config: the headers are missing" "linux-headers-$release"
	refuse_if_lacking
fi
grep -q '^CONFIG_RUST=y' "$config" || exit 3
"$PROJECT/scripts/build/check-kdir.sh" "$headers" options

cc=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$config")
if grep -q '^CONFIG_CC_IS_CLANG=y' "$config"; then
	cc=clang-$(sed -n 's/^CONFIG_CLANG_VERSION=\([0-9]*\)[0-9]\{4\}$/\1/p' "$config")
fi
need "$cc" "${cc#*-linux-gnu-}"
# Source of other architectures is not unpacked. arm64 has parts of 32-bit arm, and a vDSO for its programs.
others='[!x]*'
if grep -q '^CONFIG_ARM64=y' "$config"; then
	others='[!a]*'
	ARCH=arm64
	export DMNS_ARCH=arm64
	! grep -q '^CONFIG_COMPAT_VDSO=y' "$config" ||
		need "arm-linux-gnueabihf-${cc#*-linux-gnu-}" "${cc#*-linux-gnu-}-arm-linux-gnueabihf"
fi
for tool in bc bindgen bison flex make openssl pahole perl python3 xz; do
	case $tool,$tarball in
	perl,*) need perl perl ;;
	xz,*.bz2) need bzip2 bzip2 ;;
	xz,*) need xz xz-utils ;;
	*) need $tool $tool ;;
	esac
done
need_file /usr/include/libelf.h libelf-dev libelf1t64
need_file /usr/include/openssl/ssl.h libssl-dev libssl3t64

# The compiler that built the kernel, which may be of another suite than the one that is installed.
built=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="rustc \([^ "]*\).*/\1/p' "$config")
have=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
if [ "$built" != "$have" ]; then
	suite=$(suite rustc "$built")
	if [ -n "$suite" ]; then
		lacks "rustc is ${have:-missing}, and $built built this kernel" "rustc/$suite" "libstd-rust-dev/$suite" "rust-src/$suite"
	else
		lacks "rustc is ${have:-missing}, $built built this kernel, and apt offers no rustc $built"
	fi
elif [ ! -e "$(rustc --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs" ]; then
	suite=$(suite rust-src "$built")
	lacks "the source of Rust's library is missing" "rust-src${suite:+/$suite}"
fi

# bindgen before 0.72.1 misreads structures with libclang 22 or newer, and takes the newest one.
if [ -z "${LIBCLANG_PATH:-}" ] && command -v bindgen >/dev/null &&
	! printf '0.72.1\n%s\n' "$(bindgen --version | cut -d ' ' -f 2)" | sort -CV; then
	for folder in $(ls -dv /usr/lib/llvm-*/lib 2>/dev/null); do
		number=$(basename "$(dirname "$folder")" | sed 's/^llvm-//')
		[ "$number" -ge 22 ] || ! ls "$folder" | grep -q '^libclang[-.][0-9]*[.]*so' || LIBCLANG_PATH=$folder
	done
	[ -n "${LIBCLANG_PATH:-}" ] || lacks "bindgen $(bindgen --version | cut -d ' ' -f 2) needs a libclang before 22" libclang1-19
	export LIBCLANG_PATH
fi

tree=$headers
if [ "$layout" != whole ]; then
	made=$kept/$release
	[ "$layout" = ubuntu ] || tree=$made
	image=$(readlink -e "/boot/vmlinuz-$release" || echo "/usr/lib/modules/$release/vmlinuz")
	package=$(installed "linux-headers-$release") source=$(installed "$top")
	made_of="$package $(rustc --version 2>/dev/null) $(hash "$0")"
	if [ "$(cat "$made/made-of" 2>/dev/null)" != "$made_of" ]; then
		if [ -n "${DMNS_SOURCE:-}" ]; then
			[ -e "$tarball" ] || lacks "$tarball is missing"
		elif [ ! -e "$tarball" ] || [ "$source" != "$package" ]; then
			lacks "the kernel's source${package:+ of version $package} is missing" "$top${package:+=$package}"
		fi
		mkdir -p "$kept"
		if [ "$layout" = debian ]; then
			# It has the name of the kernel's build, which the module asks for.
			[ -e "$image" ] || lacks "$image is missing" "linux-image-$release"
			free=$(df -P -k "$kept" | awk 'NR == 2 { print int($4 / 1024) }')
			[ "$free" -ge 1500 ] || lacks "$kept has $free MB free; the kernel's source needs 1500 MB"
		fi
	fi
fi
refuse_if_lacking
"$PROJECT/scripts/build/check-kdir.sh" "$headers" config
[ -z "$check" ] || exit 0

if [ "$layout" != whole ]; then
	exec 9>"$kept/lock"
	flock 9
	# Those of kernels that are gone.
	for old in "$kept"/*/; do
		name=$(basename "$old")
		[ ! -d "$old" ] || [ -d "/lib/modules/$name" ] || rm -rf "$old"
	done
	if [ "$(cat "$made/made-of" 2>/dev/null)" = "$made_of" ]; then
		:
	elif [ "$layout" = ubuntu ]; then
		# What the module includes of them.
		fresh "$made"
		tar -xf "$tarball" -C "$made.partial" --strip-components=1 "$top/fs/mount.h" "$top/kernel/audit.h"
		echo "$made_of" >"$made.partial/made-of"
		keep "$made"
	else
		say "preparing the source of $release${package:+ ($package)}: some two minutes, once"
		fresh "$tree"
		# What no module is built from is most of it. rust/helpers reads a header of drivers/base.
		tar -xJf "$tarball" -C "$tree.partial" --strip-components=1 --anchored --exclude="$top/Documentation/*.*" \
			--exclude="$top/drivers/*.c" --exclude="$top/drivers/[!b]*.h" --exclude="$top/sound/*.[ch]" \
			--exclude="$top/fs/*.c" --exclude="$top/net/*.c" --exclude="$top/tools/perf/*" \
			--exclude="$top/tools/testing/*" --exclude="$top/arch/$others/*.[chS]" --exclude="$top/arch/$others/*.dts*"
		cp "$headers/.config" "$headers/Module.symvers" "$tree.partial/"
		[ ! -e "$headers/vmlinux" ] || ln -s "$(readlink -f "$headers/vmlinux")" "$tree.partial/vmlinux"
		echo "$release" | sed 's/^[0-9.]*//' >"$tree.partial/localversion"
		make -s -C "$tree.partial" $(compiler_arguments "$cc") -j"$(nproc)" olddefconfig prepare modules_prepare
		diff -u "$headers/.config" "$tree.partial/.config" ||
			die "the tools here do not reproduce the configuration of $release: each option above has a tool or a version that is missing"
		[ "$(cat "$tree.partial/include/config/kernel.release")" = "$release" ] ||
			die "the prepared source calls itself $(cat "$tree.partial/include/config/kernel.release"), not $release"
		"$PROJECT/scripts/build/uts-version.sh" "$image" "$tree.partial"
		echo "$made_of" >"$tree.partial/made-of"
		keep "$tree"
	fi
fi
[ "$layout" != ubuntu ] || export DMNS_PRIVATE_HEADERS="$made"
make -C "$PROJECT/kmod" KDIR="$tree" $(compiler_arguments "$cc")
