# `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

CARGO ?= cargo
FUZZ_SECONDS ?= 300
MINUTES ?= 10
TIMES ?= 10
PYTHON := .venv/bin/python
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
DESTDIR ?=
PLACES = --prefix '$(PREFIX)' --libdir '$(LIBDIR)' $(if $(DESTDIR),--destdir '$(DESTDIR)')

# Nothing is compiled twice in a new clone, so that what a second compilation needs is no use.
ifeq ($(CI),true)
export CARGO_INCREMENTAL := 0
endif

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "  %-10s %s\n", $$1, $$2 }'

.PHONY: demo
demo: ## Show what varta does, in half a minute
	@examples/demo/run

# Three parts run side by side, because each often waits. The longest begin, which is why what they
# need is made first: make starts a part that must wait for something after all the others. Cargo
# compiles as if it was alone: it must not share the three jobs.
.PHONY: test
test: programs bindings/node/node_modules $(PYTHON) ## Check everything
	CARGO_MAKEFLAGS= $(MAKE) --no-print-directory --jobs=3 --output-sync=target unit c-abi python lint node \
	    soak-short c msrv matrix fuzz-short vectors watch relay compat deploy docs crates

.PHONY: programs
programs: # Install the system packages that tests need
	tools/programs

.PHONY: lint
lint: ## Formatting, lints, every set of features, the docs
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path bench/Cargo.toml --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	tools/notices --check
	tools/judge-is-pure
	$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	for features in '' udp secure-udp panic-handler udp,panic-handler; do \
	    $(CARGO) clippy --quiet -p varta --no-default-features --features "$$features" -- -D warnings; \
	done
	$(CARGO) rustc --quiet -p varta --lib --no-default-features -- --cfg bare -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --quiet --workspace --no-deps
	$(CARGO) clippy --quiet --manifest-path bench/Cargo.toml --target-dir target/bench -- -D warnings
	RUSTFLAGS='--cfg fuzzing' $(CARGO) clippy --quiet --locked --manifest-path fuzz/Cargo.toml \
	    --target-dir target/fuzz-lint -- -D warnings
	python3 -m unittest discover --quiet -s bench/report -t bench

.PHONY: unit
unit: ## The tests of the crates
	tools/programs
	$(CARGO) test --workspace

.PHONY: c-abi
c-abi: ## The C library as users get it: header, symbols, archive, ABI, races
	tools/programs
	ffi/header --check
	ffi/check
	ffi/race/run

.PHONY: c
c: ## Programs in C and C++ against the installed library
	tools/programs
	$(CARGO) build --quiet --release -p varta-ffi --lib
	rm -rf target/c/prefix
	ffi/packaging/install --prefix $(CURDIR)/target/c/prefix
	python3 ffi/tests/installed/run

.PHONY: vectors
vectors: $(PYTHON) ## The shared vectors and stories, in every language
	$(PYTHON) conformance/generate --check conformance/vectors
	conformance/run
	conformance/senders/prove

.PHONY: matrix
matrix: ## Every agent against every observer, those of varta 0.1 and 0.2 too
	conformance/matrix/run

.PHONY: compat
compat: ## The tests that varta 0.2 ships with its packages, against ours
	conformance/compat/run

.PHONY: python
python: ## The Python package, in every Python that is installed
	bindings/python/run test

.PHONY: node
node: bindings/node/node_modules ## The Node package, packed and installed
	node bindings/node/tool/test.js

.PHONY: watch
watch: ## The daemon as a replacement for varta-watch 0.2
	watch/compare/run

.PHONY: relay
relay: programs ## The relay with real NATS servers
	relay/tests/run

.PHONY: relay-kills
relay-kills: KILLS = 100
relay-kills: ## Kill the relay, the server and the daemon KILLS times under load
	relay/tests/run -k killed -s --kills $(KILLS)

.PHONY: soak-short
soak-short:
	watch/soak/run --seconds 10 --profile release

