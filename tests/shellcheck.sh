#!/bin/bash
# Every script passes shellcheck, each for the shell that runs it.
set -u
cd "$(dirname "$0")/.." || exit 1
shellcheck .ci/run tests/*.sh tests/attacks/*.sh tests/debian/*.sh tests/rpm/*.sh tests/vm/session packaging/deb.sh packaging/rpm.sh \
    packaging/debian/postrm packaging/debian/dkms-autopkgtest packaging/debian/registry.postinst &&
    shellcheck -e SC2016,SC2046,SC2086,SC2154,SC2317 tests/distributions/*.sh &&
    shellcheck -s bash -e SC2016,SC2010,SC2317,SC1091 tests/scenarios/*.sh &&
    shellcheck -s sh tests/vm/init tests/vm/guest tests/vm/mutation-guest &&
    shellcheck packaging/hooks/{common.postinst,dkms_autoinstaller,headers_package,kernel_gone,package_files,ready_warn} \
        packaging/{alpine/kernel-hook,alpine/dkms.trigger,arch/dkms,gentoo/40-dkms.install,suse/kernels,void/post-install,void/pre-remove} &&
    shellcheck packaging/{alpine/APKBUILD,arch/PKGBUILD,gentoo/*.ebuild,void/template}
