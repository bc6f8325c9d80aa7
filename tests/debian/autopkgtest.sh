#!/bin/bash
# Debian's CI: dkms-autopkgtest for packages of the archive, in a chroot with Debian's dkms and its script,
# and in another with ours. Where Debian's passes, ours must pass; where Debian's skips, ours must skip.
#
#   tests/debian/autopkgtest.sh [SIDE...]   SIDE: debian, ours; default: both. If it is one, it is compared
#                                           with the last run of the other. Needs root, debootstrap and apt's
#                                           archive
#   AUTOPKGTEST_PACKAGES='a-dkms'    other packages than those below
#   DEB_SUITE=trixie                 another Debian than the machine's (default: the machine's)
#   DKMS_BIN=file                    the program under test (default: target/release/dkms)
#
# A long test (debian::autopkgtest), not part of `make test`. Chroots and results are in build/chroots.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source=tests/debian/chroot.sh
. "$here/chroot.sh"

# The last two do not build for every kernel (BUILD_EXCLUSIVE), or fail.
all=(acpi-call adv-17v35x bbswitch ddcci dm-writeboost evdi nat-rtsp tp-smapi v4l2loopback vpoll gost-crypto librem-ec-acpi)

scenario() { # debian|ours PACKAGE...
    local side=$1 package code dkms=dkms new old
    shift
    two_kernels
    apt --download-only install dkms openssl dctrl-tools "linux-headers-$new" "linux-headers-$old" >/result/download.log 2>&1
    [[ $side == debian ]] || dkms=$(echo /deb/dkms_*.deb)
    apt install "$dkms" gcc make patch libc6-dev openssl dctrl-tools "linux-headers-$new" "linux-headers-$old" >/result/install.log 2>&1
    # As autodep8 runs it, in the source package: without arguments.
    mkdir -p /var/tmp/source/debian
    cd /var/tmp/source
    for package in "$@"; do
        # shellcheck disable=SC2016 # debhelper's variable
        printf 'Source: x\n\nPackage: x-utils\nDepends: x\n\nPackage: %s\nArchitecture: all\nDepends: dkms,\n ${misc:Depends}\n' "$package" >debian/control
        code=0
        /usr/lib/dkms/dkms-autopkgtest >"/result/$package.log" 2>&1 || code=$?
        { echo "exit $code"; sed -n '/^I: Summary/,$p' "/result/$package.log" | sed -n 's/^I: \(PASS\|SKIP\|FAIL\) \(.* \)\{0,1\}\([^ ]*\)$/\1 \3/p'; } >"/result/$package.result"
        printf '   %-28s %s\n' "$package" "$(tr '\n' ' ' <"/result/$package.result")"
        if [[ $side == ours ]]; then
            [[ -s $package-make-logs.tar.gz || $code != 0 ]] || { echo "no logs of $package"; exit 1; }
            test ! -e /etc/dkms/no-autoinstall
        fi
        apt purge "$package" >/dev/null 2>&1 || true
    done
    [[ $side == ours ]] || return 0
    # A package without headers is skipped.
    apt purge 'linux-headers-*' >/dev/null 2>&1
    cat >/usr/local/bin/apt-cache <<'S'
#!/bin/sh
# There are no headers in this archive.
[ "$1" = search ] || exec /usr/bin/apt-cache "$@"
S
    chmod +x /usr/local/bin/apt-cache
    code=0
    PATH=/usr/local/bin:$PATH /usr/lib/dkms/dkms-autopkgtest v4l2loopback-dkms >/result/no-headers.log 2>&1 || code=$?
    echo "$code" >/result/no-headers.exit
}

if [[ ${1:-} == --inside ]]; then
    scenario "${@:2}"
    exit
fi

cd "$here/../.."
read -r -a packages <<<"${AUTOPKGTEST_PACKAGES:-${all[*]/%/-dkms}}"
both_sides "$*" "${packages[@]}"
same=0
for package in "${packages[@]}"; do
    if diff "$theirs/$package.result" "$ours/$package.result"; then same=$((same + 1)); else fail "$package: Debian's result (<) and ours (>)"; fi
done
say "the same result: $same of ${#packages[@]} packages; kernels passed: $(cat "$ours"/*.result | grep -c '^PASS'), skipped: $(cat "$ours"/*.result | grep -c '^SKIP'), failed: $(cat "$ours"/*.result | grep -c '^FAIL')"
[[ $(<"$ours/no-headers.exit") == 77 ]] || fail "without headers: $(<"$ours/no-headers.exit") instead of 77"
chroots_end autopkgtest-{debian,ours}
