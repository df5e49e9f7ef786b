# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# The front door. Each target does all of its own set-up; what it makes is kept outside the checkout, in
# $DMNS_CACHE (~/.cache/dmns-audit).

DMNS_TEST := scripts/dmns-test.sh

.DEFAULT_GOAL := help
.PHONY: help demo check test test-long test-libvirt test-runtimes test-files test-packages test-fleet test-arm64 test-debug test-intree torture test-all soak bench vm module prepare packages fuzz man update clean

help: ## Say what there is to do
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null || \
		grep '##' $(MAKEFILE_LIST)

demo: ## Watch the module catch a real integrity violation at its exact sector, and every namespace
	@$(DMNS_TEST) run --live dm-integrity-2021 unshare-all

# A variable, not a target that `test` makes: a line with $(MAKE) runs also where make is called with -n.
CHECK := scripts/words.sh && scripts/lint.sh && scripts/cargo.sh test --quiet --locked --workspace

check: ## Format, lints, host tests: under a minute warm
	@$(CHECK)

# The guest image waits for the network: it is prepared while the host tests are built.
test: ## What `make check` does, and the scenarios in QEMU
	@scripts/build/host-tools.sh
	@$(DMNS_TEST) --version >/dev/null
	@$(DMNS_TEST) prepare >/dev/null & prepared=$$!; \
	scripts/cargo.sh test --no-run --quiet --locked --workspace && $(CHECK); tested=$$?; \
	wait $$prepared && exit $$tested
	@scripts/test/interrupt.sh
	@logs=$$(mktemp -d) && $(DMNS_TEST) run --keep-logs "$$logs" && scripts/test/readme.sh "$$logs" && rm -r "$$logs"

# The host tests also by Debian's Rust, in the build root: where a machine has none, `make test` takes that.
test-long: ## The HTML page in Chromium, examples of documents, runs that must fail, scenarios that take minutes each
	@DMNS_CARGO=root scripts/cargo.sh test --quiet --locked --workspace
	@scripts/test/page.sh
	@scripts/test/examples.sh
	@scripts/test/red.sh
	@scripts/test/interrupt-root.sh
	@$(DMNS_TEST) run --long
	@$(DMNS_TEST) run filter --set toggles=1000

test-libvirt: ## The scenarios in a guest with libvirt and QEMU of its own (an image of 750 MB)
	@$(DMNS_TEST) run --image libvirt

test-runtimes: ## The scenarios in a guest with podman, Docker, nspawn, LXC (an image of 1 GB)
	@$(DMNS_TEST) run --image runtimes

test-files: ## The scenarios in a guest with ext4, XFS, btrfs, FAT and LVM: from a sector to the file (an image of 350 MB)
	@$(DMNS_TEST) run --image files

test-packages: ## The Debian packages: lintian, a guest with systemd that they are installed in, the jobs of docs/guide/ci.md
	@scripts/build/packages.sh >/dev/null
	@scripts/test/links.sh
	@scripts/test/dkms.sh
	@scripts/test/install.sh
	@scripts/test/space.sh
	@scripts/test/ci.sh
	@$(DMNS_TEST) run --image packages

# What touches lifetimes of memory: the whole suite under KASAN takes hours.
KASAN := control-kasan control-sleep unshare-all unshare-each-kind ns-all-paths info-levels attach-refused reload-resume \
	reload-under-load crypt-softirq crypt-aead-async integrity-hmac

test-debug: ## Every scenario on a kernel that complains, with controls and faults; a third of them under KASAN
	@DMNS_KERNEL=debug $(DMNS_TEST) run
	@scripts/test/own-kernel.sh
	@scripts/test/no-dm-audit.sh
	@scripts/test/vng.sh
	@DMNS_KERNEL=debug $(DMNS_TEST) run --long
	@DMNS_KERNEL=kasan $(DMNS_TEST) run $(KASAN)

LONG_ON_ARM64 := backlog-wakeup dm-ctr-during-load ns-create-during-load ns-silenced-same-tick

