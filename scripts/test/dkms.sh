#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# dkms.sh - whether scripts/build/dkms.sh names exactly what is missing: the headers, an option, the version of rustc, a tool,
# the kernel's source. In the build root, with headers that lack one thing after the other. Builds nothing.
. "$(dirname "$0")/../common.sh"

root=$("$PROJECT/scripts/build/build-root.sh")
kernel=$("$PROJECT/scripts/build/kernel.sh" "$root")
release=$(cat "$kernel/release")
work=$CACHE/dkms-test
as_root rm -rf "$work"
mkdir -p "$work/kept"
headers=$work/headers

# says TEXT [VARIABLE=VALUE...] - it fails, and TEXT is in what it says.
says() {
	text=$1
	shift
	if said=$("$PROJECT/scripts/in-root.sh" "$root" env DMNS_KERNELS="$work/kept" "$@" \
		"$PROJECT/scripts/build/dkms.sh" "$release" "$headers" 2>&1); then
		die "it did not fail, but should say: $text"
	fi
	case $said in
	*"$text"*) say "ok: $text" ;;
	*) die "it should say '$text', but says: $said" ;;
	esac
}

says "headers has no .config: apt-get install linux-headers-$release"
mkdir "$headers"
cp "$kernel/config" "$headers/.config"
sed -i '/^CONFIG_DM_AUDIT=/d' "$headers/.config"
says "CONFIG_DM_AUDIT is not set; the module needs it"
cp "$kernel/config" "$headers/.config"
says "Module.symvers: not there"
: >"$headers/Module.symvers"
sed -i 's/^CONFIG_RUSTC_VERSION_TEXT=.*/CONFIG_RUSTC_VERSION_TEXT="rustc 9.9.9"/' "$headers/.config"
says "configured for 'rustc 9.9.9', but rustc is 'rustc "
cp "$kernel/config" "$headers/.config"
sed -i 's/^CONFIG_CC_VERSION_TEXT=.*/CONFIG_CC_VERSION_TEXT="gcc-99 (Debian)"/' "$headers/.config"
says "gcc-99 is missing: apt-get install gcc-99"
cp "$kernel/config" "$headers/.config"
says "linux-source-$(echo "$release" | cut -d. -f1,2).tar.xz is missing: apt-get install linux-source-"
# Headers that are prepared, by another compiler than their configuration says.
mkdir "$headers/rust"
printf 'rust\0\0\0\tArustc 8.8.8 (metadata)\0' >"$headers/rust/libkernel.rmeta"
says "libkernel.rmeta was made by 'rustc 8.8.8 (metadata)', but rustc is"
as_root rm -rf "$work"
