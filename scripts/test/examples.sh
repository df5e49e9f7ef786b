#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# examples.sh - runs the scenarios in documents, as they stand there. Those of docs/guide/ci.md need packages: ci.sh runs them.
. "$(dirname "$0")/../common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for page in docs/guide/scenarios.md CONTRIBUTING.md; do
	# A block is a whole scenario if it begins with a title.
	awk -v file="$work/$(basename "$page" .md)" '
		/^```toml$/ { first = 1; next }
		/^```/ { first = on = 0 }
		first { on = /^title = /; count += on; first = 0 }
		on { print >(file "-" count ".toml") }' "$PROJECT/$page"
	ls "$work/$(basename "$page" .md)"-*.toml >/dev/null || die "$page has no scenario"
done
"$PROJECT/scripts/dmns-test.sh" run --jobs 1 "$work"
