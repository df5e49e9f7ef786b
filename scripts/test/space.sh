#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# space.sh [--cold] - runs a scenario with a cache below a folder with a space in its name. Build root, kernel and guest image
# are those of the usual cache, and the module is built. --cold makes all: some 6 minutes and 5 GB.
. "$(dirname "$0")/../common.sh"

work=$CACHE/space
as_root rm -rf "$work"
new="$work/a cache"
mkdir -p "$new/guest" "$new/kernel" "$new/build-root"
if [ "${1:-}" != --cold ]; then
	"$PROJECT/scripts/dmns-test.sh" prepare >/dev/null
	root=$("$PROJECT/scripts/build/build-root.sh")
	kernel=$("$PROJECT/scripts/build/kernel.sh" "$root")
	image=$("$PROJECT/scripts/build/guest.sh" "$root")
	for made in "$root" "$kernel"; do
		to=$new/$(basename "$(dirname "$made")")/$(basename "$made")
		mkdir "$to"
		as_root cp -al "$made/." "$to"
	done
	cp -L --reflink=auto "$image" "${image%.erofs}.packages" "$new/guest"
fi
"$PROJECT/scripts/dmns-test.sh" --version >/dev/null
DMNS_PROJECT=$PROJECT DMNS_CACHE=$new "$(target_dir)/x86_64-unknown-linux-gnu/debug/dmns-test" run unshare-all
ls "$new"/module/*/kmod/dmns_audit.ko >/dev/null
as_root rm -rf "$work"
say "a cache with a space in its path works"
