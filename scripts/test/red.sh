#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# red.sh - runs scenarios that must fail: each ends soon, and says why and where its logs are.
. "$(dirname "$0")/../common.sh"

work=$(mktemp -d)
# What the harness says of these failures is shown only if this test fails.
trap 'code=$?; [ "$code" = 0 ] || cat "$work/said"; rm -rf "$work"' EXIT
mkdir "$work/red"

# scenario NAME [LINE...] - a scenario of one step, with the shell and the expected records on standard input.
scenario() {
	name=$1
	shift
	{
		printf '%s\n' "title = \"$name\"" 'timeout = 100' "$@" '' '[[step]]' 'title = "the step"'
		cat
	} >"$work/red/$name.toml"
}
scenario wrong <<'END'
run = "unshare --uts true"
expect = [{ record = "NS_INIT_IPC" }, { record = "NS_DEL_IPC" }]
END
# The task that oopses keeps the mapping, so whoever removes it waits.
scenario oops 'modules = ["dmns_oops"]' <<'END'
run = '''
insmod /run/dmns/dmns_oops.ko
dmsetup create x --table "0 8 oops" || true
dmsetup remove x
'''
END
# Missing, with nothing that could still write it.
scenario missing <<'END'
run = "unshare --uts true"
expect = [{ record = "NS_INIT_UTS" }, { record = "NS_DEL_UTS" }, { record = "NS_DEL_IPC" }]
END
# Late, from what the step has started: this one passes.
scenario late <<'END'
run = "(sleep 15; unshare --uts true) >/dev/null 2>&1 &"
expect = [{ record = "NS_INIT_UTS" }, { record = "NS_DEL_UTS" }]
END
# A VIRT_CONTROL without its fields.
scenario finding <<'END'
run = "python3 -c 'import audit; audit.audit_log_user_message(audit.audit_open(), 2500, \"op=start\", \"\", \"\", \"\", 1)'"
END
scenario panic <<'END'
run = "echo c >/proc/sysrq-trigger"
END

status=0
"$PROJECT/scripts/dmns-test.sh" run --jobs 1 --junit "$work/junit.xml" --keep-logs "$work/logs" "$work/red" \
	>"$work/said" || status=$?
[ "$status" = 1 ] || die "status $status, not 1"

# says NAME TEXT - whether the report of a scenario has the text.
says() {
	awk -v name="$1" '$1 == "FAILED" { on = $2 == name } /^[0-9]+ passed/ { on = 0 } on' "$work/said" |
		grep -qF -- "$2" || die "the report of $1 does not say: $2"
}
says wrong 'unexpected: NS_INIT_UTS'
says wrong 'missing (0 of 1): '
says oops 'Oops: '
says oops 'dmns_oops_ctr+'
says oops '/dmns_oops.c:'
says oops '; symbols: '
says panic 'sysrq triggered crash'
for name in oops panic; do says "$name" 'Kernel panic - not syncing: '; done
says missing 'missing (0 of 1): '
grep -q '^ok  *late ' "$work/said" || die "late did not pass"
# Where the finding is, in the log that is kept.
says finding ' --> audit.log:'
line=$(sed -n 's/^ *--> audit.log:\([0-9]*\):.*/\1/p' "$work/said" | head -n 1)
sed -n "${line}p" "$work/logs/finding/audit.log" | grep -q '^type=VIRT_CONTROL ' ||
	die "the kept log has no VIRT_CONTROL in line $line"
for name in oops panic wrong missing finding; do
	says "$name" "logs: $work/logs/$name"
	ls "$work/logs/$name/audit.log" "$work/logs/$name/console" >/dev/null
	# A record that is waited for has 60 s, and a step here 100 s.
	seconds=$(sed -n "s/.*<testcase name=\"$name\".* time=\"\([0-9]*\)[.\"].*/\1/p" "$work/junit.xml")
	[ "$seconds" -lt 60 ] || die "$name took $seconds s"
done
for type in kernel log records; do
	grep -q "<failure message=.* type=\"$type\">" "$work/junit.xml" || die "no failure has the type $type"
done
# A package that Debian lacks.
mkdir "$work/lacks"
cat >"$work/lacks/lacks.toml" <<'END'
title = "a package that nobody has"
timeout = 10
packages = ["jq", "no-such-package"]

[[step]]
title = "never"
run = "true"
END
status=0
"$PROJECT/scripts/dmns-test.sh" run "$work/lacks" >"$work/lacked" 2>&1 || status=$?
[ "$status" = 2 ] && grep -q 'no package is called no-such-package' "$work/lacked" || {
	cat "$work/lacked"
	die "status $status, not 2, or the package is not named"
}
say "scenarios that must fail do so at once"
