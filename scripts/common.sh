# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Sourced by the other scripts: the paths, and how to print.

set -eu

# Scripts are in scripts/ and in its folders.
PROJECT=$(dirname "$0")
until [ -e "$PROJECT/scripts/common.sh" ]; do PROJECT=$PROJECT/..; done
PROJECT=$(cd "$PROJECT" && pwd)
CACHE=${DMNS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dmns-audit}

# The Debian that build root, kernel and guest come from: trixie with its backports, or sid as it is.
SUITE=${DMNS_SUITE:-trixie}

# The architecture of the guest, as Debian names it.
ARCH=${DMNS_ARCH:-amd64}

# A script that makes something reports progress on standard error; on standard output it prints only
# the path of what it made: `result PATH`.
exec 3>&1 >&2
result() { printf '%s\n' "$1" >&3; }

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*"; exit 1; }

case $ARCH in
amd64 | arm64) ;;
*) die "DMNS_ARCH=$ARCH: there are amd64 and arm64" ;;
esac
case $SUITE,$ARCH in
trixie,* | sid,amd64) ;;
*) die "DMNS_SUITE=$SUITE: there is trixie, and for amd64 sid" ;;
esac

# hash FILE... - what a cache entry is named after: the content of what it is made of.
hash() { cat "$@" | sha256sum | cut -c1-12; }

# toolchain - which Rust builds the user-space crates: this machine's `own`, if it is new enough and can link
# a static program, else Debian's in the build `root`. DMNS_CARGO=root asks for the latter.
toolchain() {
	needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$PROJECT/Cargo.toml")
	have=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
	if [ "${DMNS_CARGO:-}" != root ] && [ "$ARCH" = amd64 ] && [ -n "$have" ] && cargo --version >/dev/null 2>&1 &&
		printf '%s\n' "$needed" "$have" | sort -CV &&
		[ -e "$(cc -print-file-name=libc.a 2>/dev/null)" ]; then
		echo own
	else
		echo root
	fi
}

# triple - the target of rustc for programs of $ARCH.
triple() {
	case $ARCH in
	amd64) echo x86_64-unknown-linux-gnu ;;
	arm64) echo aarch64-unknown-linux-gnu ;;
	esac
}

# target_dir - where cargo builds: a folder for each checkout and toolchain, or two checkouts would run each
# other's programs.
target_dir() {
	echo "$CACHE/target/$(toolchain)-$(echo "$PROJECT" | hash -)"
}

# as_root COMMAND... - as root, or as root of a user namespace with the user's subordinate ids.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		unshare --map-auto --map-root-user "$@"
	fi
}

# fresh DIR - an empty DIR.partial to work in, whatever an interrupted run left there; `keep DIR` makes
# it DIR. What is called DIR is therefore always whole.
fresh() {
	as_root rm -rf "$1.partial"
	mkdir -p "$1.partial"
}
keep() {
	as_root rm -rf "$1"
	mv "$1.partial" "$1"
}

# compiler_arguments CC - the arguments of make for what is built for a kernel that CC has built; make_arguments KERNEL - the
# same for a kernel of the cache.
make_arguments() { compiler_arguments "$(cat "$1/cc")"; }
compiler_arguments() {
	case $ARCH,$1 in
	arm64,*gcc*)
		echo "$(architecture_arguments) CC=$1 HOSTCC=${1#aarch64-linux-gnu-}"
		echo "CROSS_COMPILE_COMPAT=arm-linux-gnueabihf- CC_COMPAT=arm-linux-gnueabihf-${1#aarch64-linux-gnu-}"
		;;
	*) echo "$(architecture_arguments) CC=$1 HOSTCC=$1" ;;
	esac
}
# architecture_arguments - the arguments of make for a kernel of the guests' architecture.
architecture_arguments() {
	[ "$ARCH" != arm64 ] || echo "ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-"
}

