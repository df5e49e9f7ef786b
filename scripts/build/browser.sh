#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Makes the browser root: a Debian with the Chromium that the test of the HTML page drives. Prints its path.
. "$(dirname "$0")/../common.sh"

# The shell is Chromium without windows; without a font, text has no size.
PACKAGES="chromium-headless-shell fonts-dejavu-core"

root=$CACHE/browser/$SUITE-$(echo "$PACKAGES" | hash - "$0")
if [ ! -d "$root" ]; then
	"$PROJECT/scripts/build/host-tools.sh"
	fresh "$root"
	rmdir "$root.partial"
	bootstrap --include="$(echo $PACKAGES | tr ' ' ,)" "" "$root.partial"
	keep "$root"
fi
result "$root"