.PHONY: soak
soak: ## Run the daemon under floods, crashes, kills and reloads for MINUTES
	watch/soak/run --minutes $(MINUTES)
	$(CARGO) test --quiet -p varta-history --test files -- --ignored \
	    --exact kills::two_hundred_killed_writers_lose_nothing_that_they_have_written

.PHONY: deploy
deploy: programs ## Systemd units, manifests, alerting rules and dashboard, with the real tools
	deploy/tests/run

.PHONY: fleet
fleet: programs ## Ten hosts in network namespaces, some of them lost, and how fast Prometheus and VictoriaMetrics name them
	VARTA_FLEET_HOSTS=10 VARTA_FLEET_AGENTS=3 VARTA_FLEET_STALLS=20 deploy/tests/run test_fleet.py

.PHONY: fuzz-short
fuzz-short:
	fuzz/run 5

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZ_SECONDS, with sanitizers if the toolchain has them
	fuzz/run --long $(FUZZ_SECONDS)

.PHONY: msrv
msrv: programs ## Compile with the oldest supported Rust
	tools/msrv

.PHONY: install
install: ## Install the C and C++ library: PREFIX= LIBDIR= DESTDIR=
	$(CARGO) build --quiet --release -p varta-ffi --lib
	ffi/packaging/install $(PLACES)

.PHONY: uninstall
uninstall: ## Remove it; takes the same PREFIX, LIBDIR and DESTDIR
	ffi/packaging/install --uninstall $(PLACES)

.PHONY: package
package: ## Build a Debian package of the C and C++ library
	$(CARGO) build --quiet --release -p varta-ffi --lib
	ffi/packaging/deb

.PHONY: crates
crates:
	@# cargo keeps the crates that an earlier run unpacked, although they have changed since.
	rm -rf "$${CARGO_HOME:-$$HOME/.cargo}"/registry/src/-*/varta-[0-9]*
	$(CARGO) publish --quiet --dry-run --allow-dirty -p varta -p varta-observer

.PHONY: docs
docs: target/book-tools/bin/mkdocs ## Build the book in target/book, and check its links, examples and named tests
	tools/named-tests
	docs/book/examples
	NO_MKDOCS_2_WARNING=1 $< build --strict --config-file docs/book/mkdocs.yml

target/book-tools/bin/mkdocs: docs/book/requirements.txt
	python3 -m venv target/book-tools
	target/book-tools/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: causes
causes: ## Produce all causes of silence with and without load, and write how often they are found to docs/causes.md
	tools/programs causes
	$(MAKE) --no-print-directory causes-quiet
	$(MAKE) --no-print-directory causes-loaded
	tools/causes-table target/causes.txt target/causes-loaded.txt

.PHONY: causes-quiet
causes-quiet: TIMES = 2
causes-quiet: # The first part of it: TIMES times without load
	VARTA_CAUSES_TIMES=$(TIMES) VARTA_CAUSES_OUT=$(CURDIR)/target/causes.txt $(ALL_CAUSES)

.PHONY: causes-loaded
causes-loaded: LOAD = 3
causes-loaded: # The second part: once, beside LOAD loops for each CPU
	VARTA_CAUSES_TIMES=1 VARTA_CAUSES_LOAD=$(LOAD) VARTA_CAUSES_OUT=$(CURDIR)/target/causes-loaded.txt $(ALL_CAUSES)

ALL_CAUSES = $(CARGO) test --quiet -p varta-observer --test real_causes -- --ignored --nocapture --exact all_kinds_of_silence_are_counted

.PHONY: bench
bench: ## Measure everything side by side with other libraries, and write a report
	bench/run

.PHONY: bench-quick
bench-quick: ## The same in a quarter of the time
	bench/run --quick

.PHONY: fmt
fmt: ## Format
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path bench/Cargo.toml
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf target .venv bindings/node/target bindings/node/node_modules bench/node/node_modules bench/target fuzz/target fuzz/artifacts fuzz/corpus

bindings/node/node_modules: bindings/node/package-lock.json
	cd bindings/node && npm ci --ignore-scripts --no-audit --no-fund --silent
	touch $@

$(PYTHON): conformance/generate/requirements.txt
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	touch $@
