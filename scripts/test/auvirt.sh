#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# auvirt.sh [SEED...] - holds `dmns-audit report virt` against auvirt 3.0.9 over generated logs that have
# nothing in them which auvirt has a bug with: every row has to be the same, but for spaces, `resrc` (ours: `res`)
# and the end of a column that auvirt cuts. What auvirt passes over must be reported by ours, and is left out then. Last,
# the same over the log of a real libvirt. docs/reference/report.md lists what differs.
. "$(dirname "$0")/../common.sh"

tools=$("$PROJECT/scripts/build/audit-tools.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$PROJECT/scripts/cargo.sh" build --quiet --locked -p dmns-audit-cli -p dmns-audit-tools --bin dmns-audit --bin generate-log
target=$(target_dir)/x86_64-unknown-linux-gnu/debug
export TZ=UTC LC_ALL=C

normal() { sed -E 's/^resrc/res/; s/[ \t]+/ /g; s/ *$//; s/\(([0-9+:]+)\)?/(\1/'; }
# What auvirt knows nothing of: the descriptors of interfaces, and these kinds of things.
unknown='^res .* (net open|(fs|dev|hostdev|chardev|smartcard|tpm|tpm-emulator|evdev|shmem|ivshmem-socket|iothread) (start|attach|detach|update)) '
auvirt() { LD_LIBRARY_PATH=$tools/lib/x86_64-linux-gnu "$tools/usr/bin/auvirt" --file "$log" "$@" | normal; }
ours() { "$target/dmns-audit" report virt "$log" "$@" | normal; }
# same WHAT - both have reported the same.
same() {
	[ -s "$work/auvirt" ] || die "$1: auvirt reports nothing"
	diff "$work/auvirt" "$work/ours" || die "$1: not the same"
	compared=$((compared + $(wc -l <"$work/auvirt")))
}
compared=0 beyond=0
log=$work/audit.log
[ $# -gt 0 ] || set -- 1 2 3 4 5
for seed in "$@"; do
	# Nobody has logged in: auvirt reports the user of the task, ours the login user.
	"$target/generate-log" --plain --events 20000 --share 500 --guests 12 --seed "$seed" |
		sed '/^type=SYSCALL /s/ auid=[0-9]* / auid=4294967295 /' >"$log"
	uuid=$(grep -m 1 -o 'uuid=[^ ]*' "$log" | cut -d = -f 2)
	while read -r options; do
		# shellcheck disable=SC2086 # options are words
		auvirt $options >"$work/auvirt"
		# shellcheck disable=SC2086
		ours $options | grep -v 'Number of host shutdowns\|Number of violations' >"$work/all"
		grep -Ev "$unknown" "$work/all" >"$work/ours"
		left_out=$(grep -Ec "$unknown" "$work/all" || true)
		case $options in
		*--all-events*)
			[ "$left_out" -gt 0 ] || die "seed $seed, options '$options': nothing that auvirt passes over is reported"
			beyond=$((beyond + left_out))
			;;
		--summary)
			# What auvirt passes over is counted too, but for descriptors, which are no assignment.
			more=$(ours --all-events | grep -E "$unknown" | grep -vc ' net open ')
			counted=$(sed -n 's/^Number of resource assignments: //p' "$work/ours")
			sed -i "s/^\(Number of resource assignments:\) .*/\1 $((counted - more))/" "$work/ours"
			;;
		esac
		same "seed $seed, options '$options'"
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

# A real libvirt. auvirt lets a control group keep what it was denied, reports no violations, finds few anomalies and
# does not name them, and does not report what was taken that libvirt had not recorded.
log=$PROJECT/cli/tests/logs/libvirt.log
auvirt >"$work/auvirt"
ours | grep -v '^ .* violation' >"$work/ours"
same "a real libvirt"
alike() { grep -v '^anom' | sed -E '/ cgroup allow /s/ [0-9:]+ - [0-9:]+ \([0-9:]+//'; }
auvirt --all-events | alike >"$work/auvirt.rows"
mv "$work/auvirt.rows" "$work/auvirt"
ours --all-events | grep -Ev "$unknown|^viol|^ .* violation| rng detach " | alike >"$work/ours"
same "a real libvirt, --all-events"
[ "$(ours --all-events | grep -c ^anom)" -ge "$(auvirt --all-events | grep -c ^anom)" ] || die "auvirt finds more anomalies"
result "$compared rows are the same; $beyond more are reported that auvirt passes over"
