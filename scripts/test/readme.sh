#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# readme.sh LOGS - compares the transcript in README.md with what `make demo` prints: titles and commands with the
# scenarios, events with what `dmns-audit watch` makes of the logs that `dmns-test run --keep-logs LOGS` kept.
. "$(dirname "$0")/../common.sh"

logs=$1
cd "$PROJECT"
printed=$(mktemp)
trap 'rm -f "$printed"' EXIT

# Times, ids of events, pids and numbers of namespaces differ from run to run. The guest alone knows the name of a mapping.
normal() {
	sed -E 's/^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+/TIME/
		s/ [0-9]{10}\.[0-9]{3}:[0-9]+: / ID: /
		s/ pid=[0-9]+/ pid=N/
		s/ dev=00:[0-9a-f]+/ dev=00:N/
		s/ns(_id)?([= ])-?[0-9]+/ns\1\2N/g
		s/ from -?[0-9]+/ from N/g
		s/( on [0-9]+:[0-9]+) \([^)]*\)/\1/'
}

for scenario in dm-integrity-2021 unshare-all; do
	file=userspace-test/scenarios/$scenario.toml
	[ -s "$logs/$scenario/audit.log" ] || die "$logs/$scenario/audit.log: no log"
	sed -n "s/^title = \"\(.*\)\"\$/=== $scenario: \1/p" "$file"
	# Each line of a step's shell, as `set -x` prints it.
	sed -n 's/^run = "\(.*\)"$/\1/p; /^run = .*'"'''"'/,/^'"'''"'/p' "$file" |
		sed 's/^! //; s/ || exit 1$//; s/^/$ /'
	scripts/cargo.sh run --quiet --locked -p dmns-audit-cli --bin dmns-audit -- watch --stdin --records \
		<"$logs/$scenario/audit.log"
done | normal >"$printed"

sed '1,/<!-- demo -->/d; /<!-- \/demo -->/,$d' README.md | grep -v '^```$' | normal | {
	compared=0
	while IFS= read -r line; do
		case $line in
		... | *' passed, 0 failed, 0 skipped') continue ;;
		*', ...') grep -qF -e "${line%...}" "$printed" ;;
		*) grep -qxF -e "$line" "$printed" ;;
		esac || die "README.md: \`make demo\` does not print this any more:
$line"
		compared=$((compared + 1))
	done
	[ $compared -ge 6 ] || die "README.md: the transcript has $compared lines: where is it?"
}
say "README.md: the transcript is what \`make demo\` prints"
