#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Makes sure that this machine can make Debian roots and run QEMU: installs what is missing where this is
# root, else says what to install.
. "$(dirname "$0")/../common.sh"

[ "$(uname -m)" = x86_64 ] || die "needs an x86-64 machine, also for guests of arm64: this is $(uname -m)"

missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need mmdebstrap mmdebstrap
case $ARCH in
amd64) need qemu-system-x86_64 qemu-system-x86 ;;
arm64) need qemu-system-aarch64 qemu-system-arm ;;
esac
need flock util-linux
need setpriv util-linux
if [ "$(id -u)" != 0 ]; then
	need newuidmap uidmap
	if [ -z "$missing" ]; then
		grep -q "^$(id -un):" /etc/subuid ||
			die "$(id -un) has no subordinate ids: as root, run 'usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)'"
		unshare --map-auto --map-root-user true 2>/dev/null ||
			die "user namespaces are off here (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces), or util-linux is older than 2.38: run this as root"
	fi
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	say "installing$missing"
	mkdir -p "$CACHE"
	{
		apt-get update &&
			DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
				$missing debian-archive-keyring
	} >"$CACHE/apt.log" 2>&1 || {
		tail -n 20 "$CACHE/apt.log"
		die "could not install$missing"
	}
else
	die "please install$missing: as root, 'apt-get install$missing'"
fi
