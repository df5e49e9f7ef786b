#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# links.sh - whether each link between documents leads to a file, in the checkout and in each package as it is installed.
. "$(dirname "$0")/../common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/checkout"
(cd "$PROJECT" && tar -c $(git ls-files --cached --others --exclude-standard)) | tar -x -C "$work/checkout"
packages=$("$PROJECT/scripts/build/packages.sh")
root=$("$PROJECT/scripts/build/packaging-root.sh")
for deb in "$packages"/*.deb; do
	name=$(basename "$deb" .deb)
	"$PROJECT/scripts/in-root.sh" "$root" dpkg-deb --fsys-tarfile "$deb" |
		tar -x -C "$work" --one-top-level="$name" ./usr/share/doc
done

find "$work" -name '*.md' | sort | while read -r page; do
	# Inline links, without anchors. A link in backquotes is an example.
	sed 's/`[^`]*`//g' "$page" | grep -oE '\]\([^)# ]+' | sed 's/^](//' | grep -v '^[a-z]*:' | sort -u | while read -r link; do
		echo link >>"$work/seen"
		[ -e "$(dirname "$page")/$link" ] || echo "${page#"$work"/}: $link" >>"$work/dead"
	done
done
[ ! -e "$work/dead" ] || die "links to nothing:
$(cat "$work/dead")"
seen=$(wc -l <"$work/seen")
[ "$seen" -ge 300 ] || die "only $seen links were seen"
say "$seen links between documents lead to files"
