#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# decode.sh ROOT KERNEL OBJECT FUNCTION+OFFSET/SIZE - prints file and line of a place in a kernel or a module, as KERNEL's
# own scripts/faddr2line finds them in OBJECT, a file with symbols. Prints nothing if it has none.
. "$(dirname "$0")/common.sh"

root=$1 kernel=$2 object=$3 place=$4
DMNS_BIND="$(cat "$kernel/bind" 2>/dev/null || true) $(dirname "$object")"
export DMNS_BIND
tree=$(readlink -f "$kernel/build")
# lines PLACE - "dmns_oops_ctr at dmns_oops.c:12", and those of callers that it is inlined in.
lines() {
	"$PROJECT/scripts/in-root.sh" "$root" "$tree/scripts/faddr2line" "$object" "$1" 2>/dev/null |
		sed -n -e '/^skipping/d' -e "s#$tree/##" -e 's#[.]partial/#/#' -e 's/^ *//' -e '/ at .*:[0-9?]/p'
}
found=$(lines "$place") || true
# The size in a report may include padding, which the file does not have.
[ -n "$found" ] || found=$(lines "${place%/*}") || true
[ -z "$found" ] || result "$found"
