#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# audit-tools.sh - prints a folder with Debian 12's audit tools, unpacked and not installed: auvirt (which audit
# 4.0 no longer has), ausearch, and their libraries in lib/. AUDIT_TOOLS names one that is there already; else
# the packages are downloaded, on a Debian 12.
. "$(dirname "$0")/../common.sh"

tools=${AUDIT_TOOLS:-$CACHE/audit-3.0.9}
if [ ! -x "$tools/usr/bin/auvirt" ]; then
	fresh "$tools"
	(cd "$tools.partial" && apt-get download auditd libaudit1 libauparse0 >/dev/null &&
		for deb in *.deb; do dpkg -x "$deb" .; done) ||
		die "cannot download auditd: set AUDIT_TOOLS to a folder with it unpacked"
	[ -x "$tools.partial/usr/bin/auvirt" ] ||
		die "this system's auditd has no auvirt: set AUDIT_TOOLS to a folder with Debian 12's unpacked"
	keep "$tools"
fi
result "$tools"
