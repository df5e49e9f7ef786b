#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# intree.sh ROOT KIND [COUNT] - builds a kernel of the source that the stock one is made of, with the patches of
# docs/upstream. Prints the path of the result, which is as scripts/build/kernel.sh makes it, without build/.
#
#   intree        with both series: it emits the records of namespaces itself
#   intree-debug  the same with the checks of the debug kernel
#   fixes         with docs/upstream/fixes alone
#   unpatched     with none, in the same configuration: what the others are compared with
#
# Those without the checks are built in one folder, so that a change of a patch compiles what it touches. An interrupted
# build continues. INTREE_STOP=applied stops before the build, and prints the source. INTREE_STOP=built prints the build tree in
# place of the result: modules can be built against it until another kind is built. COUNT takes the first patches only.
. "$(dirname "$0")/../common.sh"

root=$1 kind=$2 checks=
case $kind in
intree) series="fixes namespaces" ;;
intree-debug) series="fixes namespaces" checks=debug ;;
fixes) series=fixes ;;
unpatched) series= ;;
*) die "there is no kind $kind: intree, intree-debug, fixes, unpatched" ;;
esac
[ "$ARCH" = amd64 ] || die "its configuration is for amd64, not $ARCH"
command -v git >/dev/null || die "git applies the patches, and is missing: apt install git"

stock=$(DMNS_KERNEL='' "$PROJECT/scripts/build/kernel.sh" "$root")
fragments=
for one in common intree $checks; do fragments="$fragments $PROJECT/userspace-test/kernels/$one.config"; done
patches=$(for one in $series; do ls "$PROJECT/docs/upstream/$one"/0*.patch | grep -v /0000-; done | head -n "${3:-100}")
key=$(hash $fragments "$stock/package" $patches)
kernel=$CACHE/kernel/$(basename "$root")-$kind-$key
if [ -e "$kernel/release" ] && [ -z "${INTREE_STOP:-}" ]; then
	result "$kernel"
	exit
fi

cc=$(cat "$stock/cc")
in_root() { "$PROJECT/scripts/in-root.sh" "$root" "$@"; }
work=$CACHE/kernel-intree/$(basename "$root")-$(hash "$stock/package")${checks:+-$checks}
if [ ! -e "$work/prepared" ]; then
	say "preparing the source of $(cat "$stock/package")"
	as_root rm -rf "$work"
	mkdir -p "$work/build"
	cp -a --reflink=auto "$stock/build" "$work/linux"
	in_root make -s -C "$work/linux" CC="$cc" HOSTCC="$cc" mrproper
	rm -f "$work/linux/vmlinux" "$work/linux/localversion"
	: >"$work/touched"
	: >"$work/prepared"
fi

