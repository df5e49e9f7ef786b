#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# modules-disk.sh ROOT MODULES - makes the disk with a kernel's modules, the folder MODULES (lib/modules/RELEASE), as a
# read-only EROFS image. A guest has it below its own disk, so that one disk serves every kernel. Prints its path.
. "$(dirname "$0")/../common.sh"

root=$1 modules=$2
release=$(basename "$modules")
# Names, sizes and times stand for the contents: there may be thousands.
key=$( (echo "$modules" && cd "$modules" && find . -type f -printf '%P %s %T@\n' | sort) | hash - "$0")
disk=$CACHE/modules-disk/$release-$key.erofs
if [ ! -e "$disk" ]; then
	mkdir -p "$CACHE/modules-disk"
	fresh "$disk"
	# `build` and `source` lead to trees that no guest has.
	mkdir -p "$disk.partial/usr/lib/modules/$release"
	cp -r --no-dereference "$modules/." "$disk.partial/usr/lib/modules/$release"
	rm -f "$disk.partial/usr/lib/modules/$release/build" "$disk.partial/usr/lib/modules/$release/source"
	"$PROJECT/scripts/in-root.sh" "$root" mkfs.erofs --quiet --all-root "$disk.image" "$disk.partial"
	as_root rm -rf "$disk.partial"
	mv "$disk.image" "$disk"
	prune "$CACHE/modules-disk" 8
else
	touch "$disk"
fi
result "$disk"
