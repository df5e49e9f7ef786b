#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# compare-auvirt.sh [SEED...] - holds `dmns-audit report virt` against auvirt 3.0.9 over generated logs that have
# nothing in them which auvirt has a bug with: every row has to be the same, but for spaces, `resrc` (ours: `res`)
# and the end of a column that auvirt cuts. docs/cli.md lists what differs in other logs.
. "$(dirname "$0")/common.sh"

tools=$("$PROJECT/scripts/audit-tools.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo build --quiet --release --manifest-path "$PROJECT/Cargo.toml" -p dmns-audit-cli --bin dmns-audit \
	--example generate-log
target=${CARGO_TARGET_DIR:-$PROJECT/target}/release
export TZ=UTC LC_ALL=C

normal() { sed -E 's/^resrc/res/; s/[ \t]+/ /g; s/ *$//; s/\(([0-9+:]+)\)?/(\1/'; }
compared=0
[ $# -gt 0 ] || set -- 1 2 3 4 5
for seed in "$@"; do
	log=$work/audit.log
	"$target/examples/generate-log" --plain --events 20000 --share 500 --guests 12 --seed "$seed" >"$log"
	uuid=$(grep -m 1 -o 'uuid=[^ ]*' "$log" | cut -d = -f 2)
	while read -r options; do
		# shellcheck disable=SC2086 # options are words
		LD_LIBRARY_PATH=$tools/lib/x86_64-linux-gnu "$tools/usr/bin/auvirt" --file "$log" $options | normal >"$work/auvirt"
		# shellcheck disable=SC2086
		"$target/dmns-audit" report virt "$log" $options | normal |
			grep -v 'Number of host shutdowns\|Number of violations' >"$work/ours"
		rows=$(wc -l <"$work/auvirt")
		[ "$rows" -gt 0 ] || die "seed $seed, options '$options': auvirt tells nothing"
		diff "$work/auvirt" "$work/ours" || die "seed $seed, options '$options': not the same"
		compared=$((compared + rows))
	done <<-EOF

		--all-events
		--summary
		--show-uuid
		--vm guest-003 --all-events
		--uuid $uuid --all-events
		-ts 11/18/26 11:20:00
		--all-events -ts 11/18/26 11:20:00 -te 11/18/26 11:23:00
	EOF
done
result "$compared rows are the same"
