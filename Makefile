# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# A thin front to Meson and ninja. `make help` lists what it can do.

BUILD ?= build
DIR ?= ./var
MOUNT ?= ./mnt
META ?= 2
STORAGE ?= 4
BACKEND ?= disk
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)

.PHONY: all deps test-deps up down check check-quick bench install clean help

all: $(BUILD)/build.ninja
	@[ -w $(BUILD)/build.ninja ] || { echo "$(BUILD) belongs to $$(stat -c %U $(BUILD)), who built before: go on as that user, or remove it (sudo rm -rf $(BUILD))"; exit 1; }
	ninja -C $(BUILD) -j $(JOBS)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing: run 'make deps' first (it installs what the build needs)"; exit 1; }
	meson setup $(BUILD) "--prefix=$(PREFIX)" $(MESON_FLAGS)

deps: ## install what building and running needs (apt or dnf, as root or with sudo)
	tools/deps build

test-deps:
	tools/deps build test

up: deps ## install what is missing, build, start a local cluster in DIR, mount it on MOUNT
	$(MAKE) all
	$(BUILD)/src/cli/weft up --dir "$(DIR)" --mount "$(MOUNT)" --meta $(META) --storage $(STORAGE) --backend $(BACKEND)

down: ## unmount and stop the cluster in DIR; its data stay
	$(BUILD)/src/cli/weft down --dir "$(DIR)"

check: test-deps ## install what is missing, build, run every test
	tools/check full

check-quick: ## the tests that take under three minutes
	tools/check quick

bench: test-deps ## rates on a mount and on the local disk beneath it, as one table with ratios
	$(MAKE) all
	bench/run

install: all ## install under PREFIX (default /usr/local), below DESTDIR if given
	meson configure $(BUILD) "--prefix=$(PREFIX)"
	DESTDIR="$(DESTDIR)" meson install -C $(BUILD) --quiet
	@[ -n "$(DESTDIR)" ] || PATH=$$PATH:/sbin:/usr/sbin ldconfig 2>/dev/null || true
	@[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload || true
	@echo "Installed under $(DESTDIR)$(PREFIX). What to do next: $(DESTDIR)$(PREFIX)/share/doc/weft/README.md"

clean: ## remove what was built
	rm -rf $(BUILD) build-*

help: ## this text
	@echo "Weft: a parallel distributed file system. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo "Variables: BUILD=$(BUILD) DIR=$(DIR) MOUNT=$(MOUNT) META=$(META) STORAGE=$(STORAGE) BACKEND=$(BACKEND) PREFIX=$(PREFIX) DESTDIR= MESON_FLAGS="
