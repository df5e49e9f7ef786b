#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# patches.sh - each patch of docs/upstream, with those before it: checkpatch.pl has nothing to report but what the cover
# letters name; what it touches compiles, without a warning (W=1, sparse, clippy, rustfmt) that was not there before. Without the
# option of the series, and without Rust, it compiles as well; without the option, to the same code as before.
# sparse is used if SPARSE names one that knows the kernel's words, a file in the cache: 0.6.5 or newer. trixie's does not.
. "$(dirname "$0")/../common.sh"

root=$("$PROJECT/scripts/build/build-root.sh")
perl -MTerm::ANSIColor -e 1 2>/dev/null || die "checkpatch.pl needs perl: apt install perl"
in_root() { "$PROJECT/scripts/in-root.sh" "$root" "$@"; }
# applied COUNT - the source with so many patches.
applied() { INTREE_STOP=applied "$PROJECT/scripts/build/intree.sh" "$root" intree "$1"; }
linux=$(applied 0)
work=${linux%/linux}/checked
cc=$(cat "$(DMNS_KERNEL='' "$PROJECT/scripts/build/kernel.sh" "$root")/cc")
mkdir -p "$work/build"

# What the patches touch, and who includes their headers.
OBJECTS="kernel/audit.o kernel/auditsc.o kernel/auditfilter.o kernel/audit_watch.o kernel/audit_tree.o kernel/audit_fsnotify.o
	kernel/nstree.o kernel/nsproxy.o kernel/fork.o kernel/exit.o kernel/time/clocksource.o fs/nsfs.o fs/namespace.o
	security/lsm_audit.o io_uring/io_uring.o drivers/md/dm-audit.o drivers/md/dm-crypt.o drivers/md/dm-integrity.o
	drivers/md/dm-verity-target.o samples/rust/rust_debugfs.o samples/rust/rust_debugfs_scoped.o"

# compile NAME OPTION... - configures with these changes, compiles, and leaves the warnings in $work/NAME.
compile() {
	name=$1
	shift
	objects=$OBJECTS
	# Those that the series adds, where it is switched on.
	for one in kernel/audit_ns kernel/audit_ns_kunit; do
		[ ! -e "$linux/$one.c" ] || case $* in *AUDIT_NAMESPACES*) ;; *) objects="$objects $one.o" ;; esac
	done
	case $* in *RUST*) objects=$(echo $objects | sed 's/ samples[^ ]*//g') ;; esac
	in_root sh -eu -c '
		work=$0 linux=$1 cc=$2 log=$3 fragments=$4 objects=$5
		shift 5
		cd "$linux"
		build() { make -s O="$work/build" CC="$cc" HOSTCC="$cc" "$@"; }
		build x86_64_defconfig kvm_guest.config
		scripts/config --file "$work/build/.config" --disable WERROR
		(cd "$work/build" && CC="$cc" HOSTCC="$cc" "$linux/scripts/kconfig/merge_config.sh" -m .config $fragments >/dev/null)
		[ $# = 0 ] || scripts/config --file "$work/build/.config" "$@"
		build olddefconfig
		# The root lacks what kernel-doc needs.
		build -j"$(nproc)" W=1 KERNELDOC=/dev/null ${SPARSE:+C=1 CHECK="$SPARSE"} $objects 2>"$log.log" || { cat "$log.log"; exit 1; }
		# Line numbers move with a patch.
		grep "warning:" "$log.log" | sed "s/:[0-9]*:[0-9]*:/:/" | sort -u >"$log" || true
	' "$work" "$linux" "$cc" "$work/$name" \
		"$PROJECT/userspace-test/kernels/common.config $PROJECT/userspace-test/kernels/intree.config" "$objects" "$@"
}
# clippy NAME - has clippy look at the kernel's crates and samples, and leaves the warnings with their files in $work/NAME.
clippy() {
	in_root make -s -C "$linux" O="$work/build" CC="$cc" HOSTCC="$cc" CLIPPY=1 samples/rust/ >"$work/$1.log" 2>&1 ||
		{ cat "$work/$1.log"; die "$patch: clippy fails"; }
	awk '/^warning: / { said = $0 } /^ *--> / { sub(/:[0-9]+:[0-9]+$/, "", $2); print said, $2 }' "$work/$1.log" |
		sort -u >"$work/$1"
}
# no_new NAME BEFORE - whether the warnings of NAME were there BEFORE.
no_new() {
	more=$(comm -13 "$work/$2" "$work/$1")
	[ -z "$more" ] || die "$patch: new warnings:
$more"
}
# code NAME - the instructions of what the series touches.
code() {
	for object in kernel/audit.o kernel/auditsc.o kernel/nstree.o kernel/nsproxy.o; do
		in_root objdump -dr --no-show-raw-insn "$work/build/$object"
	done >"$work/$1"
}

say "before the patches"
patch=none
compile before
clippy clippy-before
last_fix=$(ls "$PROJECT"/docs/upstream/fixes/0*.patch | tail -n 1)
number=0
for patch in $(ls "$PROJECT"/docs/upstream/fixes/0*.patch "$PROJECT"/docs/upstream/namespaces/0*.patch | grep -v /0000-); do
	number=$((number + 1))
	linux=$(applied "$number")
	say "$(basename "$(dirname "$patch")")/$(basename "$patch")"
	(cd "$linux" && perl scripts/checkpatch.pl --strict --terse --no-summary "$patch") >"$work/checkpatch" || [ $? = 1 ] ||
		die "$patch: checkpatch.pl itself fails"
	# The cover letters have a reason for each of these.
	! grep -v -e 'does MAINTAINERS need updating' -e 'ENOSYS means' -e 'Unknown commit id' "$work/checkpatch" ||
		die "$patch: checkpatch.pl reports more than the cover letter names"
	compile with
	no_new with before
	case $patch in
	*/fixes/0003-*)
		in_root make -s -C "$linux" O="$work/build" CC="$cc" HOSTCC="$cc" rustfmtcheck
		clippy clippy-with
		no_new clippy-with clippy-before
		;;
	"$last_fix")
		# might_sleep() would have line numbers in the code.
		compile off --disable AUDIT_NAMESPACES --disable DEBUG_ATOMIC_SLEEP
		code code-before
		;;
	esac
done
say "without the option of the series, and without Rust"
compile without --disable AUDIT_NAMESPACES --disable DEBUG_ATOMIC_SLEEP
no_new without off
code code-after
cmp "$work/code-before" "$work/code-after" || die "without CONFIG_AUDIT_NAMESPACES the code is not as before"
compile no-rust --disable RUST
no_new no-rust before
say "$number patches: checkpatch.pl, W=1${SPARSE:+, sparse}, clippy, rustfmt; without the option the code is as before"
