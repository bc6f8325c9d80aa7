#!/bin/bash
# Our Debian package in place of Debian's own, in chroots of Debian: the same steps of apt and dpkg once with Debian's dkms
# all the way, once with ours from step 2 on; exits, `dkms status` and /lib/modules are compared after each step.
#
#   tests/deb.sh [SIDE...]       debian, ours; default: both. One alone is held against what the last run kept of the other.
#                                Needs root, debootstrap and the archive that apt is set up for
#   DEB_SUITE=trixie             another Debian than the machine's (default: the machine's)
#   DKMS_BIN=file                the program under test (default: target/release/dkms)
#
# Not part of `make test`: it downloads kernels. Chroots and what was found are in build/chroots. With the package itself:
# built twice the same, and without errors of lintian. Times are shown, not judged.
set -euo pipefail

# ---- inside a chroot ----

# A machine-readable picture of what this step has left.
picture() { # STEP EXIT SECONDS
    local to=/result/$1
    echo "$2" >"$to.exit"
    echo "$3" >"$to.seconds"
    hash -r # dkms comes and goes
    # Debian's runs dkms.conf for its status, and some talk on standard error then.
    if command -v dkms >/dev/null; then dkms status 2>"$to.status-errors"; else echo 'no dkms'; fi >"$to.status" || true
    find /lib/modules/ -mindepth 1 \( -type d -printf '%P/\n' -o -printf '%P\n' \) 2>/dev/null | sort >"$to.modules"
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' '*dkms*' 'linux-image-*' 'linux-headers-*' 2>/dev/null | grep -v '^un' >"$to.packages" || true
    find / -xdev -ipath '*dkms*' -not -path '/result*' -not -path '/var/cache/*' -not -path '/proc/*' -not -path '/var/log/*' -not -path '/deb/*' |
        sort >"$to.left"
}

# Run one step, whatever its end; its output is kept.
step() { # NAME COMMAND ...
    local name=$1 start=$EPOCHREALTIME code=0
    shift
    "$@" >"/result/$name.log" 2>&1 </dev/null || code=$?
    picture "$name" "$code" "$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')"
    printf '   %-22s exit %s, %s s\n' "$name" "$code" "$(<"/result/$name.seconds")"
}

