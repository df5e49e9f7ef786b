#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# test-modules.sh ROOT KERNEL - builds the modules that scenarios ask for (`modules`) for KERNEL. Prints their folder.
. "$(dirname "$0")/../common.sh"

root=$1 kernel=$2
source=$PROJECT/userspace-test/modules
modules=$CACHE/test-modules/$(cat "$kernel/release")-$( (echo "$kernel" && cat "$source"/*) | hash - "$0")
if [ ! -d "$modules" ]; then
	fresh "$modules"
	cp "$source"/* "$modules.partial/"
	with_kernel "$root" "$kernel" make -C "$(readlink -f "$kernel/build")" M="$modules.partial" $(make_arguments "$kernel") modules
	keep "$modules"
	prune "$CACHE/test-modules" 4
fi
result "$modules"