test-arm64: ## The scenarios on Debian's arm64 kernel, emulated; what only x86-64 has is skipped, with its reason
	@$(DMNS_TEST) --arch arm64 run
	@$(DMNS_TEST) --arch arm64 run $(LONG_ON_ARM64)
	@$(DMNS_TEST) --arch arm64 diff
	@scripts/test/dkms-arm64.sh

test-intree: ## The kernels with the patches of docs/upstream, without the module (some 60 minutes the first time)
	@scripts/test/intree.sh

test-fleet: ## The views of contrib/clickhouse/ against the reports, in ClickHouse's embedded engine (180 MB)
	@scripts/test/fleet.sh

MINUTES := 4
SEED := 1

torture: ## Random devices with random damage, every record predicted: by the module, then by dm-audit.c (MINUTES=4, SEED=1)
	@$(DMNS_TEST) torture --seed $(SEED) --minutes $(MINUTES)
	@$(DMNS_TEST) --no-module torture --seed $(SEED) --minutes $(MINUTES)

test-all: test test-long test-libvirt test-runtimes test-files test-packages test-fleet test-arm64 test-debug test-intree torture ## All tests, also those that need a larger guest or a debug kernel

CYCLES := 1000
SECONDS_OF_FUZZ := 3600
IN_PARALLEL := unshare-all ns-all-paths ns-balance reload-under-load
ON_MORE := unshare-all ns-balance reload-under-load dm-event-flood dm-io-never-blocks

soak: ## Load and unload, more processors, random calls: hours (CYCLES=1000, SECONDS_OF_FUZZ=3600)
	@DMNS_KERNEL=debug $(DMNS_TEST) run soak --set cycles=$(CYCLES)
	@$(DMNS_TEST) run soak --repeat 10 --set cycles=$(CYCLES)
	@$(DMNS_TEST) run --cpus 2 --repeat 50 $(ON_MORE)
	@$(DMNS_TEST) run --cpus 4 --repeat 50 $(ON_MORE)
	@$(DMNS_TEST) run --cpus 4 --parallel --repeat 20 $(IN_PARALLEL)
	@DMNS_KERNEL=debug $(DMNS_TEST) run fuzz --set seconds=$(SECONDS_OF_FUZZ)
	@$(DMNS_TEST) run hostile-churn-load hostile-quota hostile-sleepers-cost panic-on-warn
	@DMNS_KERNEL=rt $(DMNS_TEST) run rt-reload

bench: ## Count the instructions that records cost, and compare (some minutes; not part of the tests)
	@$(DMNS_TEST) bench

vm: ## Open a shell in a guest, module loaded
	@$(DMNS_TEST) shell --live

module: ## Build the module: for Debian's kernel, or with KDIR= for a prepared tree and its toolchain
ifdef KDIR
	$(if $(word 2,$(KDIR)),$(error KDIR=$(KDIR): a path with a space, which the kernel's makefiles do not take))
	@scripts/build/check-kdir.sh $(KDIR)
	@scripts/build/hooks.sh $(KDIR); hooks=$$?; \
	$(MAKE) -C kmod KDIR=$(abspath $(KDIR)) --no-print-directory && exit $$hooks
else
	@$(DMNS_TEST) prepare
endif

prepare: ## Make what the other targets need (build root, kernel, guest image, module)
	@$(DMNS_TEST) prepare

packages: ## Build the Debian packages: dmns-audit, dmns-audit-dkms, dmns-audit-test
	@packages=$$(scripts/build/packages.sh) && ls "$$packages"/*.deb && echo "To install them, as root:" && \
		echo "  apt install $$packages/dmns-audit_*.deb $$packages/dmns-audit-dkms_*.deb"

fuzz: ## Fuzz the readers of audit logs for a minute (SECONDS=3600 for an hour)
	@scripts/test/fuzz.sh $(SECONDS)

man: ## Make the manual pages of dmns-audit and the completions of shells
	@scripts/build/man.sh

update: ## Take the kernel and packages that Debian offers now
	@scripts/build/forget.sh build-root kernel kernel-intree guest browser
	@$(DMNS_TEST) prepare

clean: ## Remove all that was made, in the checkout and in the cache
	@scripts/build/forget.sh .
