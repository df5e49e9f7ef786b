#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# forget.sh PART... - removes these parts of the cache (build-root, kernel, guest, browser, module, target), or all
# of it (.), with what building the module in place left in the checkout.
. "$(dirname "$0")/../common.sh"

for part in "$@"; do
	case $part in
	.)
		as_root rm -rf "$CACHE"
		(cd "$PROJECT" && git clean -q -fdX -- kmod target)
		;;
	build-root | kernel | kernel-intree | guest | browser | module | target) as_root rm -rf "${CACHE:?}/$part" ;;
	*) die "no such part: $part" ;;
	esac
done
