#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# debug-kernel.sh ROOT KIND - builds a kernel with debug options (userspace-test/kernels/KIND.config), from the source of
# the stock kernel. Prints the path of the result, which has the layout of scripts/build/kernel.sh.
#
# An interrupted build continues.
. "$(dirname "$0")/../common.sh"

root=$1 kind=$2
[ "$ARCH" = amd64 ] || die "its configuration is for amd64, not $ARCH"
stock=$(DMNS_KERNEL='' "$PROJECT/scripts/build/kernel.sh" "$root")
fragments="$PROJECT/userspace-test/kernels/common.config $PROJECT/userspace-test/kernels/$kind.config"
# Not of this script: a change here is no reason to build for half an hour.
key=$(hash $fragments "$stock/package")
kernel=$CACHE/kernel/$(basename "$root")-$kind-$key
if [ -e "$kernel/release" ]; then
	result "$kernel"
	exit
fi

hostcc=$(cat "$stock/cc") cc=$hostcc
[ "$kind" != kasan ] || cc=clang-19
in_root() { "$PROJECT/scripts/in-root.sh" "$root" "$@"; }

if [ ! -e "$kernel/config" ]; then
	as_root rm -rf "$kernel"
	mkdir -p "$kernel"
	cp -a --reflink=auto "$stock/build" "$kernel/build"
	# The name differs with the configuration, so that no guest gets the modules of another kernel.
	in_root sh -eu -c '
		kernel=$0 cc=$1 hostcc=$2 name=$3
		shift 3
		cd "$kernel/build"
		build() { make -s CC="$cc" HOSTCC="$hostcc" "$@"; }
		build mrproper
		rm -f vmlinux
		echo "-$name" >localversion
		build x86_64_defconfig kvm_guest.config
		CC="$cc" HOSTCC="$hostcc" scripts/kconfig/merge_config.sh -m .config "$@" >/dev/null
		build olddefconfig

		# A detector that a fragment asks for and that does not come would be missed by nobody.
		refused=$(sed -n "/^CONFIG_/p" "$@" | while read -r wanted; do
			grep -qxF -e "$wanted" -e "${wanted%%=*}=y" .config || echo "$wanted"
		done)
		[ -z "$refused" ] || { echo "the configuration does not take $refused"; exit 1; }
		cp .config "$kernel/config"
	' "$kernel" "$cc" "$hostcc" "$kind-$key" $fragments
fi

say "building the $kind kernel of $(cat "$stock/package") with $cc: some 25 minutes on two processors"
in_root sh -eu -c '
	kernel=$0 cc=$1 hostcc=$2
	cd "$kernel/build"
	make CC="$cc" HOSTCC="$hostcc" -j"$(nproc)" bzImage modules
	make -s CC="$cc" HOSTCC="$hostcc" modules_install INSTALL_MOD_PATH="$kernel/modules" INSTALL_MOD_STRIP=1
	release=$(cat include/config/kernel.release)
	rm -f "$kernel/modules/lib/modules/$release/build"
	depmod -b "$kernel/modules" "$release"
	cp arch/x86/boot/bzImage "$kernel/vmlinuz"
	# Objects are most of the size, and no module needs them.
	find . \( -name "*.o" -o -name "*.a" \) ! -path "./scripts/*" ! -path "./tools/*" -delete
' "$kernel" "$cc" "$hostcc"

echo "$cc" >"$kernel/cc"
cp "$stock/package" "$kernel/package"
cp "$kernel/build/include/config/kernel.release" "$kernel/release"
result "$kernel"
