#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# own-kernel.sh ROOT IMAGE RELEASE VERSION MODULES KDIR COMPILER - makes a folder like that of kernel.sh, of links, for a
# kernel that is built already: IMAGE, which calls itself RELEASE and VERSION (`uname -r`, `uname -v`). MODULES is its
# lib/modules/RELEASE, or `install`: they are installed from KDIR. KDIR is its build tree, or `none`. Prints the path.
#
# In addition to kernel.sh's files, `identity` names the build, and `bind` the folders of KDIR. `where` is the toolchain that
# KDIR was built with: the `root`'s or this `host`'s. If neither has it, there is no `cc`, unless COMPILER is `required`.
. "$(dirname "$0")/../common.sh"

root=$1 image=$2 release=$3 version=$4 modules=$5 kdir=$6 compiler=$7

identity=$(echo "$image $(stat -L -c '%s %Y' "$image") $release $version $modules $kdir" |
	if [ "$kdir" = none ]; then hash - "$0"; else hash - "$0" "$kdir/.config" "$kdir/Module.symvers"; fi)
built=$identity
# A module that is built anew is installed anew, and dmns_audit.ko need not be built for that.
if [ "$modules" = install ]; then
	built=$(
		(echo "$identity" && cd "$kdir" && sed 's/[.]o$/.ko/' modules.order | xargs -r stat -c '%n %s %Y') | hash -
	)
fi
kernel=$CACHE/own/$release-$built
# compiler IN - the first that is the one of the configuration, and makes programs for the guests. IN is empty, or runs a
# command in the root.
compiler() {
	case $ARCH in amd64) machine=x86_64 ;; *) machine=aarch64 ;; esac
	text=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\(.*\)"$/\1/p' "$kdir/.config")
	major=$(sed -n 's/^CONFIG_CLANG_VERSION=\([1-9][0-9]*\)[0-9]\{4\}$/\1/p' "$kdir/.config")
	for cc in ${text%% *} gcc clang ${major:+clang-$major}; do
		[ "$($1 "$cc" --version 2>/dev/null | head -n 1)" = "$text" ] || continue
		case $cc,$($1 "$cc" -dumpmachine) in
		clang*,* | *,$machine-*)
			echo "$cc"
			return
			;;
		esac
	done
}
# rust IN - whether it has the Rust compiler of the configuration, if that has one.
rust() {
	text=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"$/\1/p' "$kdir/.config")
	[ -z "$text" ] || [ "$($1 rustc --version 2>/dev/null)" = "$text" ]
}
in_root() { "$PROJECT/scripts/in-root.sh" "$root" "$@"; }

if [ -e "$kernel/release" ]; then
	touch "$kernel"
else
	fresh "$kernel"
	new=$kernel.partial
	ln -s "$image" "$new/vmlinuz"
	echo root >"$new/where"
	: >"$new/bind"
	if [ "$kdir" != none ]; then
		ln -s "$kdir" "$new/build"
		cp "$kdir/.config" "$new/config"
		# A tree of its own, or the output folder of one (O=).
		{
			printf '%s' "$kdir"
			[ ! -e "$kdir/source" ] || printf ' %s' "$(readlink -f "$kdir/source")"
		} >"$new/bind"
	fi
	if [ "$modules" = install ]; then
		# Only copies, strips and lists: any toolchain for the architecture does. The key of a signature may be outside of the
		# tree.
		DMNS_BIND=$(cat "$new/bind") in_root sh -eu -c '
			make -s -C "$1" $4 modules_install INSTALL_MOD_PATH="$2/modules" INSTALL_MOD_STRIP=1 CONFIG_MODULE_SIG_ALL= DEPMOD=true
			rm -f "$2/modules/lib/modules/$3/build"
			depmod -b "$2/modules" "$3"' sh "$kdir" "$new" "$release" "$(architecture_arguments)"
		[ -e "$new/modules/lib/modules/$release/modules.dep" ] ||
			die "$kdir: its modules are of $(ls "$new/modules/lib/modules"), its image is $release: build both, make bzImage modules"
	else
		mkdir -p "$new/modules/lib/modules"
		ln -s "$modules" "$new/modules/lib/modules/$release"
	fi
	echo "$identity" >"$new/identity"
	echo "$version" >"$new/package"
	echo "$release" >"$new/release"
	keep "$kernel"
	prune "$CACHE/own" 8
fi
# What was not found then may have been installed since.
if [ "$kdir" != none ] && [ ! -e "$kernel/cc" ]; then
	cc=$(compiler '')
	if [ -n "$cc" ] && rust ''; then
		echo host >"$kernel/where"
	else
		cc=$(compiler in_root)
		[ -z "$cc" ] || rust in_root || cc=
	fi
	if [ -n "$cc" ]; then
		echo "$cc" >"$kernel/cc"
	elif [ "$compiler" = required ]; then
		die "$kdir: built by $(sed -n 's/^CONFIG_\(CC\|RUSTC\)_VERSION_TEXT=//p' "$kdir/.config" |
			paste -sd ' ' | sed 's/" "/" and "/'): neither this machine nor the build root ($root) has these compilers, so no module can be built for it; build the kernel with one of theirs, or give a module that is built (--module, --against-module), or none (--no-module, --against-no-module)"
	fi
fi
result "$kernel"
