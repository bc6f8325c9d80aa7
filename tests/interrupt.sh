#!/bin/bash
# Ctrl-C and kind (SIGINT, SIGTERM, SIGHUP; to dkms alone or to its process group, once or twice) while two kernels are built for,
# with processes in the build that ignore SIGTERM or left for a session of their own; in PRE_INSTALL, in depmod, in
# POST_INSTALL, and in an autoinstall: the code is 128 + signal, nothing is left running, everything is as before.
#
#   tests/interrupt.sh    needs root, python3 and build/layers (tests/fetch.sh)
set -u
# shellcheck source=tests/private.sh
. "$(dirname "$0")/private.sh"
needs python3 setsid pgrep
private 'headers-6.1 headers-6.12' python3 /e2e/interrupt.py
