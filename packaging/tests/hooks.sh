#!/bin/sh
# Runs the hooks and common.postinst, each case in a separate mount namespace with empty trees and a dkms that
# only records how it was called. Nothing on this machine changes. Needs root and unshare(1); prints "skipped"
# without them.
# Usage: hooks.sh [SHELL ...]   (default: dash)
here=$(cd "$(dirname "$0")/.." && pwd)

if [ "$1" = --inside ]; then
    shift
    # A path that the machine lacks is created in a private copy of its parent directory.
    mount -t tmpfs tmpfs /mnt || exit 99
    for dir in /lib/modules /etc/dkms /boot /usr/src /var/lib/dkms; do
        if ! [ -d "$dir" ]; then
            above=$(readlink -f "${dir%/*}")
            mkdir -p "/mnt$above/upper" "/mnt$above/work"
            mount -t overlay -o "lowerdir=$above,upperdir=/mnt$above/upper,workdir=/mnt$above/work" overlay "$above" || exit 99
            mkdir "$dir"
        fi
        mount -t tmpfs tmpfs "$dir" || exit 99
    done
    mkdir -p "$DIR/bin"
    cat >"$DIR/bin/dkms" <<'FAKE'
#!/bin/sh
case $1 in status) cat "$DIR/status" 2>/dev/null; exit 0 ;; esac
echo "dkms $*" >>"$DIR/calls"
code=$(sed -n "s/^$1 .*$//; s/^$1=//p" "$DIR/codes" 2>/dev/null)
if [ "$1" = add ]; then mkdir -p "/var/lib/dkms/$3/$5"; ln -s "/usr/src/$3-$5" "/var/lib/dkms/$3/$5/source"; fi
if [ "$1" = remove ]; then rm -rf "/var/lib/dkms/$3"; fi
exit "${code:-0}"
FAKE
    printf '#!/bin/sh\n[ "$1" != -r ] || { echo 6.1.0-9; exit; }\nexec /usr/bin/uname "$@"\n' >"$DIR/bin/uname"
    chmod +x "$DIR/bin/dkms" "$DIR/bin/uname"
    PATH=$DIR/bin:$PATH
    kernel() { mkdir -p "/lib/modules/$1" && touch "/boot/config-$1"; }
    headers() { mkdir -p "/lib/modules/$1/build/include"; }
    source_tree() { mkdir -p "/usr/src/$1" && touch "/usr/src/$1/Makefile" && printf '%b' "$2" >"/usr/src/$1/dkms.conf"; }
    # shellcheck disable=SC2034 # used in SETUP
    yes='AUTOINSTALL="yes"\n'
    eval "$SETUP"
    "$SHELL_UNDER_TEST" "$@" >"$DIR/out" 2>"$DIR/err"
    echo "exit $?" >>"$DIR/calls"
    exit 0
fi

if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
    echo "skipped: hooks.sh needs root and mount namespaces"
    exit 0
fi
# The scripts under test, with their paths moved to one directory.
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
(cd "$here/hooks" && find . -type f ! -name '*.py') | while read -r file; do
    mkdir -p "$stage/${file%/*}"
    sed -e "s,/usr/lib/dkms,$stage,g" -e "s,/etc/kernel/\([a-z]*\)\.d/dkms,$stage/debian/\1,g" "$here/hooks/$file" >"$stage/$file"
    chmod 755 "$stage/$file"
done

passed=0 failed=0
# check TITLE SETUP EXPECTED-CALLS SCRIPT [ARGUMENT ...]: runs SCRIPT after SETUP; the calls of dkms and the
# exit code must be as given.
check() {
    title=$1 SETUP=$2 expected=$3
    shift 3
    script=$stage/$1
    shift
    DIR=$(mktemp -d)
    export DIR SETUP SHELL_UNDER_TEST
    unshare -m --propagation private sh "$here/tests/hooks.sh" --inside "$script" "$@"
    if [ "$(cat "$DIR/calls" 2>/dev/null)" = "$expected" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED (%s): %s\n--- expected\n%s\n--- got\n' "$SHELL_UNDER_TEST" "$title" "$expected"
        cat "$DIR/calls" "$DIR/out" "$DIR/err"
    fi
    last_err=$(cat "$DIR/err" 2>/dev/null)
    rm -rf "$DIR"
}
says() { case $last_err in *"$1"*) passed=$((passed + 1)) ;; *) failed=$((failed + 1)); echo "FAILED: not printed: $1"; esac; }
line() { printf '%s\n' "$@"; }

