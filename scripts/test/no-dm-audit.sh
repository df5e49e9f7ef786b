#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# no-dm-audit.sh - the module as it is built for a kernel without CONFIG_DM_AUDIT: it records namespaces alone. The
# configuration of the stock kernel is changed in a tree of links, so no kernel is built.
. "$(dirname "$0")/../common.sh"

root=$("$PROJECT/scripts/build/build-root.sh")
kernel=$("$PROJECT/scripts/build/kernel.sh" "$root")
work=$CACHE/no-dm-audit
fresh "$work"
work=$work.partial
cp -as "$kernel/build" "$work/build"
for file in .config include/config/auto.conf include/generated/autoconf.h include/generated/rustc_cfg; do
	rm "$work/build/$file"
	sed '/CONFIG_DM_AUDIT/d' "$kernel/build/$file" >"$work/build/$file"
done
cp "$kernel/release" "$kernel/cc" "$work"
echo "$kernel without CONFIG_DM_AUDIT" >"$work/identity"
module=$("$PROJECT/scripts/build/module.sh" "$root" "$work" KRUSTFLAGS=-Dwarnings KCFLAGS=-Werror)
"$PROJECT/scripts/dmns-test.sh" --kernel "$kernel/vmlinuz" --modules "$kernel/modules" --module "$module" \
	run --keep-logs "$work/logs" unshare-all
grep -rqF 'the kernel lacks CONFIG_DM_AUDIT: records of namespaces alone' "$work/logs/unshare-all" ||
	die "the kernel log does not say that the kernel lacks CONFIG_DM_AUDIT"
if grep -rF 'dm_audit_log_bio: attached' "$work/logs"; then
	die "a function of device mapper is replaced"
fi
as_root rm -rf "$work"
say "without CONFIG_DM_AUDIT the module records namespaces alone"
