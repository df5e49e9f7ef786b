#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# packages.sh [VERSION] - builds the Debian packages with Debian's own tools, in a root of theirs, and lets lintian
# judge them. Prints the folder with the .deb files. VERSION is another one than Cargo.toml's: what an upgrade is
# tried with; it lacks dmns-audit-test. DEB_BUILD_OPTIONS=noopt makes it faster, and the programs slower. DMNS_ARCH=arm64
# builds for that, without dmns-audit-test.
. "$(dirname "$0")/../common.sh"

root=$("$PROJECT/scripts/build/packaging-root.sh")
cd "$PROJECT"
# What git has or would take: the same in a fresh clone, and without what builds left behind.
files=$(git ls-files --cached --others --exclude-standard | grep -v -e '^cli/fuzz/' -e '^cli/tests/' -e '^recorder/tests/' -e '/snapshots/' \
	-e '^scripts/test/' -e '^scripts/bench/')
was=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
version=${1:-$was}
profile=
if [ "$version" != "$was" ] || [ "$ARCH" != amd64 ]; then profile=pkg.dmns-audit.notest; fi
packages=$CACHE/packages/$version-$( (echo "$version $root ${DEB_BUILD_OPTIONS:-}" && cat $files) | hash -)
mkdir -p "$CACHE/packages"
exec 7>"$CACHE/packages/lock"
flock 7
if [ ! -d "$packages" ]; then
	# Always the same folder: cargo makes anew what is somewhere else.
	build=$CACHE/packages/build
	fresh "$build"
	work=$build.partial/dmns-audit
	mkdir "$work"
	tar -c $files | tar -x -C "$work"
	# Only the next version of an upgrade differs from what is committed.
	if [ "$version" != "$was" ]; then
		sed -i "s/^version = \"$was\"$/version = \"$version\"/" "$work/Cargo.toml"
		sed -i "s/MODULE_VERSION(\"$was\")/MODULE_VERSION(\"$version\")/" "$work/kmod/helpers.c"
		sed -i "1s/($was)/($version)/" "$work/debian/changelog"
		(cd "$work" && awk -v was="$was" -v version="$version" '
			/^name = "dmns-/ { ours = 1 }
			ours && $0 == "version = \"" was "\"" { $0 = "version = \"" version "\""; ours = 0 }
			{ print }' Cargo.lock >lock && mv lock Cargo.lock)
	fi
	[ "$(sed -n '1s/.*(\(.*\)).*/\1/p' "$work/debian/changelog")" = "$version" ] ||
		die "debian/changelog does not begin with $version, the version of Cargo.toml"
	"$PROJECT/scripts/in-root.sh" "$root" sh -eu -c '
		export CARGO_HOME=$1/cargo CARGO_TARGET_DIR=$1/target/packages${DEB_BUILD_OPTIONS:+-$DEB_BUILD_OPTIONS}
		cd "$2"
		# Tools to build with are those of this architecture, and looked for in the other.
		[ "$3" = amd64 ] || set -- "$@" --no-check-builddeps
		arch=$3 profile=$4
		shift 4
		dpkg-buildpackage --build=binary --no-sign --host-arch "$arch" ${profile:+--build-profiles=$profile} "$@"
		cd ..
		lintian --fail-on error --info --allow-root *.changes' sh "$CACHE" "$work" "$ARCH" "$profile"
	as_root rm -rf "$work" "$packages"
	mv "$build.partial" "$packages"
	# README installs what `newest` leads to.
	newest=$(readlink "$CACHE/packages/newest" || true)
	ls -td "$CACHE"/packages/[0-9]* | grep -v "/$newest\$" | tail -n +7 | while read -r old; do as_root rm -rf "$old"; done
fi
# What people install, not what a test makes.
[ -n "$profile${DEB_BUILD_OPTIONS:-}" ] || ln -sfn "$(basename "$packages")" "$CACHE/packages/newest"
result "$packages"
