#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# guest.sh ROOT KERNEL - makes the guest's disk: a Debian with the real tools and the kernel's modules, as
# a read-only EROFS image. Prints its path.
. "$(dirname "$0")/common.sh"

root=$1 kernel=$2
[ -e "$kernel/release" ] || die "$kernel is no kernel: run scripts/kernel.sh"

# What the scenarios call. bpftrace is there to hold a function that the module wants, python3-audit to read
# records with libauparse, bubblewrap and stress-ng to make namespaces.
PACKAGES="auditd bpftrace bubblewrap cryptsetup-bin dmsetup iproute2 kmod procps python3-audit stress-ng util-linux"

image=$CACHE/guest/$(cat "$kernel/release")-$(echo "$PACKAGES" | hash - "$0").erofs
if [ ! -e "$image" ]; then
	"$PROJECT/scripts/host-tools.sh"
	mkdir -p "$CACHE/guest"
	rm -f "$image".*
	# The packages' versions go into every report.
	bootstrap --include="$(echo $PACKAGES | tr ' ' ,)" \
		--customize-hook="copy-in $kernel/modules/lib/modules /usr/lib" \
		--customize-hook='chroot "$1" dpkg-query -W >"$1/packages"' \
		--customize-hook="download /packages ${image%.erofs}.packages" \
		--customize-hook='rm -rf "$1/usr/share/bpftrace" "$1/var/cache"/*' \
		--customize-hook='mkdir -p "$1/mnt/share"' \
		--format=tar "" "$image.tar"
	"$PROJECT/scripts/in-root.sh" "$root" mkfs.erofs --quiet --tar=f "$image.partial" "$image.tar"
	rm "$image.tar"
	mv "$image.partial" "$image"
fi
result "$image"
