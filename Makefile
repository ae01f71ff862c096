# `make` lists the targets. Everything that a target needs it builds or installs itself.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: build
build: ## bin/ldirectord and the check plugins in bin/plugins, static and stripped
	@scripts/build bin

.PHONY: run
run: ## the main job, shown: servers, a director, a virtual service, failures and their end
	@scripts/demo/run

.PHONY: check
check: ## the quick part: format, vet, staticcheck, house rules, unit tests
	@scripts/test check

.PHONY: test
test: ## all that CI runs: check, race detector, real kernel, real servers, the reference program
	@scripts/test all

.PHONY: test-long
test-long: ## what does not fit into test: fuzzing, the race detector on everything, many random tables
	@scripts/test long

.PHONY: compat
compat: ## the Perl ldirectord and ours over the same configurations, servers and faults: all scenarios (root)
	@scripts/test compat

.PHONY: new-check
new-check: ## NAME=x [DIR=path]: a check that works, to start from
	@scripts/new-check "$(NAME)" "$(DIR)" "$(MODULE)"

.PHONY: bench
bench: ## what checks cost, beside keepalived: processor time, rate, intervals, memory (20 minutes, root)
	@scripts/bench/run

.PHONY: proto
proto: ## generate the Go code of proto/ again
	@scripts/proto

.PHONY: clean
clean: ## remove what build made
	rm -rf bin
