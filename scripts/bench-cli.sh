#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# bench-cli.sh [EVENTS [RUNS]] - times whole runs of dmns-audit beside the audit tools of Debian 12 and grep, on
# one generated log, in turn, and prints the least processor time of each and the ratios. What else runs on
# the machine slows all of them alike.
#
# auvirt and ausearch are those of scripts/audit-tools.sh.
. "$(dirname "$0")/common.sh"

events=${1:-585000}
runs=${2:-7}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tools=$("$PROJECT/scripts/audit-tools.sh")
audit() { LD_LIBRARY_PATH=$tools/lib/x86_64-linux-gnu "$@"; }

say "building"
cargo build --quiet --release --manifest-path "$PROJECT/Cargo.toml" -p dmns-audit-cli --bin dmns-audit \
	--example generate-log
target=${CARGO_TARGET_DIR:-$PROJECT/target}/release
cli=$target/dmns-audit
log=$work/audit.log
"$target/examples/generate-log" --events "$events" >"$log"
say "$(wc -c <"$log") bytes, $events events, $(wc -l <"$log") records, seed 1; $runs runs of each"

names=(auvirt "report virt" "auvirt --all-events" "report virt --all-events" "ausearch -m 1339 --raw" "report dm"
	"report ns" check "grep -c DM_EVENT")
run() {
	case $1 in
	auvirt) audit "$tools/usr/bin/auvirt" --file "$log" ;;
	"auvirt --all-events") audit "$tools/usr/bin/auvirt" --all-events --file "$log" ;;
	"ausearch -m 1339 --raw") audit "$tools/sbin/ausearch" -if "$log" -m 1339 --raw ;;
	# Into a file: grep stops at the first match where nobody reads.
	"grep -c DM_EVENT") grep -c DM_EVENT "$log" | tee "$work/count" ;;
	check) "$cli" check --format json "$log" ;;
	*) "$cli" $1 "$log" ;;
	esac >/dev/null 2>&1
}

declare -A least
TIMEFORMAT='%U %S'
for ((i = 0; i < runs; i++)); do
	for name in "${names[@]}"; do
		spent=$({ time run "$name" || true; } 2>&1 | awk '{ printf "%d", ($1 + $2) * 1000 }')
		[ "${least[$name]:-999999}" -le "$spent" ] || least[$name]=$spent
	done
done
for name in "${names[@]}"; do
	printf '%-26s %6d ms\n' "$name" "${least[$name]}"
done >&3
ratio() {
	awk -v what="$1" -v a="${least[$2]}" -v b="${least[$3]}" -v aim="$4" \
		'BEGIN { printf "%-44s %5.1f times faster (aim: %s)\n", what, a / (b ? b : 1), aim }' >&3
}
ratio "report virt than auvirt" auvirt "report virt" 20
ratio "report virt --all-events than auvirt" "auvirt --all-events" "report virt --all-events" 20
ratio "report dm than ausearch" "ausearch -m 1339 --raw" "report dm" 8
