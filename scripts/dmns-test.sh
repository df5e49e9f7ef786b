#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# dmns-test.sh ARGUMENT... - builds the harness, and the programs that guests run, if need be, and runs it.

# Where it cannot be built, the exit status is the harness's own for a mistake, and none of a shell's, which git bisect would
# take for a bad commit.
case " $* " in
*' --bisect '*) unstarted=255 ;;
*' exec '*) unstarted=125 ;;
*) unstarted=2 ;;
esac
trap 'exit $unstarted' EXIT
. "$(dirname "$0")/common.sh"

mkdir -p "$CACHE"
programs() { (cd "$PROJECT" && scripts/cargo.sh build --quiet --locked -p dmns-test -p dmns-audit-cli -p dmns-audit-recorder); }
if [ "$ARCH" != amd64 ]; then
	# The harness runs here, and the guest has programs of its own.
	programs
	export DMNS_PROGRAMS="$(target_dir)/$(triple)/debug"
fi
(export DMNS_ARCH=amd64 && programs)
export DMNS_PROJECT="$PROJECT" DMNS_CACHE="$CACHE"
exec "$(ARCH=amd64 && target_dir)/x86_64-unknown-linux-gnu/debug/dmns-test" "$@" >&3
