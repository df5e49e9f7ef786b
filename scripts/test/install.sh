#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# install.sh [WAY...] - installs the packages as docs/guide/install.md says, in a Debian 13 that has what a stock machine has,
# by each way that apt invites. No way may fail, or leave a package half configured: either the module is built, or the
# terminal has an apt command, which is run as printed, and builds it.
#
#   stock       no backports in apt's sources; once these are enabled, the kernel is missing
#   kernel      kernel and headers are there, by `-t trixie-backports`: so is their libelf, which trixie's libelf-dev is not of
#   target      the same, and `-t trixie-backports` for the packages: rustc is too new
#   rustc       rustc of backports was there before, and libclang 22, which bindgen 0.71 takes
#
# The kernel's source is prepared once, and kept in the cache. apt's downloads are shared: some 0.7 GB.
. "$(dirname "$0")/../common.sh"

"$PROJECT/scripts/build/host-tools.sh"
packages=$("$PROJECT/scripts/build/packages.sh")
work=$CACHE/install
mkdir -p "$work/archives/partial" "$work/kept"
base=$work/$SUITE-$(hash "$0")
in_root() { "$PROJECT/scripts/in-root.sh" "$@"; }

if [ ! -d "$base" ]; then
	as_root rm -rf "$work/$SUITE"-*
	fresh "$base"
	rmdir "$base.partial"
	proxy=$(apt-config dump 2>/dev/null | sed -n 's/^Acquire::http::Proxy "\(..*\)";$/\1/p')
	# Recommends are on, as on any machine.
	mmdebstrap --variant=important --include=ca-certificates --components=main --architectures=amd64 --skip=cleanup/apt/lists \
		--aptopt='Acquire::Retries "3"' ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
		--dpkgopt=force-unsafe-io \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--customize-hook='printf "%s\n" "grub-pc grub-pc/install_devices multiselect" | chroot "$1" debconf-set-selections' \
		"$SUITE" "$base.partial" "deb $(mirror) $SUITE main"
	printf '%s\n' 'APT::Keep-Downloaded-Packages "true";' 'APT::Sandbox::User "root";' "Dir::Cache::archives \"$work/archives\";" |
		as_root tee "$base.partial/etc/apt/apt.conf.d/90archives" >/dev/null
	keep "$base"
fi

# made ROOT - whether the module is there, for a kernel with Rust.
made() { in_root "$1" sh -c 'ls /usr/lib/modules/*/updates/dkms/dmns_audit.ko* && dkms status -m dmns-audit | grep ": installed"' >/dev/null 2>&1; }

# run COMMAND - as root would type it, in $root. Its output is in $root.log.
run() {
	say "$way: $1"
	in_root "$root" env DEBIAN_FRONTEND=noninteractive sh -euc "cd /srv && $1" >"$root.log" 2>&1 </dev/null || {
		tail -n 30 "$root.log"
		die "$way: '$1' failed"
	}
	half=$(in_root "$root" dpkg --audit 3>&1)
	[ -z "$half" ] || die "$way: after '$1', dpkg --audit says: $half"
}

# advised - the commands that the last command printed. Without a terminal, apt does not ask whether it may take an older version.
advised() {
	# dpkg writes to a terminal of apt's.
	tr -d '\r' <"$root.log" | sed -n "s/^dmns-audit:   \(echo '.*\|apt .*\)$/\1/p; s/^.*what is missing comes with: \(apt install .*\)$/\1/p" |
		sed 's/^apt install/apt-get -y --allow-downgrades -q install/; s/^apt update/apt-get -q update/'
}

install='apt-get install -y -q ./dmns-audit_*.deb ./dmns-audit-dkms_*.deb'
backports="echo 'deb $(mirror) $SUITE-backports main' >/etc/apt/sources.list.d/backports.list; apt-get -q update"
kernel='linux-image-amd64 linux-headers-amd64'
[ $# -gt 0 ] || set -- stock kernel target rustc
for way in "$@"; do
	root=$work/$way
	as_root rm -rf "$root"
	as_root cp -a --reflink=auto "$base" "$root"
	cp "$packages"/dmns-audit_*.deb "$packages"/dmns-audit-dkms_*.deb "$root/srv"
	# What an earlier way has prepared.
	mkdir -p "$root/var/lib/dmns-audit"
	cp -a --reflink=auto "$work/kept" "$root/var/lib/dmns-audit/kernel"
	[ "$way" = stock ] || run "$backports"
	case $way in
	stock)
		run "$install"
		says="trixie-backports main' >"
		;;
	target)
		run "apt-get install -y -q -t $SUITE-backports $kernel"
		run "apt-get install -y -q -t $SUITE-backports ./dmns-audit_*.deb ./dmns-audit-dkms_*.deb"
		says="rustc/$SUITE "
		;;
	kernel)
		run "apt-get install -y -q -t $SUITE-backports $kernel"
		run "$install"
		says='libelf-dev='
		;;
	rustc)
		run "apt-get install -y -q rustc/$SUITE-backports libclang1-22 $(echo "$kernel " | sed "s, ,/$SUITE-backports ,g")"
		run "$install"
		says="rustc/$SUITE "
		;;
	*) die "no such way: $way" ;;
	esac
	grep -qF -e "$says" "$root.log" || {
		grep '^dmns-audit:' "$root.log" || true
		die "$way: the terminal should say '$says'"
	}
	# As printed, and again where the next thing is missing.
	for turn in 1 2 3; do
		! made "$root" || break
		advised=$(advised)
		[ -n "$advised" ] || die "$way: no module, and no command that brings it: $root.log"
		run "$advised"
	done
	made "$root" || {
		tail -n 30 "$root.log"
		die "$way: there is no module"
	}
	as_root rm -rf "$work/kept"
	as_root cp -a --reflink=auto "$root/var/lib/dmns-audit/kernel" "$work/kept"
	run 'apt-get purge -y -q dmns-audit dmns-audit-dkms'
	left=$(find "$root/var/lib" "$root/etc" "$root/usr/lib" "$root/usr/src" "$root/usr/sbin" -name '*dmns*')
	[ -z "$left" ] || die "$way: purge leaves $left"
	as_root rm -rf "$root" "$root.log"
	say "$way: passed"
done
