#!/bin/bash
# `dkms autoinstall -jN` never has more than N compilers at work, however many packages are built at once: six real packages,
# N = 1, 2 and 3, the processes named cc1 counted every two milliseconds.
#
#   tests/jobserver.sh    needs root, python3 and build/layers and build/corpus (tests/fetch.sh)
set -u
# shellcheck source=tests/private.sh
. "$(dirname "$0")/private.sh"
needs python3
packages=(acpi-call bbswitch digimend v4l2loopback tp-smapi vpoll)
private "headers-6.1 $(printf 'packages/%s-dkms ' "${packages[@]}")" python3 /e2e/jobserver.py
