#!/bin/bash
# Inside the private root of foreign::arm64: modules for an arm64 kernel, built on this machine.
# /run/in/linux-kbuild-6.1 has the programs of its headers for arm64, /usr/lib those for this machine.
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eu
not() { ! "$@"; } # a "!" alone never ends the script
step() { echo "-- $*"; }
says() { grep -qF -e "$1" /run/said || { echo "not said: $1" >&2; cat /run/said >&2; return 1; }; }
A=$(cd /usr/src && ls -d linux-headers-*-arm64)
A=${A#linux-headers-}
dir=/var/lib/dkms/single/1.0/$A/aarch64
kbuild=/usr/lib/linux-kbuild-6.1
echo 'try_sign_modules=false' >/etc/dkms/framework.conf
fixture single-1.0
dkms add single/1.0

step 'uname says i686, and the kernel is for x86_64'
setarch i686 dkms build single/1.0 -k "$K"
same "$(dkms status)" "single/1.0, $K, x86_64: built"
dkms unbuild single/1.0 -k "$K"

step 'the programs of the headers are those of this machine'
dkms build single/1.0 -k "$A" --no-cache
grep -qF 'ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- make' "$dir/log/make.log"
same "$(readelf -h "$dir/module/single.ko" | sed -n 's/ *Machine: *//p')" AArch64
not grep -q debug_info <(readelf -SW "$dir/module/single.ko")
cp "$dir/module/single.ko" /run/native.ko
dkms config single/1.0 -k "$A" --fingerprint >/run/lines
grep -qE '^compiler=aarch64-linux-gnu-gcc-12 gcc-12-aarch64-linux-gnu=' /run/lines
grep -qx 'env=ARCH=arm64' /run/lines
dkms unbuild single/1.0 -k "$A"

step 'they are arm64 programs: the module is the same'
cp -r "$kbuild" /run/kbuild
rm -rf "$kbuild"
cp -r /run/in/linux-kbuild-6.1 "$kbuild"
not "$kbuild/scripts/basic/fixdep" 2>/dev/null
dkms build single/1.0 -k "$A" --no-cache
cmp /run/native.ko "$dir/module/single.ko"
same "$(find /tmp -name 'dkms-*')" ''
dkms install single/1.0 -k "$A"
dkms verify single/1.0 -k "$A"
dkms unbuild single/1.0 -k "$A"

step 'what is missing, with its package'
lack() { # PROGRAM...: without them
    # The name without a version comes with a package that not every machine has.
    for p in "$@"; do [[ ! -e $p ]] || mv "$p" "$p.away"; done
    code 10 dkms build single/1.0 -k "$A" --no-cache >/run/said 2>&1
    for p in "$@"; do [[ ! -e $p.away ]] || mv "$p.away" "$p"; done
    not grep -q 'Bad return\|Exec format' /run/said
}
lack /usr/bin/qemu-aarch64
says 'linux-kbuild-6.1:amd64 or qemu-user'
says "$kbuild/scripts/basic/fixdep"
lack /usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1
says 'libc6-arm64-cross'
lack /usr/bin/aarch64-linux-gnu-gcc-12 /usr/bin/aarch64-linux-gnu-gcc
says 'install the package gcc-12-aarch64-linux-gnu'

step '--root of an arm64 system'
other=/run/other
mkdir -p $other/usr/{src,lib/modules} $other/etc $other/var/lib
cp -r "/usr/src/linux-headers-$A" "/usr/src/linux-headers-${A%-cloud-arm64}-common" /usr/src/single-1.0 $other/usr/src/
cp -r "/lib/modules/$A" $other/usr/lib/modules/
cp -r /run/in/linux-kbuild-6.1 $other/usr/lib/
cp /usr/lib/os-release $other/usr/lib/
cp -r /etc/dkms $other/etc/
ln -s usr/lib $other/lib
dkms install single/1.0 --root $other --no-cache
cmp /run/native.ko "$other/lib/modules/$A/updates/dkms/single.ko"
same "$(dkms status --root $other)" "single/1.0, $A, aarch64: installed"
not test -e "$dir"

step '--root takes the programs of this machine, where they are the same package'
mv /run/kbuild "$kbuild.here"
rm -rf "$kbuild"
mv "$kbuild.here" "$kbuild"
mv /usr/bin/qemu-aarch64 /usr/bin/qemu-aarch64.away
dkms install single/1.0 --root $other --no-cache --force
cmp /run/native.ko "$other/lib/modules/$A/updates/dkms/single.ko"
