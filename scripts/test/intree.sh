#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# intree.sh - the patches of docs/upstream, and the kernels with them, without the module: the scenarios hold with the patches
# that their in_tree names, and those of the fixes fail without any, for the reason that is expected. The module is loaded on
# the kernel with both series, where it records device mapper alone. On the one without, its records are those of the series.
. "$(dirname "$0")/../common.sh"

run() {
	kind=$1
	shift
	say "DMNS_KERNEL=$kind dmns-test run $*"
	DMNS_KERNEL=$kind "$PROJECT/scripts/dmns-test.sh" run "$@"
}

"$PROJECT/scripts/test/patches.sh"
run intree
run intree hostile-churn hostile-order
root=$("$PROJECT/scripts/build/build-root.sh")
tree=$(INTREE_STOP=built "$PROJECT/scripts/build/intree.sh" "$root" intree)
say "dmns-test run --tree $tree module-without-namespaces"
"$PROJECT/scripts/dmns-test.sh" run --tree "$tree" module-without-namespaces
run fixes
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# fails SCENARIO REASON
fails() {
	if run unpatched "$1" >"$log" 2>&1; then
		die "$1 passes without the fixes, so it shows nothing of them"
	fi
	grep -qF "$2" "$log" || { cat "$log"; die "$1 fails, but not for: $2"; }
	say "$1 fails without the fixes, as it must: $2"
}
fails audit-backlog-wakeup "mkdir still waits, and backlog 0"
fails crypt-softirq "sleeping function called from invalid context"
fails io-never-waits 'step "with room for 32'
fails auditd-late "of 600 messages arrived, lost 0"
tree=$(INTREE_STOP=built "$PROJECT/scripts/build/intree.sh" "$root" unpatched)
series=$("$PROJECT/scripts/build/intree.sh" "$root" intree)
say "dmns-test diff --tree $tree --against $series/vmlinuz"
"$PROJECT/scripts/dmns-test.sh" diff --tree "$tree" --against "$series/vmlinuz" --against-modules "$series/modules" \
	--against-no-module
