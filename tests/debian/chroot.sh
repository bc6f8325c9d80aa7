# shellcheck shell=bash
# Chroots of Debian, for the tests of packages. The tests in this directory source it, and start themselves
# inside the chroot (`--inside ...`), with this file beside them.

# ---- inside a chroot; results go to /result ----

# Records the state after this step in files.
picture() { # STEP EXIT SECONDS
    local to=/result/$1
    echo "$2" >"$to.exit"
    echo "$3" >"$to.seconds"
    hash -r # dkms comes and goes
    # Debian's dkms runs dkms.conf for its status, and some of these files write to standard error.
    if command -v dkms >/dev/null; then dkms status 2>"$to.status-errors"; else echo 'no dkms'; fi >"$to.status" || true
    find /lib/modules/ -mindepth 1 \( -type d -printf '%P/\n' -o -printf '%P\n' \) 2>/dev/null | sort >"$to.modules"
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' '*dkms*' 'linux-image-*' 'linux-headers-*' 2>/dev/null | grep -v '^un' >"$to.packages" || true
    find / -xdev -ipath '*dkms*' -not -path '/result*' -not -path '/var/cache/*' -not -path '/proc/*' -not -path '/var/log/*' \
        -not -path '/deb/*' -not -path '/test/*' | sort >"$to.left"
}

# Runs one step and keeps its output, however it ends.
step() { # NAME COMMAND ...
    local name=$1 start=$EPOCHREALTIME code=0
    shift
    "$@" >"/result/$name.log" 2>&1 </dev/null || code=$?
    picture "$name" "$code" "$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')"
    printf '   %-22s exit %s, %s s\n' "$name" "$code" "$(<"/result/$name.seconds")"
}

apt() { apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@"; }

# Kernels of the newest series for which the archive has an image and headers, oldest first.
kernels() {
    local arch newest
    arch=$(dpkg --print-architecture)
    newest=$(apt-cache depends "linux-headers-$arch" | sed -n 's/.*Depends: linux-headers-//p' | head -n 1)
    apt-cache pkgnames linux- | sed -nE "s/^linux-(image|headers)-([0-9].*-$arch)$/\2/p" | grep -vE -- '-(cloud|rt)-' |
        grep -E "^$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/; s/\./\\./' <<<"$newest")[.]" | sort -V | uniq -d
}

# Stores the oldest and the newest of them in `old` and `new` and in /result/kernels.
two_kernels() {
    new=$(kernels | tail -n 1)
    old=$(kernels | head -n 1)
    [[ $old != "$new" ]] || { echo "the archive has one kernel only: $new"; return 1; }
    printf 'new=%s\nold=%s\n' "$new" "$old" >/result/kernels
}

# A small initramfs that requests one module of a package: the module is in it only if dkms ran first.
small_initramfs() { # MODULE
    mkdir -p /etc/initramfs-tools/conf.d
    echo MODULES=list >/etc/initramfs-tools/conf.d/dkms-test
    echo "$1" >/etc/initramfs-tools/modules
}

# ---- outside ----

# Sets `suite`, `build`, `binary`, `chroots`; ends the test if chroots are not possible.
chroots_prepare() {
    local tool
    build=${DKMS_TEST_BUILD:-$PWD/build}
    binary=${DKMS_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release/dkms}
    chroots=$build/chroots
    failed=0
    (($(id -u) == 0)) || skip 'chroots need root'
    for tool in debootstrap dpkg-deb dpkg-shlibdeps unshare apt-get; do
        command -v "$tool" >/dev/null || skip "no $tool here"
    done
    [[ -x $binary ]] || { echo "no dkms at $binary: make build" >&2; exit 1; }
    # shellcheck source=/dev/null
    machine=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    suite=${DEB_SUITE:-$machine}
    # The archive of this machine's apt has the other suites too.
    # shellcheck disable=SC2016 # apt's own variables
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | awk -v suite="$machine" '$2 == suite { print $1; exit }')
    [[ -n $mirror ]] || skip "apt knows no archive of $machine"
}

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*"; }
fail() { printf 'FAILED: %s\n' "$*"; failed=1; }
skip() { echo "skipped: $*"; exit 77; }

# Makes our Debian packages in a separate directory, and prints the path of the package of dkms.
our_deb() { BINARY=$binary packaging/deb.sh "$build/deb-test/${1:-1}" | sed -n 1p; }

# Makes a fresh Debian, and keeps it.
chroots_base() {
    base=$chroots/$suite
    mkdir -p "$chroots/archives/partial"
    [[ ! -e $base.done ]] || return 0
    say "debootstrap $suite"
    rm -rf "$base"
    mkdir -p "$base"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$base" "$mirror" >"$chroots/debootstrap.log" || { tail "$chroots/debootstrap.log"; exit 1; }
    touch "$base.done"
}

