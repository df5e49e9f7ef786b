#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# fuzz.sh [SECONDS] - fuzzes the readers of logs for so long, a minute by default, shared by the targets in
# cli/fuzz. It begins with the logs of the tests. Needs a nightly Rust and cargo-fuzz.
. "$(dirname "$0")/../common.sh"

seconds=${1:-60}
cargo +nightly fuzz --version >/dev/null 2>&1 ||
	die "no cargo-fuzz: rustup toolchain install nightly, then cargo install cargo-fuzz"
cd "$PROJECT/cli"
corpus=$CACHE/fuzz
for target in record log export several; do
	mkdir -p "$corpus/$target"
	say "fuzzing $target for $((seconds / 4)) s; what it finds is kept in $corpus/$target"
	# A log may be long; a log that takes seconds is a bug too.
	CARGO_TARGET_DIR=$(target_dir)-fuzz cargo +nightly fuzz run --sanitizer none --fuzz-dir fuzz "$target" "$corpus/$target" \
		tests/logs -- -dict=fuzz/audit.dict -max_len=16384 -timeout=10 -rss_limit_mb=1024 \
		-max_total_time=$((seconds / 4)) -verbosity=0 -print_final_stats=1
done
