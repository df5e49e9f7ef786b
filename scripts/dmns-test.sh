#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# dmns-test.sh ARGUMENT... - builds the harness, if need be, and runs it.
. "$(dirname "$0")/common.sh"

mkdir -p "$CACHE"
cd "$PROJECT"
"$PROJECT/scripts/cargo.sh" build --quiet --locked -p dmns-test
# Both toolchains may have built it; the last one is right.
program=$(ls -t "$CACHE"/target/*/x86_64-unknown-linux-gnu/debug/dmns-test | head -n 1)
cd "$OLDPWD"
export DMNS_PROJECT="$PROJECT" DMNS_CACHE="$CACHE"
exec "$program" "$@" >&3
