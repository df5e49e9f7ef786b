#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# interrupt.sh - a harness ends its guest when it is interrupted or killed. Interrupted, it also removes the guest's folder.
. "$(dirname "$0")/../common.sh"

TMPDIR=$(mktemp -d)
export TMPDIR
harness=
trap '[ -z "$harness" ] || kill -KILL "$harness" 2>/dev/null || true; rm -rf "$TMPDIR"' EXIT

# within SECONDS COMMAND... - whether COMMAND succeeds soon enough.
within() {
	tenths=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		tenths=$((tenths - 1))
		[ "$tenths" -gt 0 ] || return 1
		sleep 0.1
	done
}
# A pattern that does not match itself, in the arguments of grep.
runs() { cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -q "[-]initrd $TMPDIR/dmns-"; }
no_guest() { ! runs; }

for signal in INT TERM KILL; do
	"$PROJECT/scripts/dmns-test.sh" exec -- sleep 600 &
	harness=$!
	within 300 runs || die "no guest was started"
	kill -"$signal" "$harness"
	within 10 no_guest || die "SIG$signal: the harness is gone, QEMU runs on"
	wait "$harness" && die "SIG$signal: the harness says that all is well" || true
	harness=
	[ "$signal" = KILL ] || [ -z "$(ls -A "$TMPDIR")" ] || die "SIG$signal: left behind: $(ls "$TMPDIR")"
done
say "interrupted: guests and their folders are gone"
