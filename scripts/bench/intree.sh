#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# intree.sh BENCH METRICS - measures what records cost with the module and in the tree, with kernels of one source and
# configuration: without a patch and with docs/upstream; then the metrics of scenarios. Writes tables in Markdown.
. "$(dirname "$0")/../common.sh"

[ $# = 2 ] || die "two files, please: of the instructions, of the metrics"
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
root=$("$PROJECT/scripts/build/build-root.sh")
tree=$(INTREE_STOP=built "$PROJECT/scripts/build/intree.sh" "$root" unpatched)
"$PROJECT/scripts/dmns-test.sh" bench --tree "$tree" --lines "$lines"
DMNS_KERNEL=intree "$PROJECT/scripts/dmns-test.sh" bench --first "$lines" --markdown "$1"
series=$("$PROJECT/scripts/build/intree.sh" "$root" intree)
"$PROJECT/scripts/dmns-test.sh" metrics --tree "$tree" --against "$series/vmlinuz" --against-modules "$series/modules" \
	--against-no-module --markdown "$2"
