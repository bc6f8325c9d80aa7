#!/bin/bash
# The archive's own -dkms packages with our package of dkms and, in a second chroot, with Debian's: the same
# steps of apt, and after each one apt's exit, `dkms status`, /lib/modules and the packages must be the same.
# Times are shown side by side.
#
#   tests/debian/archive.sh [SIDE...]   SIDE: debian, ours; default: both. If it is one, it is compared with
#                                    the last run of the other. Needs root, debootstrap and apt's archive
#   ARCHIVE_PACKAGES='a-dkms ...'    other packages than those below
#   ARCHIVE_COMPONENTS='contrib non-free'   additional components of the archive
#   DEB_SUITE=trixie                 another Debian than the machine's (default: the machine's)
#   DKMS_BIN=file                    the program under test (default: target/release/dkms)
#
# A long test (debian::archive), not part of `make test`: it takes many minutes and downloads kernels. Chroots
# and what was found are in build/chroots.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source=tests/debian/chroot.sh
. "$here/chroot.sh"

# Packages that build in seconds with both kernels; apt knows which of them a suite has. Debian 12's newest
# kernel is too new for librem-ec-acpi and openrazer-driver, and apt fails there.
all=(acpi-call adv-17v35x bbswitch ddcci digimend dm-writeboost dpdk-kmods evdi falcosecurity-scap gost-crypto langford lime-forensics
    nat-rtsp openvpn-dco rapiddisk rtpengine-kernel tp-smapi v4l2loopback vpoll xtrx)

# Intended differences (docs/differences.md). digimend, gost-crypto and tp-smapi replace modules of the
# kernel, which Debian's dkms 3.0 leaves in place on Debian; it also does not remove some of theirs with the
# kernel. lime-forensics has no AUTOINSTALL, and is built only on request. The directories of a kernel, which
# such leftovers keep, are checked below.
differs_status='^(digimend|gost-crypto|tp_smapi|lime-forensics)/'
differs_modules='/((gost|kuznyechik_|magma_|streebog_|hid-(kye|uclogic|viewsonic|polostar)|hdaps|thinkpad_ec|tp_smapi|lime)[^/]*[.]ko)$|^[^/]*/(updates/(dkms/)?)?$'

# ---- inside a chroot ----

# Repacks a package under a higher version; with NEW, the version of its module changes as well.
repack() { # PACKAGE [NEW]
    local deb top=/var/tmp/repack/$1 old source
    rm -rf "$top"
    mkdir -p "$top"
    (cd /var/tmp/repack && apt-get -qq download "$1" 2>/dev/null)
    deb=$(echo "/var/tmp/repack/$1"_*.deb)
    dpkg-deb -R "$deb" "$top"
    rm "$deb"
    sed -i 's/^Version: .*/&+again/' "$top/DEBIAN/control"
    if [[ ${2:-} ]]; then
        source=$(echo "$top"/usr/src/*)
        old=${source##*-}
        mv "$source" "${source%-*}-$2"
        sed -i "s/${old//./\\.}/$2/g" "${source%-*}-$2/dkms.conf" "$top"/DEBIAN/{postinst,prerm,md5sums}
    fi
    dpkg-deb --root-owner-group -Znone --build "$top" "/var/tmp/repack/$1-again.deb" >/dev/null
}

scenario() { # debian|ours PACKAGE...
    local side=$1 old new theirs package packages=() dkms=dkms upgraded one
    shift
    two_kernels
    for package in "$@"; do
        if [[ $(apt-cache policy "$package" | awk '$1 == "Candidate:" { print $2 }') =~ ^[0-9] ]]; then packages+=("$package"); fi
    done
    printf '%s\n' "${packages[@]}" >/result/names
    upgraded=v4l2loopback-dkms
    one=${packages[0]}
    # Downloads of both sides are not part of the measured time.
    apt --download-only install dkms "${packages[@]}" "linux-image-$new" "linux-headers-$new" "linux-image-$old" "linux-headers-$old" >/result/download.log 2>&1
    repack $upgraded 99.9
    repack "$one"
    small_initramfs v4l2loopback
    apt install make gcc patch kmod libc6-dev initramfs-tools zstd "linux-image-$old" >>/result/download.log 2>&1
    [[ $side == debian ]] || dkms=$(echo /deb/dkms_*.deb)
    theirs=$(apt-cache policy dkms | awk '$1 == "Candidate:" { print $2 }')
    step 01-all apt install "$dkms" "linux-headers-$old" "${packages[@]}"
    step 02-newer-kernel apt install "linux-image-$new" "linux-headers-$new"
    step 03-headers-removed apt remove "linux-headers-$old"
    step 04-kernel-removed apt purge "linux-image-$old"
    step 05-module-upgraded apt install /var/tmp/repack/$upgraded-again.deb
    step 06-package-upgraded apt install "/var/tmp/repack/$one-again.deb"
    # Debian's dkms continues with our tree.
    if [[ $side == debian ]]; then
        step 07-back apt --reinstall install dkms
    else
        step 07-back apt --allow-downgrades install "dkms=$theirs"
    fi
    step 08-kernel-there apt install "linux-image-$old" "linux-headers-$old"
    step 09-package-there apt --allow-downgrades install "$one=$(apt-cache madison "$one" | awk '{ print $3; exit }')"
    if [[ $side == debian ]]; then
        step 10-again apt --reinstall install dkms
    else
        step 10-again apt install "$dkms"
    fi
    step 11-kernel-gone-again apt purge "linux-image-$old" "linux-headers-$old"
    step 12-all-purged apt purge "${packages[@]}"
    step 13-dkms-purged apt purge dkms
}

if [[ ${1:-} == --inside ]]; then
    scenario "${@:2}"
    exit
fi

# ---- outside ----

cd "$here/../.."
read -r -a packages <<<"${ARCHIVE_PACKAGES:-${all[*]/%/-dkms}}"
both_sides "$*" "${packages[@]}"
say "compared: $(wc -l <"$ours/names") packages"
# shellcheck source=/dev/null
. "$ours/kernels"
# Debian's indexes the modules it has left of a kernel that is gone.
compare_sides "$theirs" "$ours" "$differs_status" "$differs_modules|^${old//./\\.}/modules[.]"
[[ $(grep -c ": installed" "$ours/01-all.status") -ge $(grep -vcx lime-forensics-dkms "$ours/names") ]] || fail "not all packages' modules were installed for $old"
grep -q "^v4l2loopback/.*, $new, .*: installed$" "$ours/02-newer-kernel.status" || fail "no modules for $new"
for name in 04-kernel-removed 11-kernel-gone-again 12-all-purged; do
    if grep "$old" "$ours/$name.status" "$ours/$name.modules"; then fail "leftovers of $old"; fi
done
grep -q '^v4l2loopback/99.9, ' "$ours/05-module-upgraded.status" || fail 'the upgraded module is not there'
if [[ -s $ours/12-all-purged.status ]] || grep -q updates/dkms/. "$ours/12-all-purged.modules"; then fail 'leftovers of packages that are purged'; fi
for name in 12-all-purged 13-dkms-purged; do
    # Our files in the tree that is in use; they are removed with dkms.
    diff -u --label "Debian's leaves" --label 'ours leaves' <(grep -v "/var/lib/dkms/\|^/var/tmp" "$theirs/$name.left") \
        <(grep -v "/var/lib/dkms/\|^/var/tmp" "$ours/$name.left") >"$ours/$name.left.diff" || [[ $name == 12-* ]] || fail "$name: what is left differs: $(cat "$ours/$name.left.diff")"
done
show_times "$theirs" "$ours"
chroots_end archive-{debian,ours}
