#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# interrupt-root.sh - the build of a root that is killed leaves no mounts behind, so that the cache can be removed.
. "$(dirname "$0")/../common.sh"

"$PROJECT/scripts/build/host-tools.sh"
folder=$(mktemp -d)
trap 'as_root rm -rf --one-file-system "$folder"' EXIT
mounts() { cat "$@" 2>/dev/null | grep -F " $folder/root/"; }

bootstrap "" "$folder/root" &
build=$!
tenths=1200
until mounts /proc/[0-9]*/mounts >/dev/null; do
	kill -0 "$build" || die "the build of the root ended before it mounted anything"
	tenths=$((tenths - 1))
	[ "$tenths" -gt 0 ] || die "the build of the root mounts nothing in two minutes"
	sleep 0.1
done
while pkill -KILL -f "$folder/root"; do sleep 0.1; done
wait "$build" || true
! mounts /proc/self/mounts || die "these mounts are left behind by a build that was killed"
say "a root whose build was killed: no mounts are left"
