# shellcheck shell=bash
# Sourced by dnf.sh and zypper.sh: packages in a local repository, made with rpmbuild.
# shellcheck source=/dev/null
. /e2e/distributions/common.sh
repository=/srv/repository

# package NAME VERSION FOLDER [LINE...]: a package of the files in the folder; LINEs are added to its spec
# file.
package() {
    local name=$1 version=$2 folder=$3
    shift 3
    {
        printf '%s\n' "Name: $name" "Version: $version" 'Release: 1' "Summary: $name" 'License: GPL-2.0-only' 'AutoReqProv: no' \
            '%global __os_install_post %{nil}' '%global _build_id_links none'
        printf '%s\n' "$@" | sed '/^%/,$d'
        printf '%s\n' '%description' "$name" '%install' "cp -a $folder/. %{buildroot}/"
        printf '%s\n' "$@" | sed -n '/^%/,$p'
        printf '%s\n' '%files'
        (cd "$folder" && find . -mindepth 1 \( -type d -printf '%%%%dir /%P\n' -o -printf '/%P\n' \)) |
            grep -vxE '%dir /(usr|lib|boot|usr/src|usr/lib|usr/src/kernels|(usr/)?lib/modules)' || true
    } >"/srv/$name.spec"
    rpmbuild --quiet --define "_topdir /srv/rpmbuild" --define "_rpmdir $repository" --define '_rpmfilename %{NAME}-%{VERSION}.rpm' \
        --define '_binary_payload w0.gzdio' -bb "/srv/$name.spec" >/run/out 2>&1
    rm -rf "$folder"
}
index() { createrepo_c --quiet --update --no-database $repository; }

# module_package VERSION: the package that "dkms mkrpm" makes.
module_package() {
    cp -r "$(source_of "$1")" "/usr/src/single-$1"
    "$MKRPM" add "single/$1" >/dev/null
    "$MKRPM" mkrpm "single/$1" --source-only --archive "$repository/single-$1.rpm" >/run/out
    "$MKRPM" remove "single/$1" --all >/dev/null
    rm -r "/usr/src/single-$1"
}

# A stand-in for the rest of the system: provides the dependencies of dkms, libraries with their versions.
base_package() { # DKMS.rpm
    local provided
    provided=$(rpm -qp --requires "$1" | grep -vE '^rpmlib|^config|^\(' | sort -u | sed 's/^/Provides: /')
    package base 1 "$(mktemp -d)" "$provided" 'Provides: gcc' 'Provides: bash'
}

# Programs that make packages of modules use a separate dkms. The one under test comes from the package.
take_kernels
mkdir -p $repository /srv/rpmbuild /opt/mkrpm
MKRPM=/opt/mkrpm/dkms
mv /usr/sbin/dkms $MKRPM
hash -r
printf '%s\n' '#!/bin/bash' 'for kernel in /lib/modules/*/kernel; do kernel=${kernel%/kernel}; record-initramfs "${kernel##*/}"; done' \
    >/srv/all-initramfs
