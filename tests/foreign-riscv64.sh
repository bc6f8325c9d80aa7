#!/bin/bash
# Inside the private root of foreign::riscv64: modules for Debian 13's riscv64 kernel, built on this machine
# with the compiler of that release. The programs of the headers are for riscv64; the kernel's BTF is beside
# them.
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eu
not() { ! "$@"; } # a "!" alone never ends the script
step() { echo "-- $*"; }
says() { grep -qF -e "$1" /run/said || { echo "not said: $1" >&2; cat /run/said >&2; return 1; }; }
A=$(cd /usr/src && echo linux-headers-*-riscv64)
A=${A#linux-headers-}
module=/var/lib/dkms/single/1.0/$A/riscv64/module/single.ko
echo 'try_sign_modules=false' >/etc/dkms/framework.conf
fixture single-1.0

step 'with BTF by kbuild'
dkms install single/1.0 -k "$A" --no-cache
same "$(dkms status)" "single/1.0, $A, riscv64: installed"
same "$(readelf -h "$module" | sed -n 's/ *Machine: *//p')" RISC-V
grep -q '\.BTF ' <(readelf -SW "$module")
not grep -q debug_info <(readelf -SW "$module")
[[ $(modinfo -F vermagic "$module") == "$A "*riscv* ]]
dkms verify single/1.0 -k "$A"
dkms ready -k "$A" --json >/run/said || true
dkms uninstall single/1.0 -k "$A"

step '--root of a riscv64 system'
other=/run/other
mkdir -p $other/usr/{src,lib/modules} $other/etc $other/var/lib
cp -r "/usr/src/linux-headers-$A" "/usr/src/linux-headers-${A%-riscv64}-common" /usr/src/single-1.0 $other/usr/src/
cp -r "/lib/modules/$A" $other/usr/lib/modules/
cp -r /usr/lib/linux-kbuild-* /usr/lib/riscv64-linux-gnu /usr/lib/ld-linux-riscv64-* $other/usr/lib/
printf '%s\n' 'ID=debian' 'VERSION_ID=13' >$other/etc/os-release
cp -r /etc/dkms $other/etc/
ln -s usr/lib $other/lib
# No library of it is in this root.
rm -r /usr/lib/riscv64-linux-gnu /usr/lib/ld-linux-riscv64-*
dkms install single/1.0 --root $other --no-cache
cmp "$module" "$other/lib/modules/$A/updates/dkms/single.ko"

step 'a C library that is too old for the programs'
code 10 dkms build single/1.0 -k "$A" --no-cache --force >/run/said 2>&1
says 'lacks a library, or needs a newer one'

step 'another version of the compiler is no substitute: the makefiles of the headers name it'
type riscv64-linux-gnu-gcc-12 >/dev/null
rm /usr/bin/riscv64-linux-gnu-gcc-14
dkms unbuild single/1.0 --root $other -k "$A"
code 10 dkms install single/1.0 --root $other --no-cache >/run/said 2>&1 || { cat /run/said; exit 1; }
says 'install the package gcc-14-riscv64-linux-gnu'
echo 'foreign: all as it should be'
