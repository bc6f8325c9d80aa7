#!/bin/bash
# Every script passes shellcheck, each for the shell that runs it.
set -u
cd "$(dirname "$0")/.." || exit 1
shellcheck .ci/run tests/*.sh tests/attacks/*.sh tests/debian/*.sh tests/rpm/*.sh tests/vm/session packaging/deb.sh packaging/rpm.sh \
    packaging/debian/postrm packaging/debian/dkms-autopkgtest packaging/debian/registry.postinst &&
    shellcheck -s bash -e SC2016,SC2010,SC2317,SC1091 tests/scenarios/*.sh &&
    shellcheck -s sh tests/vm/init tests/vm/guest tests/vm/mutation-guest
