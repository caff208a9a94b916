# The commands of this repository. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO_DENY_VERSION := 0.20.2

.PHONY: help build image demo cluster cluster-down test bench check fmt goldens install install-image

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

install:
	@tests/install.sh

install-image:
	@deploy/image/install.sh $(ARCH)

image: install-image ## the container image for amd64 and arm64, as an OCI archive (no container engine needed; ARCH=amd64 for one)
	@deploy/image/build.sh $(ARCH)

build: ## the netpol binary, target/release/netpol
	cargo build --release --locked -p netpol-agent

demo: install ## two nodes and some pods as network namespaces: who reaches whom before, with and after policies (root)
	@cargo build --quiet --locked -p netpol-agent -p netpol-tests --bins
	@target/debug/demo

CNI ?= bridge
PROXY ?= nftables
cluster: install ## a real Kubernetes cluster of two nodes, in namespaces of this machine; CNI=bridge|ptp PROXY=nftables|iptables (root)
	@cargo build --quiet --locked -p netpol-tests --bin cluster
	@target/debug/cluster up --cni $(CNI) --proxy $(PROXY)

cluster-down: ## ends it and removes every trace
	@cargo build --quiet --locked -p netpol-tests --bin cluster
	@target/debug/cluster down

HOST_ARCH := $(if $(filter aarch64,$(shell uname -m)),arm64,amd64)
test: ARCH = $(HOST_ARCH)
test: install install-image ## every test: real packets, a real API server, real clusters with the agent's own image (root; minutes)
	cargo build --locked -p netpol-agent --bins
	@tests/control-plane/build.sh cluster >/dev/null
	@tests/control-plane/build.sh helm >/dev/null
	NETPOL_IMAGE=$$(NETPOL_IMAGE_DIR=target/test-image deploy/image/build.sh $(ARCH)) && export NETPOL_IMAGE && cargo test --locked --workspace --no-fail-fast

bench: ARCH = $(HOST_ARCH)
bench: install install-image ## what compiling costs and how it grows; what a logged drop costs, and how many a second the kernel hands on; what programming the kernel and looking through its connections costs; what the agent costs at its design size, and as a pod of a cluster; how much longer pods take to start (root)
	cargo bench --quiet --locked -p policy-compiler --bench compile
	cargo bench --quiet --locked -p netpol-agent --bench flow_log
	cargo bench --quiet --locked -p netpol-tests --bench flow_log
	cargo bench --quiet --locked -p netpol-tests --bench dataplane
	cargo bench --quiet --locked -p netpol-tests --bench connections
	cargo bench --quiet --locked -p netpol-tests --bench agent
	NETPOL_IMAGE=$$(NETPOL_IMAGE_DIR=target/test-image deploy/image/build.sh $(ARCH)) && export NETPOL_IMAGE && \
		cargo bench --quiet --locked -p netpol-tests --bench cluster && \
		cargo bench --quiet --locked -p netpol-tests --bench pod_start

check: ## formatting, lints, documentation, licences and sources of dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --quiet
	@cargo deny --version 2>/dev/null | grep -q ' $(CARGO_DENY_VERSION)$$' || cargo install --quiet --locked cargo-deny@$(CARGO_DENY_VERSION)
	cargo deny --locked check bans licenses sources

goldens: ## rewrites what is made from the code: fixtures/*/expected.nft, deploy/netpol.yaml, the references in docs/; read the difference before you commit it
	NETPOL_UPDATE_GOLDENS=1 cargo test --locked -p netpol-tests --test goldens --test deploy
	NETPOL_UPDATE_GOLDENS=1 cargo test --locked -p netpol-agent --lib reference::the_document