# Run this test's own `--inside WORD...` in a fresh chroot, with apt set up as on this machine. There, /result
# is build/chroots/SUITE-NAME/result, and /deb the directory DEBS.
in_chroot() { # NAME DEBS WORD...
    local dir=$chroots/$suite-$1 debs=$2 self child
    shift 2
    self=$(realpath "$0")
    rm -rf "$dir"
    mkdir -p "$dir"/{upper,work,root,result}
    exec 9>"$chroots/.lock" # one at a time: they share the downloads
    flock 9
    PACKAGES=$build/debs DIR=$dir BASE=$base ARCHIVES=$chroots/archives DEBS=$debs SELF=$self MACHINE=$machine SUITE=$suite MIRROR=$mirror \
        unshare --mount --pid --fork --kill-child bash -euo pipefail -s "$@" <<'INSIDE' &
mount -t overlay -o "lowerdir=$BASE,upperdir=$DIR/upper,workdir=$DIR/work,volatile" overlay "$DIR/root"
cd "$DIR/root"
mkdir -p result deb proc dev sys test
mount --bind "$DIR/result" result
mount --bind "$DEBS" deb
mount --bind "$ARCHIVES" var/cache/apt/archives
if [[ -d $PACKAGES ]]; then # what tests/fetch.sh has downloaded
    mkdir debs
    mount --bind "$PACKAGES" debs
fi
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
if [[ ${ARCHIVE_COMPONENTS:-} ]]; then
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $MIRROR $SUITE $ARCHIVE_COMPONENTS" >etc/apt/sources.list.d/components.list
fi
# Packages are kept for the next run; the machine's settings that clean up after apt are not used.
printf '#clear DPkg::Post-Invoke;\n#clear APT::Update::Post-Invoke;\nBinary::apt-get::APT::Keep-Downloaded-Packages "true";\n' >etc/apt/apt.conf.d/zz-dkms-test
echo force-unsafe-io >etc/dpkg/dpkg.cfg.d/dkms-test # nothing here is to survive a power cut
printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
chmod +x usr/sbin/policy-rc.d
cp "$SELF" "${SELF%/*}/chroot.sh" test/
cp -r "${SELF%/*}/../fixtures" test/
chroot . apt-get -qq update
exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C DEBIAN_FRONTEND=noninteractive \
    bash "/test/${SELF##*/}" --inside "$@"
INSIDE
    child=$!
    trap 'kill -KILL "$child" 2>/dev/null; exit 130' INT TERM HUP
    wait "$child"
}

# Runs a test's `--inside SIDE PACKAGE...` for Debian's dkms and ours, or one of them, each in a separate
# chroot. Sets `theirs` and `ours`, the directories of their results.
# shellcheck disable=SC2034 # theirs and ours are the caller's
both_sides() { # SIDES PACKAGE...
    local name side deb sides
    name=$(basename "$0" .sh)
    read -r -a sides <<<"${1:-debian ours}"
    shift
    chroots_prepare
    chroots_base
    deb=$(our_deb "$name")
    for side in "${sides[@]}"; do
        say "$suite, $side"
        in_chroot "$name-$side" "${deb%/*}" "$side" "$@" || fail "$side did not come to its end; see $chroots/$suite-$name-$side/result"
    done
    theirs=$chroots/$suite-$name-debian/result ours=$chroots/$suite-$name-ours/result
}

# Compares the pictures of both sides, step by step: exit, status, /lib/modules, packages. Lines that match
# the regular expressions are intended differences and are left out.
compare_sides() { # THEIRS OURS [STATUS-REGEX [MODULES-REGEX]]
    local status name what without
    for status in "$1"/*.status; do
        name=$(basename "$status" .status)
        for what in exit status modules packages; do
            without='^$'
            case $what in status) without=${3:-$without} ;; modules) without=${4:-$without} ;; esac
            diff -u --label "Debian's" --label ours <(grep -vE "$without" "$1/$name.$what") <(grep -vE "$without" "$2/$name.$what") || fail "step $name: $what differs"
        done
        [[ $(<"$2/$name.exit") == 0 ]] || fail "step $name ended with $(<"$2/$name.exit")"
    done
}

show_times() { # THEIRS OURS
    local seconds name
    printf '\n%-24s %10s %10s\n' step "Debian's s" 'ours s'
    for seconds in "$1"/*.seconds; do
        name=$(basename "$seconds")
        printf '%-24s %10s %10s\n' "${name%.seconds}" "$(<"$seconds")" "$(cat "$2/$name" 2>/dev/null || echo -)"
    done
}

# The last line of a test; deletes the files of the chroots if it passed.
chroots_end() { # NAME...
    local name
    for name in "$@"; do
        ((failed)) || rm -rf "$chroots/$suite-$name"/{upper,work}
    done
    say "$( ((failed)) && echo 'FAILED' || echo 'passed')"
    exit "$failed"
}
