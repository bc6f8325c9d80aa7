#!/bin/bash
# Disks that are really full: the tree, or the kernel's modules, on a small tmpfs with 0, 4, 8 ... KiB, or 0, 1, 2 ... inodes
# free, and install, upgrade, uninstall and build on it: either it works, or the message says what and why, everything is as
# before, and nothing is left over. Also read-only trees, directories of somebody else, a place that is a mount point,
# and no depmod. A quota answers as a small disk does (EDQUOT in the place of ENOSPC); it has no test of its own.
#
#   tests/full-disk.sh    needs root, python3 and build/layers (tests/fetch.sh)
set -u
# shellcheck source=tests/private.sh
. "$(dirname "$0")/private.sh"
needs python3 setpriv
private headers-6.1 python3 /e2e/full-disk.py
