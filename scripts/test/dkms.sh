#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# dkms.sh - whether scripts/build/dkms.sh names exactly what is missing, and the apt command that brings it: the headers, an
# option, the version of rustc, a tool, the kernel's source. In the build root, with headers that lack one thing after the
# other. Builds nothing. scripts/test/install.sh runs such commands.
. "$(dirname "$0")/../common.sh"

root=$("$PROJECT/scripts/build/build-root.sh")
kernel=$("$PROJECT/scripts/build/kernel.sh" "$root")
release=$(cat "$kernel/release")
work=$CACHE/dkms-test
as_root rm -rf "$work"
mkdir -p "$work/kept"
headers=$work/headers

dkms() { "$PROJECT/scripts/in-root.sh" "$root" env DMNS_KERNELS="$work/kept" "$PROJECT/scripts/build/dkms.sh" "$@" 2>&1 3>&1; }

# says TEXT... - it fails, and each TEXT is in what it says.
says() {
	if said=$(dkms "$release" "$headers"); then
		die "it did not fail, but should say: $1"
	fi
	for text in "$@"; do
		case $said in
		*"$text"*) say "ok: $text" ;;
		*) die "it should say '$text', but says: $said" ;;
		esac
	done
}
# compiled_by TEXT - the configuration, as if this rustc had built the kernel.
compiled_by() { sed "s/^CONFIG_RUSTC_VERSION_TEXT=.*/CONFIG_RUSTC_VERSION_TEXT=\"$1\"/" "$kernel/config" >"$headers/.config"; }

says "headers has no .config" "comes with: apt install linux-headers-$release"
mkdir "$headers"
sed '/^CONFIG_KPROBES=/d' "$kernel/config" >"$headers/.config"
says "CONFIG_KPROBES is not set; the module needs it"
# Without this one the module has fewer records.
sed '/^CONFIG_DM_AUDIT=/d' "$kernel/config" >"$headers/.config"
says "CONFIG_DM_AUDIT is not set: the module records namespaces alone" "the kernel's source is missing"

compiled_by "rustc 9.9.9"
says "rustc is 1.85" "9.9.9 built this kernel, and apt offers no rustc 9.9.9"
newer=$("$PROJECT/scripts/in-root.sh" "$root" apt-cache madison rustc 3>&1 | awk 'NR == 1 { print $3 }')
compiled_by "rustc ${newer%%+*} (of backports)"
says "${newer%%+*} built this kernel" \
	"apt install rustc/$SUITE-backports libstd-rust-dev/$SUITE-backports rust-src/$SUITE-backports"

# All that is missing, and one command for it.
sed -i 's/^CONFIG_CC_VERSION_TEXT=.*/CONFIG_CC_VERSION_TEXT="x86_64-linux-gnu-gcc-99 (Debian)"/' "$headers/.config"
says "x86_64-linux-gnu-gcc-99 is missing" "apt install gcc-99 rustc/$SUITE-backports" \
	" linux-source-$(echo "$release" | cut -d. -f1,2)"

cp "$kernel/config" "$headers/.config"
says "the kernel's source is missing" "comes with: apt install linux-source-"

# Headers that are prepared, by another compiler than their configuration says.
mkdir "$headers/rust" "$headers/kernel"
: >"$headers/kernel/audit.h"
: >"$headers/Module.symvers"
printf 'rust\0\0\0\tArustc 8.8.8 (metadata)\0' >"$headers/rust/libkernel.rmeta"
says "libkernel.rmeta was made by 'rustc 8.8.8 (metadata)', but rustc is"

# Headers as Ubuntu has them: Rust's libraries, and no header that is private to the kernel. The module is built.
tree=$kernel/build top=linux-source-${release%%-*}
as_root rm -rf "$headers"
cp -al "$tree" "$headers"
as_root rm -rf "$headers/kernel" "$headers/fs/mount.h"
says "the kernel's source is missing" "comes with: apt install $top"
tar -C "$tree" --transform "s,^,$top/," -cJf "$work/source.tar.xz" kernel/audit.h fs/mount.h
"$PROJECT/scripts/in-root.sh" "$root" env DMNS_KERNELS="$work/kept" DMNS_SOURCE="$work/source.tar.xz" \
	"$PROJECT/scripts/build/dkms.sh" "$release" "$headers"
grep -aq "vermagic=$release " "$PROJECT/kmod/dmns_audit.ko" ||
	die "no module was built with headers of Ubuntu's layout"
"$PROJECT/scripts/in-root.sh" "$root" make -s -C "$PROJECT/kmod" KDIR="$tree" clean
# Its files are those of the tree.
rm "$headers/.config"
say "ok: headers of Ubuntu's layout"

# A kernel that cannot have the module is no failure: another one may.
sed '/^CONFIG_RUST=/d' "$kernel/config" >"$headers/.config"
dkms --check "$release" "$headers" >/dev/null && status=0 || status=$?
[ "$status" = 3 ] || die "--check of a kernel without Rust ends with $status"
dkms --check "6.12.0-amd64" "$headers" >/dev/null && status=0 || status=$?
[ "$status" = 3 ] || die "--check of 6.12 ends with $status"
say "ok: kernels that cannot have the module"
as_root rm -rf "$work"