cases() {
    both='kernel 6.1.0-9; headers 6.1.0-9; kernel 6.1.0-10; headers 6.1.0-10;'
    hello='source_tree hello-1 "$yes";'
    calls_for() { # the calls for a fresh hello/1 on these kernels
        echo 'dkms add -m hello -v 1'
        if [ $# -gt 0 ]; then echo "dkms install -m hello -v 1$(printf ' -k %s' "$@")"; fi
        echo 'exit 0'
    }

    check 'kernel installed' 'headers 6.1.0-9' "$(line 'dkms kernel_postinst -k 6.1.0-9' 'exit 0')" dkms_autoinstaller start 6.1.0-9
    check 'default is the running kernel' 'headers 6.1.0-9' "$(line 'dkms kernel_postinst -k 6.1.0-9' 'exit 0')" dkms_autoinstaller start
    check 'a failed build is reported' 'headers 6.1.0-9; echo kernel_postinst=11 >"$DIR/codes"' \
        "$(line 'dkms kernel_postinst -k 6.1.0-9' 'exit 11')" dkms_autoinstaller start 6.1.0-9
    check 'no headers' 'kernel 6.1.0-9; echo "hello/1: added" >"$DIR/status"' 'exit 0' dkms_autoinstaller start 6.1.0-9
    says -6.1.0-9
    check 'no headers, no modules: silence' 'kernel 6.1.0-9' 'exit 0' dkms_autoinstaller start 6.1.0-9
    check 'old init words' '' 'exit 0' dkms_autoinstaller stop
    check 'wrong word' '' 'exit 2' dkms_autoinstaller begin
    check 'preinst' 'headers 6.1.0-9' "$(line 'dkms kernel_preinst -k 6.1.0-9' 'exit 0')" debian/preinst 6.1.0-9
    check 'preinst never fails' 'headers 6.1.0-9; echo kernel_preinst=14 >"$DIR/codes"' \
        "$(line 'dkms kernel_preinst -k 6.1.0-9' 'exit 0')" debian/preinst 6.1.0-9
    # dpkg keeps the hook when dkms 3.0 replaces dkms 4.
    check 'preinst under dkms 3.0' 'headers 6.1.0-9; mount --bind /dev/null "${1%/debian/*}/ready_warn"' 'exit 0' debian/preinst 6.1.0-9
    check 'preinst keeps what cannot be rebuilt' 'kernel 6.1.0-9' 'exit 0' debian/preinst 6.1.0-9
    check 'preinst keeps what will not be rebuilt' 'headers 6.1.0-9; touch /etc/dkms/no-autoinstall' 'exit 0' debian/preinst 6.1.0-9
    check 'prerm' '' "$(line 'dkms kernel_prerm -k 6.1.0-9' 'exit 0')" debian/prerm 6.1.0-9
    check 'prerm never fails' 'echo kernel_prerm=14 >"$DIR/codes"' "$(line 'dkms kernel_prerm -k 6.1.0-9' 'exit 0')" debian/prerm 6.1.0-9
    check 'postinst' 'headers 6.1.0-9' "$(line 'dkms kernel_postinst -k 6.1.0-9' 'dkms kernel_hold -k 6.1.0-9' 'exit 0')" debian/postinst 6.1.0-9
    check 'postinst reports a failure' 'headers 6.1.0-9; echo kernel_postinst=11 >"$DIR/codes"' \
        "$(line 'dkms kernel_postinst -k 6.1.0-9' 'dkms kernel_hold -k 6.1.0-9' 'exit 11')" debian/postinst 6.1.0-9
    check 'kernel-install add, Debian' 'headers 6.1.0-9' \
        "$(line 'dkms kernel_postinst -k 6.1.0-9' 'dkms kernel_hold -k 6.1.0-9' 'exit 0')" debian/install.d add 6.1.0-9 /boot/x
    check 'kernel-install remove, Debian' '' "$(line 'dkms kernel_prerm -k 6.1.0-9' 'exit 0')" debian/install.d remove 6.1.0-9
    check 'kernel-install add' 'headers 6.1.0-9; echo kernel_postinst=11 >"$DIR/codes"' \
        "$(line 'dkms kernel_postinst -k 6.1.0-9' 'dkms kernel_hold -k 6.1.0-9' 'exit 11')" redhat/install.d add 6.1.0-9
    check 'kernel-install remove' '' "$(line 'dkms kernel_prerm -k 6.1.0-9' 'exit 0')" redhat/install.d remove 6.1.0-9
    check 'kernel-install inspect' '' 'exit 0' redhat/install.d inspect 6.1.0-9

    check 'no name' '' 'exit 1' common.postinst
    check 'switched off' "$hello $both touch /etc/dkms/no-autoinstall" 'exit 0' common.postinst hello 1
    check 'running and newest' "$hello $both" "$(calls_for 6.1.0-9 6.1.0-10)" common.postinst hello 1 /usr/share/hello '' ''
    check 'headers-only directories are no kernels' "$hello $both headers 6.1.0-11" "$(calls_for 6.1.0-9 6.1.0-10)" common.postinst hello 1
    check 'only the running one' "$hello kernel 6.1.0-9; headers 6.1.0-9; kernel 6.1.0-8; headers 6.1.0-8" "$(calls_for 6.1.0-9)" common.postinst hello 1
    check 'all kernels' "$hello $both headers 5.10.0-1; echo autoinstall_all_kernels=1 >/etc/dkms/framework.conf" \
        "$(calls_for 5.10.0-1 6.1.0-9 6.1.0-10)" common.postinst hello 1
    check 'a broken framework.conf' "$hello $both echo 'x=(' >/etc/dkms/framework.conf" "$(calls_for 6.1.0-9 6.1.0-10)" common.postinst hello 1
    check 'the first failure is the last' "$hello $both echo continue_on_error=false >/etc/dkms/framework.conf; echo install=10 >\"\$DIR/codes\"" \
        "$(line 'dkms add -m hello -v 1' 'dkms install -m hello -v 1 -k 6.1.0-9' 'exit 10')" common.postinst hello 1
    check 'one after the other' "$hello $both echo continue_on_error=false >/etc/dkms/framework.conf" \
        "$(line 'dkms add -m hello -v 1' 'dkms install -m hello -v 1 -k 6.1.0-9' 'dkms install -m hello -v 1 -k 6.1.0-10' 'exit 0')" common.postinst hello 1
    check 'chroot, first installation' "$hello kernel 6.1.0-10; headers 6.1.0-10; headers 5.10.0-1" "$(calls_for 5.10.0-1 6.1.0-10)" common.postinst hello 1
    check 'chroot, upgrade' "$hello kernel 6.1.0-10; headers 6.1.0-10; headers 5.10.0-1" "$(calls_for 6.1.0-10)" common.postinst hello 1 '' '' 0.9
    check 'newest has no headers' "$hello $both rm -r /lib/modules/6.1.0-10/build" "$(calls_for 6.1.0-9)" common.postinst hello 1
    says -6.1.0-10
    check 'installer kernel' "$hello kernel 6.1.0-9; headers 6.1.0-9; kernel 7.0BOOT; headers 7.0BOOT" "$(calls_for 6.1.0-9)" common.postinst hello 1
    check 'no kernel at all' "$hello" "$(calls_for)" common.postinst hello 1
    check 'registered before' "$hello $both mkdir -p /var/lib/dkms/hello/1" \
        "$(line 'dkms remove -m hello -v 1 --all'; calls_for 6.1.0-9 6.1.0-10)" common.postinst hello 1
    check 'cannot be removed' "$hello $both mkdir -p /var/lib/dkms/hello/1; echo remove=6 >\"\$DIR/codes\"" \
        "$(line 'dkms remove -m hello -v 1 --all' 'exit 6')" common.postinst hello 1
    check 'not for this kernel' "$hello $both echo install=77 >\"\$DIR/codes\"" "$(calls_for 6.1.0-9 6.1.0-10)" common.postinst hello 1
    check 'a failure is reported' "$hello $both echo install=10 >\"\$DIR/codes\"" \
        "$(calls_for 6.1.0-9 6.1.0-10 | sed 's/exit 0/exit 10/')" common.postinst hello 1
    says '-k 6.1.0-9 -k 6.1.0-10'
    check 'installed already' "$hello $both echo 'hello/1, k, a: installed' >\"\$DIR/status\"" "$(calls_for)" common.postinst hello 1
    check 'AUTOINSTALL=no' "source_tree hello-1 'AUTOINSTALL=no\\n'; $both" "$(calls_for)" common.postinst hello 1
    check 'no AUTOINSTALL' "source_tree hello-1 '# AUTOINSTALL=yes\\n'; $both" "$(calls_for)" common.postinst hello 1
    check 'AUTOINSTALL by override' "source_tree hello-1 'A=1\\n'; echo 'AUTOINSTALL=YES' >/etc/dkms/hello.conf; $both" \
        "$(calls_for 6.1.0-9 6.1.0-10)" common.postinst hello 1
    check 'AUTOINSTALL with CRLF' "source_tree hello-1 'AUTOINSTALL=\"no\"\\r\\n'; $both" "$(calls_for)" common.postinst hello 1
    check 'AUTOINSTALL from a variable' "source_tree hello-1 'AUTOINSTALL=\$x\\n'; $both" "$(calls_for 6.1.0-9 6.1.0-10)" common.postinst hello 1
    check 'AUTOINSTALL perhaps in another file' "source_tree hello-1 '. ./more\\n'; $both" "$(calls_for 6.1.0-9 6.1.0-10)" common.postinst hello 1
    check 'architecture' "$hello kernel 6.1.0-9; headers 6.1.0-9" \
        "$(calls_for 6.1.0-9 | sed '/install/s/$/ -a x86_64/')" common.postinst hello 1 '' amd64
    check 'nothing there' "$both" 'exit 0' common.postinst hello 1 /usr/share/hello
    check 'tarball that does not load' "$both touch /usr/src/hello-1.dkms.tar.gz; echo ldtarball=7 >\"\$DIR/codes\"" \
        "$(line 'dkms ldtarball --archive /usr/src/hello-1.dkms.tar.gz' 'exit 2')" common.postinst hello 1 /usr/src
    check 'tarball without sources' "touch /usr/src/hello-1.dkms.tar.gz; echo AUTOINSTALL=yes >/etc/dkms/hello.conf; $both" \
        "$(line 'dkms ldtarball --archive /usr/src/hello-1.dkms.tar.gz' 'exit 0')" common.postinst hello 1 /usr/src
    check 'prebuilt needs no headers' "touch /usr/src/hello-1.dkms.tar.gz; echo AUTOINSTALL=yes >/etc/dkms/hello.conf; kernel 6.1.0-9; echo 'hello/1, k, a: built' >\"\$DIR/status\"" \
        "$(line 'dkms ldtarball --archive /usr/src/hello-1.dkms.tar.gz' 'dkms install -m hello -v 1 -k 6.1.0-9' 'exit 0')" common.postinst hello 1 /usr/src
}

for SHELL_UNDER_TEST in "${@:-dash}"; do cases; done
echo "hooks: $passed passed, $failed failed"
[ $failed -eq 0 ]
