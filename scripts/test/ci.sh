#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# ci.sh - runs the shell of the jobs in docs/guide/ci.md, as it stands there, in a Debian that has nothing but apt, on the
# scenario that stands there. The cache is shared, so that it does not make kernel and guest anew.
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
	# The blocks are found by what stands in them.
	awk '/^```toml/ { on = 1; next } /^```/ { on = 0 } on' "$PROJECT/docs/guide/ci.md" >"$root/project/tests/integrity.toml"
	case $job in
	github) awk '/^ *- run: \|$/ { on = 1; next } /^ *- / { on = 0 } /^```/ { on = 0 } on' "$PROJECT/docs/guide/ci.md" ;;
	gitlab) awk '/^ *script:$/ { on = 1; next } on && sub(/^ *- /, "") { print; next } { on = 0 }' "$PROJECT/docs/guide/ci.md" ;;
	esac >"$root/project/job"
	[ "$(grep -c '^ *dmns-test run ' "$root/project/job")" = 1 ] || die "docs/guide/ci.md has no job for $job any more"
	say "the job for $job"
	"$PROJECT/scripts/in-root.sh" "$root" sh -eux -c 'cd /project && DMNS_CACHE=$1 bash -eux ./job' sh "$CACHE"
	grep -q '<testcase name=' "$root/project/junit.xml" || die "the job for $job left no JUnit report"
	! grep -q '<failure\|<error' "$root/project/junit.xml" || die "the job for $job failed: $root/project/junit.xml"
	ls "$root/project/logs/integrity/audit.log" >/dev/null
done
as_root rm -rf "$work"
say "docs/guide/ci.md: the jobs for GitHub Actions and GitLab pass"
