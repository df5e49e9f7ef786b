#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# fuzz.sh [SECONDS] - fuzzes the readers of logs for so long, a minute by default, shared by the targets in
# cli/fuzz. It begins with the logs of the tests. Needs a Rust and a C++ compiler; the coverage is LLVM's, which
# a stable rustc has. `fuzz.sh --check` only compiles the targets.
. "$(dirname "$0")/../common.sh"

manifest=$PROJECT/cli/fuzz/Cargo.toml
if [ "${1:-}" = --check ]; then
	# Nothing is linked, so libFuzzer need not be built.
	cd "$PROJECT"
	CUSTOM_LIBFUZZER_PATH=/nonexistent/libfuzzer.a \
		exec scripts/cargo.sh clippy --quiet --locked --manifest-path cli/fuzz/Cargo.toml -- -D warnings
fi
seconds=${1:-60}
triple=x86_64-unknown-linux-gnu
target=$(target_dir)-fuzz
# As cargo-fuzz has it, but for a sanitizer: the tool has next to no `unsafe`.
coverage="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
	coverage="$coverage -Cllvm-args=-sanitizer-coverage-$option"
done
say "building the targets"
# With a target, programs that only build are not instrumented.
CARGO_TARGET_DIR=$target RUSTFLAGS=$coverage \
	cargo build --quiet --release --locked --target "$triple" --manifest-path "$manifest"
corpus=$CACHE/fuzz
mkdir -p "$corpus/found"
for name in record log export several; do
	mkdir -p "$corpus/$name"
	say "fuzzing $name for $((seconds / 4)) s; its inputs are kept in $corpus/$name, what fails in $corpus/found"
	# A log may be long; a log that takes seconds is a bug too.
	"$target/$triple/release/$name" "$corpus/$name" "$PROJECT/cli/tests/logs" "$PROJECT/cli/tests/corpus" \
		-artifact_prefix="$corpus/found/$name-" -dict="$PROJECT/cli/fuzz/audit.dict" -max_len=16384 -timeout=10 \
		-rss_limit_mb=1024 -max_total_time=$((seconds / 4)) -verbosity=0 -print_final_stats=1 ||
		die "$name failed: the input is in $corpus/found"
done
