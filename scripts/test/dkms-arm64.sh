#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# dkms-arm64.sh - what DKMS calls (scripts/build/dkms.sh) builds the module for Debian's arm64 kernel, here with the cross
# compilers of the build root, and the guest loads it. The packages for arm64 are built. With --native, DKMS does it in an
# arm64 guest, by its own compilers: one to two hours more.
. "$(dirname "$0")/../common.sh"

export DMNS_ARCH=arm64
root=$("$PROJECT/scripts/build/build-root.sh")
kernel=$("$PROJECT/scripts/build/kernel.sh" "$root")
release=$(cat "$kernel/release") series=$(cut -d. -f1,2 "$kernel/release")
work=$CACHE/dkms-arm64
fresh "$work"
work=$work.partial
mkdir "$work/headers" "$work/kept"
cp "$kernel/config" "$work/headers/.config"
cp "$kernel/build/Module.symvers" "$work/headers"
# A copy of what DKMS has: it is built there.
tar -C "$PROJECT" -c kmod uapi scripts | tar -C "$work" -x
"$PROJECT/scripts/in-root.sh" "$root" sh -eu -c '
	work=$1 kernel=$2 release=$3 series=$4
	cd "$work"
	apt-get -q -o APT::Sandbox::User=root download "linux-source-$series=$(cat "$kernel/package")"
	dpkg -x "linux-source-${series}"_*.deb source
	mkdir -p /boot "/lib/modules/$release"
	cp "$kernel/vmlinuz" "/boot/vmlinuz-$release"
	# As in a root of its own: neither the architecture of the guests nor a cache is known there.
	env -u DMNS_ARCH -u DMNS_CACHE DMNS_KERNELS="$work/kept" DMNS_SOURCE="$work/source/usr/src/linux-source-$series.tar.xz" \
		scripts/build/dkms.sh "$release" "$work/headers"
' sh "$work" "$kernel" "$release" "$series"
"$PROJECT/scripts/dmns-test.sh" --kernel "$kernel/vmlinuz" --modules "$kernel/modules" --module "$work/kmod/dmns_audit.ko" \
	run unshare-all integrity-hmac
as_root rm -rf "$work"
packages=$("$PROJECT/scripts/build/packages.sh")
if [ "${1:-}" = --native ]; then
	share=$CACHE/dkms-native
	as_root rm -rf "$share"
	mkdir "$share"
	cp "$kernel/vmlinuz" "$packages"/dmns-audit-dkms_*.deb "$share"
	"$PROJECT/scripts/in-root.sh" "$root" sh -eu -c '
		cd "$1"
		version=$2 release=$3 abi=${3%-arm64}
		apt-get -q -o APT::Sandbox::User=root download "linux-headers-$release:arm64=$version" \
			"linux-base-$release:arm64=$version" "linux-kbuild-$abi:arm64=$version" "linux-headers-$abi-common=$version" \
			"linux-source-$4=$version"
	' sh "$share" "$(cat "$kernel/package")" "$release" "$series"
	"$PROJECT/scripts/dmns-test.sh" --arch arm64 run --share "$share" dkms-native
	rm -rf "$share"
fi
say "arm64: DKMS's module is built and loaded; packages: $(ls "$packages"/*.deb | xargs -n 1 basename | tr '\n' ' ')"
