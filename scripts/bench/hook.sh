#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# hook.sh [ROUNDS] [RUNTIME] - what dmns-audit's hook adds to the life of a container: runs one with it and one
# without it in turn (of crun, and of busybox), and prints medians, their difference and their ratio. As root.
set -eu
rounds=${1:-100} runtime=${2:-crun}
hook=${DMNS_AUDIT_RECORD:-$(command -v dmns-audit-record)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"/rootfs/{bin,proc,dev,sys}
cp "$(command -v busybox)" "$folder/rootfs/bin/"
cd "$folder"
"$runtime" spec >/dev/null 2>&1
sed -i 's#"sh"#"/bin/busybox", "true"#; s#"terminal": true#"terminal": false#' config.json
hooks="\"hooks\": { \"createRuntime\": [H], \"poststop\": [H] },"
hooks=${hooks//H/{ \"path\": \"$hook\", \"args\": [\"dmns-audit-record\", \"oci-hook\"${DMNS_HOOK_OPTIONS:-}] \}}
for way in none hook; do
	mkdir -p $way
	cp -r rootfs $way/
	cp config.json $way/
done
sed -i "0,/{/s##{ ${hooks//&/\\&}#" hook/config.json
# crun makes no control group where that of this machine is a mixed one; runc does.
options=()
case $runtime in *crun) options=(--cgroup-manager disabled) ;; esac
life() {
	local begin end
	begin=$(date +%s%N)
	"$runtime" "${options[@]}" run --bundle "$1" "bench-$1-$$" </dev/null >/dev/null
	end=$(date +%s%N)
	echo $(((end - begin) / 1000)) >>"$1.times"
}
for _ in $(seq "$rounds"); do
	life none
	life hook
done
median() { sort -n "$1.times" | sed -n "$(((rounds + 1) / 2))p"; }
none=$(median none) hook=$(median hook)
awk -v none="$none" -v hook="$hook" -v rounds="$rounds" -v runtime="$("$runtime" --version | head -n 1)" 'BEGIN {
	printf "%s, %d lives each: %.1f ms without the hook, %.1f ms with it at createRuntime and poststop: %.1f ms, %.2f times\n",
		runtime, rounds, none / 1000, hook / 1000, (hook - none) / 1000, hook / none }'
