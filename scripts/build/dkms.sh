#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# dkms.sh RELEASE [HEADERS] - what DKMS calls in a copy of the module's source: builds kmod/dmns_audit.ko for the
# kernel RELEASE.
#
# Debian's headers have no rust/, so the kernel's own source package is prepared, once for each kernel. The result is
# kept in /var/lib/dmns-audit (DMNS_KERNELS) as long as the kernel is installed.

# Maintainer scripts may run without.
export HOME="${HOME:-/root}"
. "$(dirname "$0")/../common.sh"

release=$1 headers=${2:-/lib/modules/$1/build}
kept=${DMNS_KERNELS:-/var/lib/dmns-audit/kernel}
series=$(echo "$release" | cut -d. -f1,2)
tarball=${DMNS_SOURCE:-/usr/src/linux-source-$series.tar.xz}

# installed PACKAGE - its version.
installed() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true; }

# need COMMAND PACKAGE
need() { command -v "$1" >/dev/null || die "$1 is missing: apt-get install $2"; }

[ -e "$headers/.config" ] || die "$headers has no .config: apt-get install linux-headers-$release"
"$PROJECT/scripts/build/check-kdir.sh" "$headers" config
cc=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$headers/.config")
need "$cc" "$cc"
need rustc rustc
need bindgen bindgen
need pahole pahole
need openssl openssl
[ -e "$(rustc --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs" ] ||
	die "Rust's own source is missing: apt-get install rust-src"

if [ -e "$headers/rust/libkernel.rmeta" ]; then
	tree=$headers
else
	tree=$kept/$release
	package=$(installed "linux-headers-$release") source=$(installed "linux-source-$series")
	made_of="$package $(rustc --version) $(hash "$0")"
	mkdir -p "$kept"
	exec 9>"$kept/lock"
	flock 9
	# Those of kernels that are gone.
	for old in "$kept"/*/; do
		name=$(basename "$old")
		[ ! -d "$old" ] || [ -d "/lib/modules/$name" ] || rm -rf "$old"
	done
	if [ "$(cat "$tree/made-of" 2>/dev/null)" != "$made_of" ]; then
		[ -e "$tarball" ] || die "$tarball is missing: apt-get install linux-source-$series"
		[ -n "${DMNS_SOURCE:-}" ] || [ "$source" = "$package" ] ||
			die "linux-headers-$release is $package, but linux-source-$series is $source: apt-get install linux-source-$series=$package"
		free=$(df -P -k "$kept" | awk 'NR == 2 { print int($4 / 1024) }')
		[ "$free" -ge 1500 ] || die "$kept: 1500 MB are needed to prepare a kernel's source, $free MB are free"
		say "preparing the source of $release ($package): some two minutes, once"
		fresh "$tree"
		# What no module is built from is most of it. rust/helpers reads a header of drivers/base.
		top=linux-source-$series
		tar -xJf "$tarball" -C "$tree.partial" --strip-components=1 --anchored --exclude="$top/Documentation/*.*" \
			--exclude="$top/drivers/*.c" --exclude="$top/drivers/[!b]*.h" --exclude="$top/sound/*.[ch]" \
			--exclude="$top/fs/*.c" --exclude="$top/net/*.c" --exclude="$top/tools/perf/*" \
			--exclude="$top/tools/testing/*" --exclude="$top/arch/[!x]*/*.[chS]" --exclude="$top/arch/[!x]*/*.dts*"
		cp "$headers/.config" "$headers/Module.symvers" "$tree.partial/"
		[ ! -e "$headers/vmlinux" ] || ln -s "$(readlink -f "$headers/vmlinux")" "$tree.partial/vmlinux"
		echo "$release" | sed 's/^[0-9.]*//' >"$tree.partial/localversion"
		make -s -C "$tree.partial" CC="$cc" HOSTCC="$cc" -j"$(nproc)" olddefconfig prepare modules_prepare
		diff -u "$headers/.config" "$tree.partial/.config" ||
			die "the tools here do not reproduce the configuration of $release: each option above has a tool or a version that is missing"
		[ "$(cat "$tree.partial/include/config/kernel.release")" = "$release" ] ||
			die "the prepared source calls itself $(cat "$tree.partial/include/config/kernel.release"), not $release"
		"$PROJECT/scripts/build/uts-version.sh" "$(readlink -e "/boot/vmlinuz-$release" ||
			echo "/usr/lib/modules/$release/vmlinuz")" "$tree.partial"
		echo "$made_of" >"$tree.partial/made-of"
		keep "$tree"
	fi
fi
make -C "$PROJECT/kmod" KDIR="$tree" CC="$cc" HOSTCC="$cc"
