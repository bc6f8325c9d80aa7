# Targets for developers. CI runs `make test`; tests/fetch.sh fetches everything that it needs besides Rust.

CARGO   ?= cargo
TARGET  ?= $(or $(CARGO_TARGET_DIR),target)
DKMS_BIN ?= $(abspath $(TARGET))/release/dkms
FUZZ_SECONDS ?= 60
# The end-to-end tests whose names contain a word: see tests/README.md.
E2E      = $(CARGO) test --release --locked -p dkms-tests --test e2e -- --nocapture

export DKMS_BIN

.PHONY: all tools build test check unit fetch attacks test-confined e2e packages robust debs rpm test-vm test-deb test-deb-packages test-archive test-rpm test-distributions fuzz-smoke fuzz deny msrv bench demo demo-tools clean help

all: build

build: ## The programs: target/release/dkms and dkms-registry
	$(CARGO) build --release --locked -p dkms -p dkms-registry

test: ## Everything that CI runs
	tests/ci.sh

check: ## Formatting and lints
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

unit: ## Tests that need no root
	$(CARGO) test --workspace --exclude dkms-tests --locked

fetch: ## Headers, kernel images, Debian's dkms and the *-dkms packages, into build/
	tests/fetch.sh

e2e: build fetch ## Scenarios with Debian's dkms and ours, side by side (root)
	tests/ci.sh harness takeover scenarios

packages: build fetch ## Real packages with both (root)
	$(E2E) packages::

robust: build fetch ## Crashes, full disks, many at once, interrupts, the job server's limit (root)
	tests/ci.sh crash full_disk concurrency interrupt jobserver

attacks: build fetch ## What hostile packages try, and what is enforced in containers, chroots and old kernels (root)
	$(E2E) attacks::

test-confined: build fetch ## Every package of the archive builds confined as it does unconfined, to the byte (root, long)
	DKMS_TEST_LONG=1 $(E2E) confined::

test-vm: build ## The verdicts of `dkms verify` against real kernels, all boots; Secure Boot from end to end (root, qemu)
	tests/fetch.sh --vm-debian
	DKMS_TEST_LONG=1 tests/ci.sh vm mutations secure_boot

debs: ## The Debian packages, into dist/
	packaging/deb.sh dist

rpm: ## The rpm packages for Fedora, RHEL, SUSE and others, into dist/
	packaging/rpm.sh dist

test-rpm: build fetch ## Our rpm package, and those that dkms makes of modules, with Debian's rpm in a private root (root)
	$(E2E) rpm::

test-distributions: build fetch ## The packages for Fedora, openSUSE, Arch, Alpine, Void and Gentoo, with dnf, zypper, pacman and busybox (root)
	DKMS_TEST_LONG=1 $(E2E) distributions::

test-deb: build ## Our Debian package in place of Debian's own, in chroots of Debian (root, debootstrap, downloads kernels)
	$(E2E) --exact debian::replacement

test-deb-packages: build ## What mkdeb, mkbmdeb, mkdsc and mktarball make, in clean chroots of Debian (root, debootstrap, downloads kernels)
	$(E2E) --exact debian::packages

test-archive: build ## Twenty of the archive's -dkms packages with our package and Debian's dkms, compared (root, debootstrap, long)
	$(E2E) --exact debian::archive

fuzz-smoke: ## Each fuzz target for a minute
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(E2E) fuzz::

fuzz: ## Each fuzz target for an hour (FUZZ_SECONDS=3600)
	FUZZ_SECONDS=$(if $(filter 60,$(FUZZ_SECONDS)),3600,$(FUZZ_SECONDS)) $(E2E) fuzz::

deny: ## Licences, advisories, sources of the dependencies
	$(E2E) workspace::deny

msrv: ## The oldest supported compiler accepts the workspace
	$(E2E) workspace::msrv

bench: build ## Compared with Debian's dkms and a bare make (root)
	tests/bench.sh

tools: ## What building and the tests need, by apt-get
	tests/fetch.sh --tools-only

demo-tools:
	tests/fetch.sh --demo

demo: demo-tools build ## One package from download to removal, in private trees
	tests/demo.sh

clean:
	$(CARGO) clean
	rm -rf build/demo build/bench build/baseline

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

# install and install-DISTRIBUTION: debian, redhat, suse, arch, alpine, void, gentoo
-include packaging/install.mk
