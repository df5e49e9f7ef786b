#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# locate.sh [FILES [BAD [FILESYSTEM...]]] - times `dmns-audit locate` on BAD sectors, each in another one of FILES files,
# on ext4, xfs and btrfs, mounted and not. 100,000, 10,000 and ext4 by default; the limit is a minute.
#
# Each file has a mark with its name. The sectors are found by the marks, and each answer is compared with them. It needs
# root, for a loop device and a mount. The mount is made anew before each question, so that nothing is in the cache.
. "$(dirname "$0")/../common.sh"

[ "$(id -u)" = 0 ] || die "needs root: a loop device, a mount"
# A mount is copied into a namespace that somebody makes meanwhile, and stays there. Nobody copies from this one.
[ -n "${OWN_MOUNTS:-}" ] || OWN_MOUNTS=yes exec unshare --mount "$0" "$@"
files=${1:-100000}
bad=${2:-10000}
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- ext4
work=$(mktemp -d)
trap 'umount "$work/mount" 2>/dev/null || true; [ -z "${loop:-}" ] || losetup -d "$loop"; rm -rf "$work"' EXIT
marks() { python3 "$PROJECT/userspace-test/scenarios/files/marks" "$@"; }

say "building"
"$PROJECT/scripts/cargo.sh" build --quiet --locked -p dmns-audit-cli
cli=$(target_dir)/$(triple)/debug/dmns-audit

attach() { loop=$(losetup --find --show "$work/disk"); }
detach() {
	losetup --detach "$loop"
	loop=
}

# ask NAME FOLDER - fails after the limit, or if an answer is wrong.
ask() {
	local from=$(date +%s%N)
	cut -d ' ' -f 1 "$work/wanted" | "$cli" locate "$loop" - --time-limit 0 --json >"$work/answers"
	local taken=$((($(date +%s%N) - from) / 1000000))
	marks compare "$work/wanted" "$2" <"$work/answers"
	printf '%s: %s sectors in %s files: %d.%03d s\n' "$1" "$(wc -l <"$work/wanted")" "$files" $((taken / 1000)) $((taken % 1000))
	[ $taken -le 60000 ] || die "more than a minute"
}

mkdir "$work/mount"
for filesystem in "$@"; do
	rm -f "$work/disk"
	truncate -s $((files * 5120 + 400000000)) "$work/disk"
	attach
	case $filesystem in
	ext4) mkfs.ext4 -q -N $((files * 11 / 10)) "$loop" ;;
	# Without the map of owners, each file is asked.
	xfs) mkfs.xfs -q -m rmapbt=0 "$loop" ;;
	# A file of a sector would be in the metadata.
	btrfs) mkfs.btrfs -q "$loop" ;;
	*) die "ext4, xfs and btrfs are known, $filesystem is not" ;;
	esac
	options=
	[ "$filesystem" != btrfs ] || options="-o max_inline=0"
	mount $options "$loop" "$work/mount"
	(cd "$work/mount" && marks many "$files")
	umount "$work/mount"
	# The cache of a device does not have what a filesystem wrote past it.
	detach
	attach
	marks list "$loop" $((files / bad)) >"$work/wanted"
	[ "$(wc -l <"$work/wanted")" = "$bad" ] || die "$(wc -l <"$work/wanted") sectors instead of $bad"
	mount "$loop" "$work/mount"
	ask "$filesystem, mounted" "$work/mount"
	umount "$work/mount"
	detach
	if [ "$filesystem" != btrfs ]; then
		attach
		ask "$filesystem, not mounted" /
		detach
	fi
done
