#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# own-kernel.sh - a built tree, that of the debug kernel, taken as a kernel of one's own: run, diff, bisection, and what does
# not fit.
. "$(dirname "$0")/../common.sh"

root=$("$PROJECT/scripts/build/build-root.sh")
stock=$(DMNS_KERNEL='' "$PROJECT/scripts/build/kernel.sh" "$root")
kernel=$(DMNS_KERNEL=debug "$PROJECT/scripts/build/kernel.sh" "$root")
tree=$kernel/build
unset DMNS_KERNEL
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# dmns_test STATUS ARGUMENT... - runs it, which must end with this status.
dmns_test() {
	expected=$1 status=0
	shift
	"$PROJECT/scripts/dmns-test.sh" "$@" >"$said" 2>&1 || status=$?
	[ "$status" = "$expected" ] || {
		cat "$said"
		die "status $status, not $expected: dmns-test $*"
	}
}
# says TEXT - whether the last run printed it.
says() {
	grep -qF -- "$1" "$said" || {
		cat "$said"
		die "the output does not have: $1"
	}
}

dmns_test 0 --tree "$tree" run --bisect unshare-all integrity-hmac
says "kernel $(cat "$kernel/release") (#"
says '2 passed, 0 failed, 0 skipped'
# dm-audit.c writes the same records, and a scenario that uses the module is skipped.
dmns_test 0 --kernel "$kernel/vmlinuz" --modules "$kernel/modules" --no-module run integrity-hmac other-build
says '1 passed, 0 failed, 1 skipped'
says 'its steps use the module ('
# Nothing can be judged where all is skipped; records that nothing writes are missing.
dmns_test 125 --tree "$tree" --no-module run --bisect other-build
dmns_test 1 --timeout-multiplier 2 --tree "$tree" --no-module run --bisect unshare-all
says 'missing (0 of 1): NS_INIT_UTS'
# A mistake in the arguments ends a bisection.
dmns_test 255 --tree "$tree" run --bisect unshare-al
dmns_test 255 --tree "$tree" run --bisect --no-modul unshare-all
dmns_test 0 --tree "$tree" diff --against debian unshare-each-kind
says '16 pairs of records, 0 differences or failures'

dmns_test 2 --kernel "$kernel/vmlinuz" --modules "$kernel/modules" run unshare-all
says 'give the tree (--tree), a module that is built (--module), or none (--no-module)'
dmns_test 2 --kernel "$kernel/vmlinuz" --modules "$stock/modules" --no-module run unshare-all
says "the modules there are of: $(cat "$stock/release");"
module=$("$PROJECT/scripts/build/module.sh" "$root" "$stock")
dmns_test 125 --tree "$tree" --module "$module" run --bisect unshare-all
says "built for $(cat "$stock/release"), and the image is $(cat "$kernel/release")"
say "a kernel of one's own: run, diff, bisection, and what does not fit"
