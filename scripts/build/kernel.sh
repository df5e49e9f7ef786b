#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# kernel.sh ROOT - fetches Debian's newest kernel that has Rust, as it is on offer now, and prepares its
# source for building modules. Prints the path of the result:
#
#   release    the version, as `uname -r` says it      package   Debian's version
#   vmlinuz    the kernel                              modules/  lib/modules of the kernel
#   build/     the prepared source: KDIR for modules
#
# DMNS_KERNEL=7.3 takes the newest that begins so, DMNS_KERNEL=rt the newest with PREEMPT_RT, DMNS_KERNEL=cloud the one
# for guests of clouds. DMNS_KERNEL=debug and
# =kasan have one built that complains: scripts/build/debug-kernel.sh.
. "$(dirname "$0")/../common.sh"

root=$1
begins=${DMNS_KERNEL:-} flavour=$ARCH
case $begins in
debug | kasan) exec "$PROJECT/scripts/build/debug-kernel.sh" "$root" "$begins" >&3 ;;
rt | cloud) flavour=$begins-$ARCH begins='' ;;
esac
kernel=$CACHE/kernel/$(basename "$root")-$(hash "$0")${DMNS_KERNEL:+-$DMNS_KERNEL}
if [ -e "$kernel/release" ]; then
	result "$kernel"
	exit
fi

# apt COMMAND... - runs in the root. Its sources are the suites from which the kernel comes.
apt() { "$PROJECT/scripts/in-root.sh" "$root" "$@"; }

# version PACKAGE - the newest version on offer.
version() { apt apt-cache madison "$1" | awk -F ' *[|] *' 'NR == 1 { print $2 }'; }

# A kernel is of use if its image, modules, headers and source are on offer in one version. Signed ones
# come first; a newer series may be there unsigned only.
choose() {
	apt apt-cache search --names-only "^linux-headers-[0-9.]+[+]deb[0-9]+-$flavour\$" |
		sed -n 's/^linux-headers-\([^ ]*\) .*/\1/p' | grep "^$begins" | sort -rV >"$kernel/offered"
	for binary in linux-binary linux-binary-unsigned; do
		while read -r release; do
			series=$(echo "$release" | cut -d. -f1,2)
			package=$(version "linux-headers-$release:$ARCH")
			if [ "$(version "$binary-$release:$ARCH")" = "$package" ] &&
				[ "$(version "linux-modules-$release:$ARCH")" = "$package" ] &&
				[ "$(version "linux-source-$series")" = "$package" ]; then
				return
			fi
		done <"$kernel/offered"
	done
	die "no kernel ${DMNS_KERNEL:-} with its source is on offer for $SUITE (headers: $(tr '\n' ' ' <"$kernel/offered"))"
}

as_root rm -rf "$kernel"
mkdir -p "$kernel"
apt apt-get -q update
choose
say "kernel $release ($package)"

mkdir "$kernel/debs"
# apt refuses to drop its rights in a folder of ours; it needs none here.
apt sh -c 'cd "$0" && apt-get -q -o APT::Sandbox::User=root download "$@"' "$kernel/debs" \
	"linux-headers-$release:$ARCH" "$binary-$release:$ARCH" "linux-modules-$release:$ARCH" \
	"linux-base-$release:$ARCH" "linux-source-$series"
apt sh -eu -c '
	kernel=$0 release=$1
	cd "$kernel"
	for deb in debs/linux-[hbm]*.deb; do
		dpkg-deb -x "$deb" unpacked
	done
	mkdir build
	dpkg-deb --fsys-tarfile debs/linux-source-*.deb |
		tar -xO --wildcards "./usr/src/linux-source-*.tar.xz" | tar -xJ --strip-components=1 -C build
	mv "unpacked/usr/lib/modules/$release"/vmlinuz* vmlinuz
	rm -f "unpacked/usr/lib/modules/$release/build" "unpacked/usr/lib/modules/$release/source"
	mkdir -p modules/lib
	mv unpacked/usr/lib/modules modules/lib/
	depmod -b modules "$release"
	headers=unpacked/usr/src/linux-headers-$release
	grep -q "^CONFIG_RUST=y" "$headers/.config" || { echo "$release has no CONFIG_RUST"; exit 1; }
	# vmlinux holds the BTF that the BTF of a module builds on.
	cp "$headers/.config" "$headers/Module.symvers" "$headers/vmlinux" build/
	cp build/.config config
	echo "$release" | sed "s/^[0-9.]*//" >build/localversion
	rm -rf debs unpacked
' "$kernel" "$release"

# The compiler that Debian names in its configuration; the Rust compiler is the root's.
cc=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$kernel/config")
echo "$cc" >"$kernel/cc"
apt make -C "$kernel/build" $(make_arguments "$kernel") -j"$(nproc)" olddefconfig prepare modules_prepare
# A missing tool (pahole, say) switches options off and so changes the layout of structures.
apt diff -u "$kernel/config" "$kernel/build/.config" ||
	die "the build root does not reproduce Debian's configuration of $release (see the lines above)"
[ "$(cat "$kernel/build/include/config/kernel.release")" = "$release" ] ||
	die "the prepared source calls itself $(cat "$kernel/build/include/config/kernel.release"), not $release"

apt "$PROJECT/scripts/build/uts-version.sh" "$kernel/vmlinuz" "$kernel/build"

echo "$package" >"$kernel/package"
echo "$release" >"$kernel/release"
result "$kernel"
