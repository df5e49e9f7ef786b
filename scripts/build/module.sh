#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# module.sh ROOT KERNEL [MAKE-ARGUMENT...] - builds dmns_audit.ko for KERNEL, in a copy of its source that
# is named after what it is made of. Prints its path.
. "$(dirname "$0")/../common.sh"

root=$1 kernel=$2
shift 2
source=$(cd "$PROJECT" && find kmod uapi scripts/common.sh scripts/build/check-kdir.sh -name target -prune -o -type f ! -path '*/.*' \
	\( -name '*.rs' -o -name '*.[chS]' -o -name "*.sh" -o -name Kbuild -o -name Makefile \) \
	! -name '*_generated.rs' ! -name '*.mod.c' | sort)
# A kernel of one's own has its build's name; the others' folders are named after what they are.
key=$( (cd "$PROJECT" && { cat "$kernel/identity" 2>/dev/null || echo "$kernel"; } && echo "$*" && cat $source) | hash - "$0")
module=$CACHE/module/$(cat "$kernel/release")-$key
if [ ! -d "$module" ]; then
	fresh "$module"
	(cd "$PROJECT" && tar -c $source) | tar -x -C "$module.partial"
	with_kernel "$root" "$kernel" make -C "$module.partial/kmod" KDIR="$(readlink -f "$kernel/build")" \
		$(make_arguments "$kernel") "$@"
	keep "$module"
	# The last few are enough to go back and forth between two checkouts.
	prune "$CACHE/module" 8
else
	touch "$module"
fi
result "$module/kmod/dmns_audit.ko"
