#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# control.sh ROOT KERNEL - builds the module that shows that KERNEL, a debug kernel, complains. Prints its path.
. "$(dirname "$0")/../common.sh"

root=$1 kernel=$2
source=$PROJECT/userspace-test/control
module=$CACHE/control/$(cat "$kernel/release")-$(hash "$source/Kbuild" "$source/dmns_control.rs" "$0")
if [ ! -d "$module" ]; then
	fresh "$module"
	cp "$source/Kbuild" "$source/dmns_control.rs" "$module.partial/"
	cc=$(cat "$kernel/cc")
	"$PROJECT/scripts/in-root.sh" "$root" make -C "$kernel/build" M="$module.partial" CC="$cc" modules
	keep "$module"
fi
result "$module/dmns_control.ko"
