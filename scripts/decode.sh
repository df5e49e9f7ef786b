#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# decode.sh ROOT KERNEL OBJECT FUNCTION+OFFSET/SIZE - prints file and line of a place in a kernel or a module, as KERNEL's
# own scripts/faddr2line finds them in OBJECT, a file with symbols. Prints nothing if it has none.
. "$(dirname "$0")/common.sh"

root=$1 kernel=$2 object=$3 place=$4
DMNS_BIND="$(cat "$kernel/bind" 2>/dev/null || true) $(dirname "$object")"
export DMNS_BIND
tree=$(readlink -f "$kernel/build")
# From the line that has FUNCTION+OFFSET/SIZE on: " at kernel/audit.c:12", or with the tree's path before it.
"$PROJECT/scripts/in-root.sh" "$root" "$tree/scripts/faddr2line" "$object" "$place" 2>/dev/null |
	sed -n -e "s#$tree/##" -e '/:$/d' -e '/^$/d' -e 's/^ *//p' >&3 || true
