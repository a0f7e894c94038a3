# What stands here is the one way to build, test and check the project;
# .ci/run calls nothing else.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

MODULE   := github.com/docker-relink/relink
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -funcalign=16 -X $(MODULE)/internal/version.Version=$(VERSION) -X $(MODULE)/internal/version.Revision=$(REVISION)
PLUGINS  := $(or $(DOCKER_CONFIG),$(HOME)/.docker)/cli-plugins

# Copies of small functions inside others are a tenth of the program. They stay where
# a build spends its time: Go's own packages, compression, files, databases, gRPC.
HOT   := $(MODULE) github.com/containerd github.com/klauspost github.com/tonistiigi go.etcd.io golang.org/x google.golang.org
BUILD := go build -trimpath -ldflags "$(LDFLAGS)" -gcflags=all=-l -gcflags=std= $(HOT:%=-gcflags=%/...=)

# What the program may weigh, and what of it the embedded builder, in bytes.
MAX_SIZE     := 70000000
MAX_EMBEDDED := 10000000

# The frontend image; FRONTEND_FLAGS may push it (--push) or load it (--load).
FRONTEND_IMAGE     ?= relink-frontend:$(VERSION)
FRONTEND_PLATFORMS ?= linux/$(shell go env GOARCH)
FRONTEND_FLAGS     ?= --load

# The systems that no test runs on; one of them is enough for a change.
SYSTEMS ?= darwin windows

# Builds wait for disks and the network more than for the processor.
PARALLEL     ?= 4
TEST_TIMEOUT ?= 20m
TEST_FLAGS   ?=

# The engines have the environment of the tests. With their garbage collected more
# seldom all takes a quarter less time. Vetting is the linter's.
TEST_ENGINES = GOGC=400 go test -vet=off -timeout $(TEST_TIMEOUT) -parallel $(PARALLEL) $(TEST_FLAGS)

.PHONY: help build check-builds frontend-image install setup tools engine bases test test-unit test-integration lint fmt docs demo bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

build: ## build bin/docker-relink
	CGO_ENABLED=0 $(BUILD) -o bin/docker-relink ./cmd/docker-relink

check-builds: build ## compile for the systems and the build tag that tests do not run on
	for os in $(SYSTEMS); do CGO_ENABLED=0 GOOS=$$os go build -o /dev/null ./cmd/docker-relink; done
	CGO_ENABLED=0 $(BUILD) -tags no_embedded -o bin/without-embedded ./cmd/docker-relink
	size=$$(stat -c %s bin/docker-relink); added=$$(( size - $$(stat -c %s bin/without-embedded) )); rm bin/without-embedded; \
		echo "docker-relink has $$size bytes, $$added of them for the embedded builder"; \
		if [ $$size -gt $(MAX_SIZE) ]; then echo "the program may have $(MAX_SIZE) bytes" >&2; exit 1; fi; \
		if [ $$added -gt $(MAX_EMBEDDED) ]; then echo "the embedded builder may have $(MAX_EMBEDDED) bytes" >&2; exit 1; fi

frontend-image: ## build the frontend image (FRONTEND_IMAGE, FRONTEND_PLATFORMS, FRONTEND_FLAGS)
	for platform in $(FRONTEND_PLATFORMS); do \
		IFS=/ read -r os arch variant <<<"$$platform"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(BUILD) \
			-o "bin/frontend/$$os/$$arch/relink-frontend" ./cmd/relink-frontend; \
	done
	docker buildx build $(FRONTEND_FLAGS) --platform "$$(tr ' ' , <<<"$(strip $(FRONTEND_PLATFORMS))")" \
		-t $(FRONTEND_IMAGE) -f cmd/relink-frontend/Dockerfile bin/frontend

install: build ## put the plugin where the Docker CLI finds it
	mkdir -p "$(PLUGINS)"
	install -m 0755 bin/docker-relink "$(PLUGINS)/docker-relink"
	ln -sf docker-relink "$(PLUGINS)/docker-diffbuild"

setup: ## install the Debian packages that the tests need
	tools/setup.sh

tools: ## build the engines that tests, demo and benchmarks run
	tools/build.sh engines

engine: setup ## build a current Docker Engine for the tests and unpack Debian's
	tools/setup.sh gcc libc6-dev libseccomp-dev pkg-config
	tools/build.sh dockerd
	tools/engine/debian.sh

bases: setup ## make the Debian bases of the tests
	tools/bases.sh bookworm trixie

test: setup tools engine bases build ## set up, then run every test
	$(TEST_ENGINES) ./...

test-unit: ## run the tests that need no engine
	go test -short $(TEST_FLAGS) ./...

test-integration: setup tools engine bases build ## run the tests on real engines
	$(TEST_ENGINES) ./tests/...

lint: ## check formatting, the linter's rules and the scripts
	tools/build.sh lint
	.cache/bin/golangci-lint run --allow-parallel-runners ./...
	bash -n tools/*.sh tools/*/*.sh .ci/run

fmt: ## format the code
	tools/build.sh lint
	.cache/bin/golangci-lint fmt ./...

docs: ## generate the CLI reference
	go run ./docs/generate

demo: setup tools bases build ## show the main job beside stock buildx, on no builder but relink's own
	go run ./tests/cmd/demo

bench: setup tools bases build ## measure against stock buildx
	tools/build.sh peers
	go run ./tests/cmd/bench

clean: ## remove what was built in this tree
	rm -rf bin .cache
