# The developers' front door; CI calls these targets and nothing else.

CARGO ?= cargo
PORTS ?= default
ARGS ?=
INCIDENT ?= new-years-eve
SEED ?= 1
SEEDS ?= 101 102 103
SCALE ?= 0.2
OUT ?= target/incidents
COMPOSE ?= docker compose

.DEFAULT_GOAL := help
.PHONY: help demo run up up-scale down compose-test load build test lint fmt bench conformance clean incident incidents

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Build, start everything, order food, tell the tale (PORTS=auto for free ports; ARGS=--once to end after it)
	$(CARGO) build --release --locked --bin waybill
	@PORTS=$(PORTS) ./target/release/waybill demo $(ARGS)

run: ## Build and start everything as processes, until Ctrl-C (PORTS=auto for free ports)
	$(CARGO) build --release --locked --bin waybill
	@PORTS=$(PORTS) ./target/release/waybill up $(ARGS)

up: ## The same in containers, with the official collector and Jaeger (needs Docker)
	$(COMPOSE) up --build --wait $(ARGS)

up-scale: ## The same on PostgreSQL, NATS, Elasticsearch and Kibana, two of each service (9 GiB of memory)
	deploy/secrets/make
	$(COMPOSE) --profile scale up --build --wait $(ARGS)

down: ## Stop the containers of `up`; their volumes stay
	$(COMPOSE) --profile laptop --profile scale down $(ARGS)

compose-test: ## Bring both profiles up, kill parts of them under load, count every order and span (ARGS=laptop or scale for one; needs Docker, Node, minutes)
	tests/compose/run $(ARGS)

load: ## Place orders at a running system (ARGS="--rate 50 --duration 30s")
	$(CARGO) build --release --locked --bin waybill
	@./target/release/waybill load $(ARGS)

incident: ## Replay New Year's Eve before and after the cure, and grade the verdicts (INCIDENT=name, SEED=1, SCALE=0.2, OUT=folder)
	$(CARGO) build --release --locked --bin waybill
	@rm -rf $(OUT)/$(INCIDENT)-off $(OUT)/$(INCIDENT)-on
	@for r in off on; do ./target/release/waybill incident $(INCIDENT) --seed $(SEED) --time-scale $(SCALE) --resilience $$r --out $(OUT)/$(INCIDENT)-$$r; done
	@for r in off on; do echo; ./target/release/waybill grade $(OUT)/$(INCIDENT)-$$r; done

incidents: ## Replay every incident with three seeds and print the table of docs/incidents.md (SEEDS="101 102 103", OUT=folder)
	$(CARGO) build --release --locked --bin waybill
	@.ci/incidents $(OUT)/all "$(SEEDS)"

build: ## Build the release binary
	$(CARGO) build --release --locked --bin waybill

test: ## Run every test (ARGS go to cargo test)
	$(CARGO) test --workspace --locked $(ARGS)

lint: ## Formatting, clippy, one version of the tracing crates, arrows between crates
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --workspace --lib --bins --locked -- -D warnings -D clippy::disallowed_methods
	.ci/one-version
	.ci/arrows
	.ci/compose

fmt: ## Format everything
	$(CARGO) fmt --all

bench: ## Benchmarks of the hot paths and one run of the whole system (see docs/performance.md)
	$(CARGO) bench --workspace --locked $(ARGS)

conformance: ## Tests against the real programs, found or built (REQUIRE=1: fail when one is missing; ARGS=word: only those suites)
	@tests/conformance/run $(ARGS)

clean: ## Remove what was built; data/ stays
	$(CARGO) clean
