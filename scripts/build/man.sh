#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# man.sh - makes the manual pages of dmns-audit and dmns-audit-record, and their completions for bash, zsh and fish, from
# what --help says; prints the folder.
. "$(dirname "$0")/../common.sh"

folder=$CACHE/manual
fresh "$folder"
"$PROJECT/scripts/cargo.sh" run --quiet --locked -p dmns-audit-tools --bin manual -- "$folder.partial"
keep "$folder"
say "manual pages: man -l $folder/man1/dmns-audit.1; completions: $folder/completions"
result "$folder"
