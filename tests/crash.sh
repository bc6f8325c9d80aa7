#!/bin/bash
# All or nothing, whenever a command ends: install (new and upgrade), uninstall, remove --all and kernel_prerm, with two
# modules for two kernels and the kernels' own modules in the way, are killed at every system call that changes
# something (of all threads of dkms, not of depmod: see syscall-at.c); the next command recovers; every time the state must
# be that before or that after, files, archive, links, manifests, modules.dep and `dkms status` alike, without leftovers.
# `status` between the crash and the recovery must show one of the two as well. Then the same with the recovery killed
# too, and with a disk that is full or fails from the n-th call on: the command says so, and does not panic.
#
#   tests/crash.sh              needs root, gcc, python3 and build/layers (tests/fetch.sh)
#   CRASH_ALL=1 tests/crash.sh  every point of the second half too, not a sample
#   CRASH_ONLY='odd odd-installed' tests/crash.sh  only commands from these states (see crash.py)
set -u
# shellcheck source=tests/private.sh
. "$(dirname "$0")/private.sh"
needs gcc python3

# shellcheck disable=SC2016  # for the shell inside
private 'headers-6.1 headers-6.12' bash -c '
    gcc -O1 -o /run/syscall-at /e2e/syscall-at.c 2>/run/why || { echo "skipped: $(head -n 1 /run/why)"; exit 0; }
    /run/syscall-at /run/syscalls kill 0 true || { echo "skipped: ptrace is not allowed here"; exit 0; }
    exec python3 /e2e/crash.py'
