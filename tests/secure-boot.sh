#!/bin/bash
# Secure Boot from end to end in virtual machines (qemu's software emulation): a key that dkms made is enrolled with
# MokManager, and a kernel that refused the modules loads them. See tests/vm/secure_boot.py. Needs root, qemu-system-x86,
# mtools and build/layers (tests/fetch.sh).
set -u
# shellcheck source=tests/private.sh
. "$(dirname "$0")/private.sh"
[[ -f $build/layers/vm-debian/stamp ]] || skip 'no layer vm-debian, run tests/fetch.sh --vm-debian'
needs qemu-system-x86_64 qemu-img mke2fs mcopy mkfs.vfat python3 make tar
[[ -x $bin ]] || { echo "no dkms at $bin: make build"; exit 1; }

dest=$(mktemp -d) || exit
trap 'rm -rf "$dest"' EXIT
make -s -f packaging/install.mk install-debian DESTDIR="$dest" BINARY="$bin" || exit
tar -C "$dest" -c . | private 'vm-tools vm-debian' python3 /e2e/vm/secure_boot.py "$@"
