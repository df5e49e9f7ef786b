#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# page.sh - runs the test of the HTML page (cli/tests/page) with the Chromium of the browser root.
. "$(dirname "$0")/../common.sh"

# The whole workspace, as for the host tests: with other features its dependencies would be built once more.
built=$("$PROJECT/scripts/cargo.sh" test --quiet --locked --no-run --workspace --test page \
	--message-format json-render-diagnostics)
program=$(echo "$built" | sed -n 's|.*"executable":"\([^"]*/page-[^"]*\)".*|\1|p')
[ -x "$program" ] || die "cargo did not say where it built the test"

# The program is static, so it runs in any root.
root=$("$PROJECT/scripts/build/browser.sh")
"$PROJECT/scripts/in-root.sh" "$root" env DMNS_CHROMIUM=chromium-headless-shell "$program" --include-ignored
