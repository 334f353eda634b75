# Every target installs what it needs (servers through scripts/servers), works as root and as a normal user,
# touches no server that it did not start and leaves no process behind.
CARGO ?= cargo
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

.PHONY: help test test-long demo lint bench fuzz servers

help:
	@echo 'make test       unit, house and integration tests: within 20 minutes on two cores, compilation included'
	@echo 'make test-long  every kind and every version pair, scale, and online migrations by the dozen: seeds, kills, a huge transaction'
	@echo '                LONG=online:: runs a part of it: kinds::, lanes::, model::, online::, pairs::, schemas:: or sizes::'
	@echo 'make demo       an online migration 13 -> 18 of a realistic database that is written to (DEMO_SCALE=10: about 1 GB)'
	@echo 'make lint       formatting, clippy, dependencies and licences'
	@echo 'make bench      the benchmarks, against pg_dump and pg_restore'
	@echo 'make fuzz       each fuzz target for FUZZ_SECONDS (default 60); needs a nightly toolchain and cargo-fuzz'

servers:
	scripts/servers

test: servers
	scripts/settle --sweep
	INSTA_UPDATE=no $(CARGO) test --locked --no-fail-fast
	scripts/settle

test-long: servers
	scripts/settle --sweep
	$(CARGO) test --locked --release --features long-tests --test long -- $(LONG)
	scripts/settle

demo:
	scripts/demo

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings
	$(CARGO) test --locked --quiet --test house

bench: servers
	scripts/settle --sweep
	$(CARGO) bench --locked
	scripts/settle

fuzz:
	cd fuzz && for target in $$(cargo +nightly fuzz list); do \
	  cargo +nightly fuzz run $$target -- -max_total_time=$${FUZZ_SECONDS:-60}; done
