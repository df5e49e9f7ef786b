#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# vng.sh - virtme-ng boots the debug kernel on the files of a root, as docs/guide/kernel-developer.md has it: the module is
# loaded, and the kernel log has the records of a namespace.
. "$(dirname "$0")/../common.sh"

root=$("$PROJECT/scripts/build/build-root.sh")
kernel=$(DMNS_KERNEL=debug "$PROJECT/scripts/build/kernel.sh" "$root")
module=$("$PROJECT/scripts/build/module.sh" "$root" "$kernel")
vng=$(make_root vng "ca-certificates kmod qemu-system-x86 systemd-sysv udev util-linux virtme-ng" 3>&1 | tail -n 1)
work=$CACHE/vng
fresh "$work"
cat >"$work.partial/run" <<-END
	set -e
	modprobe -d "$kernel/modules" dm-mod
	insmod "$module"
	# Without auditd the kernel logs ten records within five seconds, and the baseline has more.
	sleep 6
	unshare --uts true
	sleep 1
	dmesg >"$work.partial/log"
END
"$PROJECT/scripts/in-root.sh" "$vng" vng --run "$kernel/vmlinuz" --disable-kvm --rw --memory 2G --append audit=1 -- sh "$work.partial/run"
for record in 'old_utsns=-2 utsns=' 'dev=00:07 utsns='; do
	grep -q "audit: type=13[89][0-9] .* $record[0-9]* ns_id=[0-9]* res=1" "$work.partial/log" || {
		cat "$work.partial/log"
		die "the kernel log has no record with $record"
	}
done
as_root rm -rf "$work.partial"
say "virtme-ng: the module is loaded, and a namespace has its two records"
