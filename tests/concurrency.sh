#!/bin/bash
# Many at once: 8 processes run 25 random commands each (add, build, install, uninstall, unbuild, remove, autoinstall, status) on
# four packages and two kernels, about one in ten killed at a random moment. In the end, after one recovering command:
# fsck is clean, the tree, /lib/modules and `status` agree, each original module is there exactly once, nothing is left
# over, no command ended with an undocumented code, and what became of each package and kernel is what some last command
# on it leaves. Then: two autoinstalls at once build everything once; a script that calls dkms does not wait for itself; a
# killed holder blocks nobody; --lock-timeout gives up with 75 and names the holder.
#
#   tests/concurrency.sh                         needs root, gcc, python3 and build/layers (tests/fetch.sh)
#   CONCURRENCY_SEED=N tests/concurrency.sh      the same commands again (not the same timing)
#   CONCURRENCY_COMMANDS=N                       so many for each process
set -u
# shellcheck source=tests/private.sh
. "$(dirname "$0")/private.sh"
needs python3
private 'headers-6.1 headers-6.12' python3 /e2e/concurrency.py
