#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# guest.sh ROOT [IMAGE [PACKAGE...]] - makes a guest's disk: a Debian with the real tools and no kernel, as a read-only
# EROFS image. Prints its path. IMAGE is what a scenario calls it (`image = "libvirt"`), "" the usual one, PACKAGE... what
# it adds (`packages = [...]`).
. "$(dirname "$0")/../common.sh"

root=$1 name=${2:-}
[ "$ARCH" = amd64 ] || exec "$PROJECT/scripts/build/guest-$ARCH.sh" "$@" >&3
[ $# -lt 2 ] || shift
shift

# What the scenarios call. bpftrace is there to hold a function that the module wants, python3-audit to read
# records with libauparse, bubblewrap and stress-ng to make namespaces.
PACKAGES="auditd bpftrace bubblewrap cryptsetup-bin dmsetup iproute2 kmod procps python3-audit stress-ng util-linux"
sources=
case $name in
"") ;;
libvirt)
	# libvirt and the QEMU that it starts; what lies between a guest's disk and dm-integrity. The system of its
	# guests is one boot sector.
	PACKAGES="$PACKAGES e2fsprogs libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu lvm2 qemu-system-x86"
	sources=$PROJECT/userspace-test/guest/libvirt/boot.S
	;;
files)
	# The filesystems that a corrupt sector is followed into, and LVM below them.
	PACKAGES="$PACKAGES btrfs-progs dosfstools e2fsprogs fdisk lvm2 xfsprogs"
	;;
runtimes)
	# Whatever makes containers, without a registry: their images are made of busybox and of the guest's own /usr.
	# The volume that only one of them mounts has a filesystem (e2fsprogs).
	PACKAGES="$PACKAGES aardvark-dns busybox-static catatonit conmon containerd crun docker-cli docker.io e2fsprogs
		fuse-overlayfs iptables libvirt-clients libvirt-daemon libvirt-daemon-driver-lxc login lxc netavark nftables
		passt passwd podman runc slirp4netns systemd-container uidmap"
	;;
*) die "no image is called $name; there are: files, libvirt, runtimes" ;;
esac

for package in "$@"; do
	PACKAGES="$PACKAGES $package"
done
folder=$CACHE/guest${1:+/added}
image=$folder/${name:-usual}-$(echo "$SUITE $PACKAGES" | hash - "$0" ${sources:+"$sources"}).erofs
if [ ! -e "$image" ]; then
	check_packages "$root" "$@"
	"$PROJECT/scripts/build/host-tools.sh"
	mkdir -p "$folder"
	as_root rm -rf "$image".*
	added=$image.added
	mkdir -p "$added"
	if [ "$name" = libvirt ]; then
		"$PROJECT/scripts/in-root.sh" "$root" sh -eu -c '
			gcc -m32 -c -o "$2/boot.o" "$1"
			ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$2/boot.bin" "$2/boot.o"' sh "$sources" "$added"
	fi
	# The packages' versions go into every report.
	bootstrap --include="$(echo $PACKAGES | tr ' ' ,)" \
		--customize-hook='chroot "$1" dpkg-query -W >"$1/packages"' \
		--customize-hook="sync-in '$added' /usr/local/share" \
		--customize-hook="download /packages '${image%.erofs}.packages'" \
		--customize-hook='rm -rf "$1/usr/share/bpftrace" "$1/var/cache"/*' \
		--customize-hook='mkdir -p "$1/mnt/share"' \
		--format=tar "" "$image.tar"
	"$PROJECT/scripts/in-root.sh" "$root" mkfs.erofs --quiet --tar=f "$image.partial" "$image.tar"
	as_root rm -r "$image.tar" "$added"
	mv "$image.partial" "$image"
	# The last few sets of packages.
	[ $# = 0 ] || prune "$folder" 8
elif [ $# -gt 0 ]; then
	touch "$image" "${image%.erofs}.packages"
fi
result "$image"