# apply PATCH - applies it to the files in patched/, which are Debian's where no patch has touched them yet.
apply() {
	sed -n 's/^--- a\///p; s/^+++ b\///p' "$1" | sort -u | while read -r file; do
		if ! grep -qxF "$file" "$work/files" && [ -e "$stock/build/$file" ]; then
			mkdir -p "$(dirname "$work/patched/$file")"
			cp "$stock/build/$file" "$work/patched/$file"
		fi
		echo "$file" >>"$work/files"
	done
	# Not the repository that the cache may be in.
	if ! (cd "$work/patched" && GIT_CEILING_DIRECTORIES=$work git apply "$1") 2>"$work/refused"; then
		cat "$work/refused"
		# error: patch failed: FILE:LINE, where LINE is in the header of the hunk
		failed=$(sed -n 's/^error: patch failed: //p' "$work/refused" | head -n 1)
		file=${failed%:*} line=${failed##*:}
		hunk=$(awk -v file="$file" -v line="$line" '
			/^diff --git/ { here = $3 == "a/" file; n = 0 }
			here && /^@@/ { n++; split($2, at, /[-,]/); if (at[2] == line) { print n, $0; exit } }' "$1")
		die "$(basename "$1") does not apply to $(cat "$stock/package"): ${file:-see above}${hunk:+, hunk $hunk}"
	fi
}

as_root rm -rf "$work/patched"
mkdir "$work/patched"
: >"$work/files"
for patch in $patches; do apply "$patch"; done

# Only what differs becomes newer, so that make compiles nothing else.
sort -u "$work/files" "$work/touched" >"$work/touched.new"
mv "$work/touched.new" "$work/touched"
while read -r file; do
	from=$stock/build/$file
	! grep -qxF "$file" "$work/files" || from=$work/patched/$file
	if [ ! -e "$from" ]; then
		rm -f "$work/linux/$file"
	elif ! cmp -s "$from" "$work/linux/$file"; then
		mkdir -p "$(dirname "$work/linux/$file")"
		cp "$from" "$work/linux/$file"
	fi
done <"$work/touched"
if [ "${INTREE_STOP:-}" = applied ]; then
	result "$work/linux"
	exit
fi

say "building the $kind kernel of $(cat "$stock/package"): some 25 minutes on two processors the first time"
# The name differs with the patches, so that no guest gets the modules of another kernel.
echo "-$kind-$key" >"$work/build/localversion"
fresh "$kernel"
in_root sh -eu -c '
	work=$0 cc=$1 kernel=$2 kind=$3
	shift 3
	cd "$work/linux"
	build() { make O="$work/build" CC="$cc" HOSTCC="$cc" "$@"; }
	build -s x86_64_defconfig kvm_guest.config
	(cd "$work/build" && CC="$cc" HOSTCC="$cc" "$work/linux/scripts/kconfig/merge_config.sh" -m .config "$@" >/dev/null)
	build -s olddefconfig
	# What a fragment asks for and does not come would be missed by nobody.
	refused=$(sed -n "/^CONFIG_/p" "$@" | while read -r wanted; do
		case $kind,$wanted in
		intree*,*) ;;
		*,CONFIG_AUDIT_NAMESPACES*) continue ;;
		esac
		grep -qxF -e "$wanted" -e "${wanted%%=*}=y" "$work/build/.config" || echo "$wanted"
	done)
	[ -z "$refused" ] || { echo "the configuration does not take $refused"; exit 1; }
	build -j"$(nproc)" bzImage modules
	build -s modules_install INSTALL_MOD_PATH="$kernel/modules" INSTALL_MOD_STRIP=1
	release=$(cat "$work/build/include/config/kernel.release")
	rm -f "$kernel/modules/lib/modules/$release/build"
	depmod -b "$kernel/modules" "$release"
	if [ "${kind%-debug}" = intree ]; then
		# To the guest it comes with the modules.
		build -s headers
		selftests=tools/testing/selftests
		mkdir "$kernel/modules/lib/modules/$release/selftests"
		"$cc" -O2 -Wall -Werror -static -isystem "$work/build/usr/include" -I "$selftests" \
			-o "$kernel/modules/lib/modules/$release/selftests/ns_records_test" "$selftests/audit/ns_records_test.c"
	fi
	cp "$work/build/arch/x86/boot/bzImage" "$kernel/vmlinuz"
	cp "$work/build/.config" "$kernel/config"
	cp "$work/build/include/config/kernel.release" "$kernel/release"
' "$work" "$cc" "$kernel.partial" "$kind" $fragments
echo "$cc" >"$kernel.partial/cc"
cp "$stock/package" "$kernel.partial/package"
keep "$kernel"
kept=$kernel
[ "${INTREE_STOP:-}" != built ] || kernel=$work/build
for old in "$CACHE/kernel/$(basename "$root")-$kind"-????????????; do
	[ "$old" = "$kept" ] || [ -n "$(find "$old" -maxdepth 0 -mmin -1440)" ] || as_root rm -rf "$old"
done
result "$kernel"
