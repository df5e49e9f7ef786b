#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# in-root.sh ROOT COMMAND... - runs COMMAND in ROOT, where the project and the cache are at the same
# paths as outside, and so is the network. A path with a space, which make takes for the end of a name,
# is another one in the root, also in COMMAND. DMNS_BIND adds folders.
. "$(dirname "$0")/common.sh"

root=$1
shift
[ -x "$root/bin/sh" ] || die "$root is no root: run scripts/build/build-root.sh"

# inside PATH OTHER - the path in the root.
inside() {
	case $1 in
	*' '*) echo "$2" ;;
	*) echo "$1" ;;
	esac
}
# replaced TEXT OLD NEW - TEXT with NEW for each OLD.
replaced() {
	rest=$1
	while :; do
		case $rest in
		*"$2"*)
			printf %s "${rest%%"$2"*}$3"
			rest=${rest#*"$2"}
			;;
		*) break ;;
		esac
	done
	printf %s "$rest"
}
project=$(inside "$PROJECT" /dmns-project) cache=$(inside "$CACHE" /dmns-cache)
if [ "$project$cache" != "$PROJECT$CACHE" ]; then
	for argument in "$@"; do
		shift
		argument=$(replaced "$argument" "$CACHE" "$cache")
		set -- "$@" "$(replaced "$argument" "$PROJECT" "$project")"
	done
fi
export DMNS_CACHE="$cache"

# What is unmounted outside meanwhile is unmounted in here, too.
as_root unshare --mount --propagation slave sh -eu -c '
	root=$1 project=$2 cache=$3 from_project=$4 from_cache=$5
	shift 5
	for dir in /dev /proc; do
		mount --rbind "$dir" "$root$dir"
	done
	mkdir -p "$root$project" "$root$cache"
	mount --rbind "$from_project" "$root$project"
	mount --rbind "$from_cache" "$root$cache"
	for dir in ${DMNS_BIND:-}; do
		mkdir -p "$root$dir"
		mount --rbind "$dir" "$root$dir"
	done
	for file in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
		[ ! -e "$file" ] || { mkdir -p "$root${file%/*}"; touch "$root$file"; mount --bind "$file" "$root$file"; }
	done
	cd "$root"
	exec env -u LD_PRELOAD -u TMPDIR HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		chroot "$root" sh -c "cd \"\$1\" && shift && exec \"\$@\"" in-root "$project" "$@"
' in-root "$root" "$project" "$cache" "$PROJECT" "$CACHE" "$@" >&3
