#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# cli.sh [EVENTS [RUNS]] - times whole runs of dmns-audit, the audit tools of Debian 12 and grep, on generated
# logs, in turn. Prints the least time of each (on the clock, and of the processors) and the ratios. Other load of the
# machine slows all of them alike.
#
# Then it sweeps: logs of as many events of mappings, namespaces, guests and hosts, of which 10 to 100,000 exist at a
# time, the time per record, and the peak memory with the most. SWEEP= names other numbers, or nothing at all.
#
# auvirt and ausearch are those of scripts/build/audit-tools.sh.
. "$(dirname "$0")/../common.sh"

[ -x /usr/bin/time ] || die "time is missing: apt install time"
events=${1:-585000}
runs=${2:-5}
sweep=${SWEEP-10 1000 100000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tools=$("$PROJECT/scripts/build/audit-tools.sh")
audit() { LD_LIBRARY_PATH=$tools/lib/x86_64-linux-gnu "$@"; }

say "building"
cargo build --quiet --release --manifest-path "$PROJECT/Cargo.toml" -p dmns-audit-cli --bin dmns-audit \
	-p dmns-audit-tools --bin generate-log
target=${CARGO_TARGET_DIR:-$PROJECT/target}/release
cli=$target/dmns-audit
generate() { "$target/generate-log" "$@"; }

run() {
	case $1 in
	auvirt*) audit "$tools/usr/bin/auvirt" ${1#auvirt} --file "$log" ;;
	ausearch*) audit "$tools/sbin/ausearch" -if "$log" -m 1339 --raw ;;
	# Into a file: grep stops at the first match where nobody reads.
	"grep -c DM_EVENT") grep -c DM_EVENT "$log" | tee "$work/count" ;;
	check) "$cli" check --format json "$log" ;;
	*) "$cli" $1 "$log" ;;
	esac >/dev/null 2>&1
}
declare -A clock spent
TIMEFORMAT='%R %U %S'
# measure RUNS NAME... - the least of RUNS runs of each, in milliseconds: clock[NAME] and spent[NAME].
measure() {
	local count=$1 i name real busy
	shift
	clock=() spent=()
	for ((i = 0; i < count; i++)); do
		for name in "$@"; do
			read -r real busy < <({ time run "$name" || true; } 2>&1 | awk '{ print $1 * 1000, ($2 + $3) * 1000 }')
			[ "${clock[$name]:-999999}" -le "$real" ] || clock[$name]=$real
			[ "${spent[$name]:-999999}" -le "$busy" ] || spent[$name]=$busy
		done
	done
}
ratio() {
	awk -v what="$2 than $1" -v a="${clock[$1]}" -v b="${clock[$2]}" -v c="${spent[$1]}" -v d="${spent[$2]}" -v aim="$3" \
		'BEGIN { printf "  %-58s %5.1f times faster, %5.1f by processor time (aim: %s)\n", what, a / (b ? b : 1), c / (d ? d : 1), aim }' >&3
}

log=$work/audit.log
for sort in "" "--guests 40 --disks 40 --brief --share 300" "--guests 4000 --disks 4000 --brief --share 300"; do
	# shellcheck disable=SC2086 # options are words
	generate --events "$events" $sort >"$log"
	printf '%s: %s bytes, %s records; ms on the clock, of the processors\n' "${sort:-as a busy host has it}" \
		"$(wc -c <"$log")" "$(wc -l <"$log")" >&3
	names=(auvirt "report virt" "auvirt --all-events" "report virt --all-events" "ausearch -m" "report dm" "report ns"
		check export "grep -c DM_EVENT")
	measure "$runs" "${names[@]}"
	for name in "${names[@]}"; do
		printf '  %-26s %6d %6d\n' "$name" "${clock[$name]}" "${spent[$name]}"
	done >&3
	ratio auvirt "report virt" 20
	ratio "auvirt --all-events" "report virt --all-events" 20
	ratio "ausearch -m" "report dm" 8
	ratio "ausearch -m" check 1
	ratio check export 0.5
done

# memory NAME - the peak memory of a run, in KiB.
memory() {
	{ command time --format %M --output "$work/peak" "$cli" $1 "$log" >/dev/null 2>&1 || true; }
	tail -n 1 "$work/peak"
}

# sweep_of WHAT OPTIONS REPORT... - time per record, for each number of things active at a time.
sweep_of() {
	local what=$1 options=$2 number name
	shift 2
	declare -A line peak
	for number in $sweep; do
		# shellcheck disable=SC2086
		generate --events "$events" --share 1000 ${options//NUMBER/$number} >"$log"
		measure 3 "$@"
		for name in "$@"; do
			peak[$name]=$(memory "$name")
			line[$name]+=" $(awk -v ms="${spent[$name]}" -v records="$(wc -l <"$log")" 'BEGIN { print ms * 1000000 / records }')"
		done
	done
	for name in "$@"; do
		echo "${line[$name]}" | awk -v what="$what" -v name="$name" -v peak="${peak[$name]}" '{
			least = most = $1
			for (i = 1; i <= NF; i++) { if ($i < least) least = $i; if ($i > most) most = $i; text = text sprintf(" %6d", $i) }
			printf "  %-11s %-26s%s   largest/smallest %.1f (aim: 1.5), %.0f MiB\n", what, name, text,
				most / (least ? least : 1), peak / 1024 }' >&3
	done
}
[ -n "$sweep" ] || exit 0
echo "nanoseconds of processor time per record, where so many live at a time: $sweep" >&3
sweep_of mappings "--only dm --guests 0 --mappings NUMBER" "report dm" check export
sweep_of namespaces "--only ns --guests 0 --namespaces NUMBER" "report ns" "report ns --tree" check
sweep_of guests "--only virt --brief --guests NUMBER --disks 100000" "report virt" "report virt --all-events" check
# As much on each host, so that the records are of the same sorts however many hosts there are.
sweep_of hosts "--hosts NUMBER --guests NUMBER --brief --mappings NUMBER --namespaces NUMBER" \
	"report virt" "report dm" "report ns" check export