apt() { apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@"; }

# Names, times and inodes of the modules that dkms has installed.
modules() { find /lib/modules -path '*/updates/dkms/*' -name '*.ko*' -printf '%p %i %T@\n' | sort; }

# Kernels that the archive has an image and headers for, oldest first; of one series with the newest.
kernels() {
    local arch newest
    arch=$(dpkg --print-architecture)
    newest=$(apt-cache depends "linux-headers-$arch" | sed -n 's/.*Depends: linux-headers-//p' | head -n 1)
    apt-cache pkgnames linux- | sed -nE "s/^linux-(image|headers)-([0-9].*-$arch)$/\2/p" | grep -vE -- '-(cloud|rt)-' |
        grep -E "^$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/; s/\./\\./' <<<"$newest")[.]" | sort -V | uniq -d
}

scenario() { # debian|ours
    local side=$1 old new theirs
    new=$(kernels | tail -n 1)
    old=$(kernels | head -n 1)
    [[ $old != "$new" ]] || { echo "the archive has one kernel only: $new"; return 1; }
    printf 'new=%s\nold=%s\n' "$new" "$old" >/result/kernels
    # What both sides take from the archive comes before the clock starts.
    apt --download-only install dkms v4l2loopback-dkms acpi-call-dkms ddcci-dkms "linux-image-$new" "linux-headers-$new" \
        "linux-image-$old" "linux-headers-$old" >/result/download.log 2>&1
    # A small initramfs that asks for one of our modules: whether that is in there shows what came first.
    mkdir -p /etc/initramfs-tools/conf.d
    echo MODULES=list >/etc/initramfs-tools/conf.d/dkms-test
    echo v4l2loopback >/etc/initramfs-tools/modules
    apt install make gcc patch kmod libc6-dev initramfs-tools zstd >>/result/download.log 2>&1
    step 01-install apt install dkms v4l2loopback-dkms "linux-headers-$new"
    theirs=$(dpkg-query -W -f '${Version}' dkms)
    echo '# a line of the administrator' >>/etc/dkms/framework.conf
    modules >/result/before
    case $side in
    debian) step 02-replace apt --reinstall install dkms ;;
    ours) step 02-replace dpkg --install --force-confold /deb/*.deb ;;
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
    ours) step 12-again dpkg --install --force-confold /deb/*.deb ;;
    esac
    step 13-kernel-purged apt purge "linux-image-$old" "linux-headers-$old"
    cp /etc/dkms/framework.conf /result/framework.conf
    step 14-all-purged apt purge dkms
    # What dkms has no more to do with, so that only its own remains show.
    step 15-rest-purged apt purge v4l2loopback-dkms ddcci-dkms
    case $side in
    debian) step 16-fresh apt install dkms ;;
    ours) step 16-fresh apt install /deb/*.deb ;;
    esac
    step 17-fresh-module apt install v4l2loopback-dkms
}

if [[ ${1:-} == --inside ]]; then
    export LC_ALL=C DEBIAN_FRONTEND=noninteractive
    scenario "$2"
    exit
fi

# ---- outside ----

cd "$(dirname "$0")/.."
build=${DKMS_TEST_BUILD:-$PWD/build}
binary=${DKMS_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release/dkms}
chroots=$build/chroots
failed=0

say() { printf 'deb: %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*"; failed=1; }
skip() { echo "skipped: $*"; exit 0; }
(($(id -u) == 0)) || skip 'chroots need root'
for tool in debootstrap dpkg-deb dpkg-shlibdeps unshare apt-get; do
    command -v "$tool" >/dev/null || skip "no $tool here"
done
[[ -x $binary ]] || { echo "no dkms at $binary: make build" >&2; exit 1; }

# shellcheck source=/dev/null
machine=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
suite=${DEB_SUITE:-$machine}
# The archive that apt uses here has the other suites too.
# shellcheck disable=SC2016 # apt's own variables
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | awk -v suite="$machine" '$2 == suite { print $1; exit }')
[[ -n $mirror ]] || skip "apt knows no archive of $machine"

say "the package, twice"
rm -rf "$build/deb-test"
export BINARY=$binary
deb=$(packaging/deb.sh "$build/deb-test/1")
cmp "$deb" "$(packaging/deb.sh "$build/deb-test/2")" || fail 'two builds differ'
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error,warning "$deb" || fail 'lintian'
else
    echo 'skipped: lintian is not installed'
fi

# A fresh Debian, kept; apt set up as on this machine.
base=$chroots/$suite
if [[ ! -e $base.done ]]; then
    say "debootstrap $suite"
    rm -rf "$base"
    mkdir -p "$base"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$base" "$mirror" >"$chroots/debootstrap.log" || { tail "$chroots/debootstrap.log"; exit 1; }
    touch "$base.done"
fi
mkdir -p "$chroots/archives/partial"

run() { # SIDE
    local side=$1 dir=$chroots/$suite-$1
    rm -rf "$dir"
    mkdir -p "$dir"/{upper,work,root,result}
    SIDE=$side DIR=$dir BASE=$base ARCHIVES=$chroots/archives DEB=${deb%/*} SELF=$PWD/tests/deb.sh \
        MACHINE=$machine SUITE=$suite unshare --mount --pid --fork --kill-child bash -euo pipefail <<'INSIDE' &
mount -t overlay -o "lowerdir=$BASE,upperdir=$DIR/upper,workdir=$DIR/work,volatile" overlay "$DIR/root"
cd "$DIR/root"
mkdir -p result deb proc dev sys
mount --bind "$DIR/result" result
mount --bind "$DEB" deb
mount --bind "$ARCHIVES" var/cache/apt/archives
mount -t proc proc proc
mount -t tmpfs tmpfs dev
for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"; done
ln -s /proc/self/fd dev/fd
cp --remove-destination /etc/resolv.conf /etc/hosts etc/
cp -r /etc/apt/apt.conf.d /etc/apt/trusted.gpg.d etc/apt/
rm -f etc/apt/sources.list
for sources in sources.list sources.list.d; do
    [[ ! -e /etc/apt/$sources ]] || cp -r "/etc/apt/$sources" etc/apt/
done
find etc/apt/sources.list* -type f -exec sed -i "s/\b$MACHINE\b/$SUITE/g" {} +
# Kept for the other side; and nothing of the machine's own that cleans up after apt.
printf '#clear DPkg::Post-Invoke;\n#clear APT::Update::Post-Invoke;\nBinary::apt-get::APT::Keep-Downloaded-Packages "true";\n' >etc/apt/apt.conf.d/zz-dkms-test
echo force-unsafe-io >etc/dpkg/dpkg.cfg.d/dkms-test # nothing here is to survive a power cut
printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
chmod +x usr/sbin/policy-rc.d
cp "$SELF" deb.sh
chroot . apt-get -qq update
exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb bash /deb.sh --inside "$SIDE"
INSIDE
    child=$!
    trap 'kill -KILL "$child" 2>/dev/null; exit 130' INT TERM HUP
    wait "$child"
}

sides=("$@")
(($#)) || sides=(debian ours)
for side in "${sides[@]}"; do
    say "$suite, $side"
    run "$side" || fail "the steps of $side did not come to their end; see $chroots/$suite-$side/result"
done

say 'compared'
theirs=$chroots/$suite-debian/result ours=$chroots/$suite-ours/result
for status in "$theirs"/*.status; do
    name=$(basename "$status" .status)
    for what in exit status modules packages; do
        diff -u --label "Debian's" --label ours "$theirs/$name.$what" "$ours/$name.$what" || fail "step $name: $what differs"
    done
    [[ $(<"$ours/$name.exit") == 0 ]] || fail "step $name ended with $(<"$ours/$name.exit")"
done
[[ -s $ours/before ]] || fail 'step 01 has installed no module'
cmp -s "$ours/before" "$ours/after" || fail 'the replacement has touched installed modules'
grep -q '^# a line of the administrator' "$ours/framework.conf" || fail 'framework.conf was not kept'
# shellcheck source=/dev/null
. "$ours/kernels"
# Modules first, then the initramfs, once.
initramfs() { # STEP KERNEL
    local log=$ours/$1.log order made
    order=$(grep -E '^/etc/kernel/postinst.d/(dkms|initramfs-tools):' "$log" | sed 's/.*postinst.d.//' | tr '\n' ' ')
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

printf '\n%-24s %10s %10s\n' step "Debian's s" 'ours s'
for seconds in "$theirs"/*.seconds; do
    name=$(basename "$seconds")
    printf '%-24s %10s %10s\n' "${name%.seconds}" "$(<"$seconds")" "$(cat "$ours/$name" 2>/dev/null || echo -)"
done
((failed)) || rm -rf "$chroots/$suite"-{debian,ours}/{upper,work}
echo "deb: $( ((failed)) && echo 'FAILED' || echo 'passed')"
exit "$failed"
