#!/bin/bash
# A Debian for i386 with headers of a 64-bit kernel (apt's second architecture): dkms, compiled for 32 bits,
# behaves there as Debian's dkms does, and the modules are the same.
#
#   tests/debian/i386.sh      needs root, mmdebstrap, arch-test, and Rust's library for i686-unknown-linux-gnu
#
# A long test (debian::i386), not part of `make test`: it downloads a Debian. Results are in build/i386.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source=tests/debian/chroot.sh
. "$here/chroot.sh"
cd "$here/../.."
chroots_prepare
target=i686-unknown-linux-gnu
[[ -d $(rustc --print sysroot)/lib/rustlib/$target ]] || skip "no library of Rust for $target here: rustup target add $target"
work=$build/i386
mkdir -p "$work"
if ! cargo build -q --locked -p dkms --target $target --target-dir "$work/target" 2>"$work/cargo.log"; then
    grep -q 'cannot find -lgcc\|bits/libc-header-start.h\|gnu/stubs-32.h' "$work/cargo.log" && skip 'no C compiler for 32 bits here: libc6-dev-i386 lib32gcc-12-dev'
    tail -n 20 "$work/cargo.log"
    exit 1
fi
root=$work/root
if [[ ! -x $root/usr/sbin/dkms ]]; then
    rm -rf "$root"
    mmdebstrap --quiet --mode=root --variant=minbase --architectures=i386,amd64 \
        --include=linux-headers-cloud-amd64:amd64,gcc,make,libc6-dev,kmod,patch,dkms "$suite" "$root" "$mirror"
fi
cp "$work/target/$target/debug/dkms" "$root/usr/local/sbin/dkms-32"
rm -rf "$root/usr/src/single-1.0"
cp -r tests/fixtures/single-1.0 "$root/usr/src/"
cat >"$root/steps" <<'S'
set -e
echo 'try_sign_modules=false' >/etc/dkms/framework.conf
kernel=$(ls /lib/modules)
for dkms in dkms dkms-32; do
    rm -rf /var/lib/dkms/* /var/cache/dkms
    {
        $dkms add single/1.0
        $dkms build single/1.0 -k "$kernel"
        $dkms install single/1.0 -k "$kernel"
    } >"/$dkms.log" 2>&1
    {
        $dkms status
        modinfo -F vermagic "/lib/modules/$kernel/updates/dkms/single.ko"
        cd /var/lib/dkms/single/1.0
        sha256sum "$kernel/x86_64/module/single.ko"
        grep updates /lib/modules/*/modules.dep
        $dkms remove single/1.0 --all >>"/$dkms.log" 2>&1
        find /lib/modules/ -name 'single*'
    } >"/$dkms.seen"
done
# uname prints i686 under setarch, but the kernel is for x86_64. Without -k: the installed kernel.
setarch i686 dkms-32 install /usr/src/single-1.0 >/default.log 2>&1
dkms-32 status >/default.seen
dkms-32 remove single/1.0 --all >/dev/null
S
# Process 1 stays outside, as on a machine: that is how dkms knows that it is in a chroot.
# shellcheck disable=SC2016 # for the inner shell
unshare --mount --pid --fork bash -c 'mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && chroot "$1" bash /steps; exit $?' - "$root" ||
    { tail -n 5 "$root"/*.log; exit 1; }
diff "$root/dkms.seen" "$root/dkms-32.seen" || fail 'dkms and Debian'"'"'s dkms differ'
grep -q ', x86_64: installed$' "$root/dkms-32.seen" || fail 'not installed for x86_64'
grep -q ', x86_64: installed$' "$root/default.seen" || fail 'not installed without -k'
grep -q 'the only one in /lib/modules' "$root/default.log" || fail 'does not name the kernel'
((failed)) || rm -rf "$work"
say "$( ((failed)) && echo 'FAILED' || echo 'passed')"
exit "$failed"
