#!/bin/bash
# Our Debian package in place of Debian's own, in chroots of Debian: the same steps of apt and dpkg once with
# Debian's dkms all the way, once with ours from step 2 on; exits, `dkms status` and /lib/modules are compared
# after each step.
#
#   tests/debian/replacement.sh [SIDE...]   SIDE: debian, ours; default: both. If it is one, it is compared
#                                           with the last run of the other. Needs root, debootstrap and apt's
#                                           archive
#   DEB_SUITE=trixie             another Debian than the machine's (default: the machine's)
#   DKMS_BIN=file                the program under test (default: target/release/dkms)
#
# A long test (debian::replacement), not part of `make test`: it downloads kernels. Chroots and results are in
# build/chroots. It also checks that the package is reproducible and has no errors of lintian.
set -euo pipefail

here=$(dirname "$0")
# shellcheck source=tests/debian/chroot.sh
. "$here/chroot.sh"

# ---- inside a chroot ----

# Names, times and inodes of the modules that dkms has installed.
modules() { find /lib/modules -path '*/updates/dkms/*' -name '*.ko*' -printf '%p %i %T@\n' | sort; }

scenario() { # debian|ours
    local side=$1 old new theirs
    two_kernels
    # Downloads of both sides are not part of the measured time.
    apt --download-only install dkms v4l2loopback-dkms acpi-call-dkms ddcci-dkms "linux-image-$new" "linux-headers-$new" \
        "linux-image-$old" "linux-headers-$old" >/result/download.log 2>&1
    small_initramfs v4l2loopback
    apt install make gcc patch kmod libc6-dev initramfs-tools zstd >>/result/download.log 2>&1
    step 01-install apt install dkms v4l2loopback-dkms "linux-headers-$new"
    theirs=$(dpkg-query -W -f '${Version}' dkms)
    echo '# a line of the administrator' >>/etc/dkms/framework.conf
    modules >/result/before
    case $side in
    debian) step 02-replace apt --reinstall install dkms ;;
    ours) step 02-replace dpkg --install --force-confold /deb/dkms_*.deb ;;
    esac
    modules >/result/after
    step 03-more apt install acpi-call-dkms ddcci-dkms
    step 04-old-kernel apt install "linux-image-$old" "linux-headers-$old"
    lsinitramfs "/boot/initrd.img-$old" >/result/04-old-kernel.initramfs
    step 05-image-after-headers apt install "linux-image-$new"
    lsinitramfs "/boot/initrd.img-$new" >/result/05-image-after-headers.initramfs
    step 06-headers-removed apt remove "linux-headers-$old"
    step 07-image-purged apt purge "linux-image-$old"
    step 08-package-purged apt purge acpi-call-dkms
    case $side in
    debian) step 09-back apt --reinstall install dkms ;;
    ours) step 09-back apt --allow-downgrades install "dkms=$theirs" ;;
    esac
    dpkg-query -W -f '${Version}' dkms >/result/back.version
    step 10-rebuilt-there apt --reinstall install ddcci-dkms
    step 11-kernel-there apt install "linux-image-$old" "linux-headers-$old"
    case $side in
    debian) step 12-again apt --reinstall install dkms ;;
    ours) step 12-again dpkg --install --force-confold /deb/dkms_*.deb ;;
    esac
    step 13-kernel-purged apt purge "linux-image-$old" "linux-headers-$old"
    cp /etc/dkms/framework.conf /result/framework.conf
    step 14-all-purged apt purge dkms
    # Files that dkms no longer manages, so only its own remaining files show.
    step 15-rest-purged apt purge v4l2loopback-dkms ddcci-dkms
    case $side in
    debian) step 16-fresh apt install dkms ;;
    ours) step 16-fresh apt install /deb/dkms_*.deb ;;
    esac
    step 17-fresh-module apt install v4l2loopback-dkms
}

if [[ ${1:-} == --inside ]]; then
    scenario "$2"
    exit
fi

# ---- outside ----

cd "$here/../.."
chroots_prepare

say "the package, twice"
rm -rf "$build/deb-test"
deb=$(our_deb 1)
cmp "$deb" "$(our_deb 2)" || fail 'two builds differ'
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error,warning "$deb" || fail 'lintian'
else
    echo 'skipped: lintian is not installed'
fi
chroots_base

sides=("$@")
(($#)) || sides=(debian ours)
for side in "${sides[@]}"; do
    say "$suite, $side"
    in_chroot "$side" "${deb%/*}" "$side" || fail "the steps of $side did not come to their end; see $chroots/$suite-$side/result"
done

say 'compared'
theirs=$chroots/$suite-debian/result ours=$chroots/$suite-ours/result
compare_sides "$theirs" "$ours"
[[ -s $ours/before ]] || fail 'step 01 has installed no module'
cmp -s "$ours/before" "$ours/after" || fail 'the replacement has touched installed modules'
grep -q '^# a line of the administrator' "$ours/framework.conf" || fail 'framework.conf was not kept'
# shellcheck source=/dev/null
. "$ours/kernels"
# Modules first, then the initramfs, once.
initramfs() { # STEP KERNEL
    local log=$ours/$1.log order made
    # From Debian 13 on the image comes with the headers, in the first step.
    grep -q "^Setting up linux-image-$2 " "$log" || return 0
    order=$(sed -nE 's,^/etc/kernel/postinst.d/((dkms|initramfs-tools):)$,\1,p' "$log" | tr '\n' ' ')
    [[ $order == 'dkms: initramfs-tools: ' ]] || fail "step $1: order of the kernel's hooks: $order"
    made=$(grep -c "update-initramfs: Generating /boot/initrd.img-$2" "$log") || true
    [[ $made == 1 ]] || fail "step $1: the initramfs was made $made times"
    grep -q 'updates/dkms/v4l2loopback.ko' "$ours/$1.initramfs" || fail "step $1: v4l2loopback is not in the initramfs"
}
initramfs 04-old-kernel "$old"
initramfs 05-image-after-headers "$new"
grep -q "$old" "$ours/04-old-kernel.status" || fail "no modules for $old"
for what in status modules; do
    ! grep -q "$old" "$ours/07-image-purged.$what" || fail "leftovers of $old in $what"
done
! grep -q 'acpi[-_]call' "$ours/08-package-purged.status" "$ours/08-package-purged.modules" || fail 'leftovers of acpi-call'
grep -q ': installed$' "$ours/17-fresh-module.status" || fail 'a fresh dkms has installed no module'
for name in 14-all-purged 15-rest-purged; do
    diff -u --label "Debian's purge leaves" --label 'ours leaves' "$theirs/$name.left" "$ours/$name.left" || fail "$name: what is left differs"
done

show_times "$theirs" "$ours"
chroots_end debian ours
