#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# ci.sh - runs the shell of the jobs in docs/guide/ci.md, as it stands there, in a Debian that has nothing but apt, on the
# scenarios and the script that stand there. The cache is shared, so that it does not make kernel and guest anew.
. "$(dirname "$0")/../common.sh"

packages=$("$PROJECT/scripts/build/packages.sh")
work=$CACHE/ci
as_root rm -rf "$work"
mkdir -p "$work"
for job in github gitlab; do
	root=$work/$job
	bootstrap --skip=cleanup/apt/lists --include=ca-certificates "" "$root"
	mkdir -p "$root/project/tests"
	cp "$packages"/dmns-audit-test_*_amd64.deb "$root/project"
	# The files of the project: each block is the file that is named last before it.
	awk -v to="$root/project" '
		match($0, /`tests\/[^`]*`/) { name = substr($0, RSTART + 1, RLENGTH - 2) }
		/^```(toml|sh)$/ && name { file = to "/" name; on = 1; next }
		/^```/ { if (on) name = ""; on = 0 }
		on { print >file }' "$PROJECT/docs/guide/ci.md"
	case $job in
	github) awk '/^ *- run: \|$/ { on = 1; next } /^ *- / { on = 0 } /^```/ { on = 0 } on' "$PROJECT/docs/guide/ci.md" ;;
	gitlab) awk '/^ *script:$/ { on = 1; next } on && sub(/^ *- /, "") { print; next } { on = 0 }' "$PROJECT/docs/guide/ci.md" ;;
	esac >"$root/project/job"
	[ "$(grep -c '^ *dmns-test run ' "$root/project/job")" = 1 ] || die "docs/guide/ci.md has no job for $job any more"
	say "the job for $job"
	"$PROJECT/scripts/in-root.sh" "$root" sh -eux -c 'cd /project && DMNS_CACHE=$1 bash -eux ./job' sh "$CACHE"
	! grep -q '<failure\|<error' "$root/project/junit.xml" || die "the job for $job failed: $root/project/junit.xml"
	for scenario in integrity script; do
		grep -q "<testcase name=\"$scenario\"" "$root/project/junit.xml" || die "the job for $job did not run $scenario"
		grep -q 'type=DM_EVENT .* sector=8 ' "$root/project/logs/$scenario/audit.log"
	done
done
as_root rm -rf "$work"
say "docs/guide/ci.md: the jobs for GitHub Actions and GitLab pass"
