#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# in-root.sh ROOT COMMAND... - runs COMMAND in ROOT, where the project and the cache are at the same
# paths as outside, and so is the network. DMNS_BIND adds folders.
. "$(dirname "$0")/common.sh"

root=$1
shift
[ -x "$root/bin/sh" ] || die "$root is no root: run scripts/build/build-root.sh"
export DMNS_CACHE=$CACHE

as_root unshare --mount sh -eu -c '
	root=$1 project=$2 cache=$3
	shift 3
	for dir in /dev /proc; do
		mount --rbind "$dir" "$root$dir"
	done
	for dir in "$project" "$cache" ${DMNS_BIND:-}; do
		mkdir -p "$root$dir"
		mount --rbind "$dir" "$root$dir"
	done
	for file in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
		[ ! -e "$file" ] || { mkdir -p "$root${file%/*}"; touch "$root$file"; mount --bind "$file" "$root$file"; }
	done
	cd "$root"
	exec env -u LD_PRELOAD -u TMPDIR HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		chroot "$root" sh -c "cd \"\$1\" && shift && exec \"\$@\"" in-root "$project" "$@"
' in-root "$root" "$PROJECT" "$CACHE" "$@" >&3
