#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# control.sh ROOT KERNEL - builds the module that shows that KERNEL, a debug kernel, complains. Prints its path.
. "$(dirname "$0")/../common.sh"

root=$1 kernel=$2
source=$PROJECT/userspace-test/control
key=$( (cat "$kernel/identity" 2>/dev/null || true) | hash - "$source/Kbuild" "$source/dmns_control.rs" "$0")
module=$CACHE/control/$(cat "$kernel/release")-$key
if [ ! -d "$module" ]; then
	fresh "$module"
	cp "$source/Kbuild" "$source/dmns_control.rs" "$module.partial/"
	with_kernel "$root" "$kernel" make -C "$(readlink -f "$kernel/build")" M="$module.partial" $(make_arguments "$kernel") modules
	keep "$module"
fi
result "$module/dmns_control.ko"
