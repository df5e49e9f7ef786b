#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# bisect.sh [ARGUMENT...] - for `git bisect run`, in a kernel tree with a .config: builds it, and runs dmns-test's `run` with
# these arguments on it (scenarios, --no-module, --arch arm64). A commit that cannot be built or booted is skipped (exit status
# 125). DMNS_BUILD is the command that builds, by default `make -jN bzImage modules` after `make olddefconfig`, for arm64 by
# Debian's cross compiler. DMNS_TEST is the harness, by default that of this checkout.
dmns_test=${DMNS_TEST:-$(dirname "$0")/dmns-test.sh}
# A harness that cannot be built, or a mistake in the arguments, says nothing of the kernel: git ends the bisection.
DMNS_ARCH=$("$dmns_test" run --bisect --dry-run --tree "$PWD" "$@") || exit 255
export DMNS_ARCH
make=make image=bzImage
case $DMNS_ARCH in arm64) make="make ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-" image=Image ;; esac
sh -c "${DMNS_BUILD:-$make olddefconfig && $make -j$(nproc) $image modules}" </dev/null || exit 125
exec "$dmns_test" run --bisect --tree "$PWD" "$@"
