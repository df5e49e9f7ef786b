#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# fleet.sh [ARGUMENT...] - holds the views of contrib/clickhouse/ against `dmns-audit report`, in ClickHouse's embedded
# engine: chdb-core, from the Python package index, which is kept in the cache. Arguments are those of
# contrib/clickhouse/test.py.
. "$(dirname "$0")/../common.sh"

engine=$CACHE/chdb
if [ ! -x "$engine/bin/python" ]; then
	command -v python3 >/dev/null || die "python3 is missing: apt install python3 python3-venv"
	fresh "$engine"
	say "installing chdb-core (180 MB)"
	python3 -m venv "$engine.partial" && "$engine.partial/bin/pip" install --quiet chdb-core ||
		die "cannot install chdb-core: are python3-venv and the Python package index there?"
	keep "$engine"
fi
"$PROJECT/scripts/cargo.sh" build --quiet --locked -p dmns-audit-cli -p dmns-audit-tools --bin dmns-audit --bin generate-log
target=$(target_dir)/x86_64-unknown-linux-gnu/debug
for seed in 1 2 3; do
	"$engine/bin/python" "$PROJECT/contrib/clickhouse/test.py" "$target/dmns-audit" "$target/generate-log" \
		--seed "$seed" "$@" >&3
done
