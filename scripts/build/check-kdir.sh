#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# check-kdir.sh KDIR [options | config] - whether the module can be built against this kernel tree; if not, the first thing
# that is missing and what to do about it. With `config`, whether it could, were the tree prepared; with `options`, whether
# the kernel has all that it needs.
arch=${ARCH:-$(uname -m)}
. "$(dirname "$0")/../common.sh"

kdir=$1
config=$kdir/.config
[ -d "$kdir" ] || die "$kdir: no such folder; give the kernel's build tree as KDIR="
[ -e "$config" ] || die "$config: not there; configure the kernel first"
for option in RUST AUDITSYSCALL KPROBES DYNAMIC_FTRACE_WITH_DIRECT_CALLS \
	PREEMPT_COUNT SECURITYFS; do
	grep -q "^CONFIG_$option=y" "$config" || die "$config: CONFIG_$option is not set; the module needs it"
done
grep -q '^CONFIG_DM_AUDIT=y' "$config" ||
	echo "$config: CONFIG_DM_AUDIT is not set: the module records namespaces alone" >&2
[ "${2:-}" != options ] || exit 0
[ -e "$kdir/Module.symvers" ] ||
	die "$kdir/Module.symvers: not there; build the kernel, or take the file from its headers package"
built=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"$/\1/p' "$config")
have=$(${RUSTC:-rustc} --version 2>/dev/null || echo none)
[ "$built" = "$have" ] ||
	die "$kdir is configured for '$built', but ${RUSTC:-rustc} is '$have': use the same (RUSTC=...), or prepare the tree again"
[ "${2:-}" != config ] || exit 0
case $arch in
x86*) option=X86_64 other="ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-" ;;
*) option=ARM64 other="ARCH=x86_64 CROSS_COMPILE=x86_64-linux-gnu-" ;;
esac
grep -q "^CONFIG_$option=y" "$config" || die "$kdir: configured for another architecture than $arch: add $other"
[ -e "$kdir/rust/libkernel.rmeta" ] ||
	die "$kdir: not prepared for Rust modules; run 'make -C $kdir prepare modules_prepare'. Debian's linux-headers packages have no rust/ at all: 'make module' without KDIR prepares the source instead"
# The metadata, not the configuration, is what rustc reads: a compiler that was replaced after `prepare` is refused by it.
built=$(head -c 4096 "$kdir/rust/libkernel.rmeta" | tr -c '[:print:]' '\n' | grep -o -m 1 'rustc [0-9].*' || echo "an unknown rustc")
[ "$built" = "$have" ] ||
	die "$kdir/rust/libkernel.rmeta was made by '$built', but ${RUSTC:-rustc} is '$have': use the same (RUSTC=...), or prepare the tree again"