# with_kernel ROOT KERNEL COMMAND... - runs COMMAND with the toolchain that KERNEL was built with: in ROOT, or on this machine
# for a kernel of one's own that was built here.
with_kernel() {
	with_root=$1 with_kernel=$2
	shift 2
	case $(cat "$with_kernel/where" 2>/dev/null) in
	host) "$@" ;;
	*) DMNS_BIND=$(cat "$with_kernel/bind" 2>/dev/null || true) "$PROJECT/scripts/in-root.sh" "$with_root" "$@" ;;
	esac
}

# prune DIR COUNT - removes all but the newest COUNT entries of DIR, but for those of the last day: they may be in use.
prune() {
	ls -td "$1"/* 2>/dev/null | tail -n "+$(($2 + 1))" | while read -r old; do
		[ -n "$(find "$old" -maxdepth 0 -mmin -1440)" ] || as_root rm -rf "$old"
	done
}

# mirror - the Debian mirror that this machine's apt uses, or $DMNS_MIRROR.
mirror() {
	if [ -n "${DMNS_MIRROR:-}" ]; then
		echo "$DMNS_MIRROR"
		return
	fi
	command -v apt-get >/dev/null ||
		die "no apt here to take a Debian mirror from: set DMNS_MIRROR to one (http://HOST/debian)"
	# A Debian of one's own, or a derivative's: it must have the suite's archive key, so ask for Debian.
	uri=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
		sed -n 's/^Debian|Debian|//p' | head -n 1)
	[ -n "$uri" ] || die "apt knows no Debian mirror: run 'apt-get update' first, or set DMNS_MIRROR"
	echo "$uri"
}

# bootstrap ARGUMENT... - mmdebstrap of $SUITE, with its backports if it has any, through the mirror and proxy of this
# machine, for $ARCHITECTURES, or amd64. Lists stay, so that packages can be looked up later. What it mounts, root mounts
# in a namespace of its own, as mmdebstrap does for others: a build that is killed leaves no mounts.
bootstrap() {
	uri=$(mirror)
	proxy=$(apt-config dump 2>/dev/null | sed -n 's/^Acquire::http::Proxy "\(..*\)";$/\1/p')
	# A mirror that is kept as it was at some time, if apt takes it here.
	until=$(apt-config dump 2>/dev/null | sed -n 's/^Acquire::Check-Valid-Until "\(..*\)";$/\1/p')
	backports=
	[ "$SUITE" = sid ] || backports="deb $uri $SUITE-backports main"
	own_mounts=
	[ "$(id -u)" != 0 ] || own_mounts="unshare --mount --propagation slave"
	$own_mounts mmdebstrap --variant=minbase --components=main --architectures="${ARCHITECTURES:-amd64}" \
		--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
		${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
		${until:+--aptopt="Acquire::Check-Valid-Until \"$until\""} \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		"$@" "deb $uri $SUITE main" ${backports:+"$backports"}
}

# make_root NAME PACKAGES - makes a Debian with PACKAGES in the cache, called NAME and a hash of what it is made from. Prints
# its path.
make_root() {
	root=$CACHE/build-root/$1-$(echo "$2" | hash - "$0")
	if [ ! -d "$root" ]; then
		"$PROJECT/scripts/build/host-tools.sh"
		fresh "$root"
		rmdir "$root.partial"
		bootstrap --skip=cleanup/apt/lists --include="$(echo $2 | tr ' ' ,)" "" "$root.partial"
		keep "$root"
	fi
	result "$root"
}

# check_packages ROOT PACKAGE... - fails if Debian, as the lists of ROOT have it, lacks one of these. mmdebstrap would fail
# minutes later.
check_packages() {
	root=$1
	shift
	for package in "$@"; do
		"$PROJECT/scripts/in-root.sh" "$root" apt-cache policy "$package" | grep -q '^  Candidate: [^(]' ||
			die "no package is called $package in $SUITE or $SUITE-backports"
	done
}
