# verify, ready and pending: the verdict, without a running kernel. tests/vm asks real kernels.
#: image
#: kernel 6.12
#: step nothing-installed 0 ours
dkms verify | grep -qx 'No module of dkms is installed'
dkms pending | grep -qx 'Nothing is pending'
#: step unknown-package 3 ours
dkms verify nothing/1.0
#: step not-installed 2 ours
fixture single-1.0 multi-1.0 depa-1.0 depb-1.0
dkms add single/1.0
dkms verify single
#: step would-load 0 ours
dkms install single/1.0 -k "$K"
same "$(dkms verify)" "single/1.0, $K, $A: single would load"
dkms verify single/1.0 -k "$K" --json >/run/v.json
python3 - /run/v.json "$K" <<'P' || exit 96
import json, sys
d = json.load(open(sys.argv[1]))
[m], [k] = d["modules"], d["kernels"]
assert (d["verdict"], m["verdict"], m["module"], m["package"], m["version"]) == ("loads", "loads", "single", "single", "1.0"), d
assert k["kernel"] == sys.argv[2] and k["symbols_from"].endswith("/build/Module.symvers") and not m["reasons"]
P
#: step the-kernels-own-would-load 0 ours
find "/lib/modules/$K/kernel/fs" "/lib/modules/$K/kernel/net/ipv4" -name '*.ko' -print0 | xargs -0 dkms verify -k "$K" >/run/own
same "$(grep -vc 'would load$' /run/own)" 0
test "$(wc -l </run/own)" -gt 100
#: step without-headers-by-the-image 0 ours
mv "/lib/modules/$K/build" /run/build
dkms verify --verbose >/run/out
grep -qx "  symbols: /boot/vmlinuz-$K" /run/out
grep -qx "single/1.0, $K, $A: single would load" /run/out
mv /run/build "/lib/modules/$K/build"
#: step another-kernel 1 ours
# It is one of the files the kernel refuses by the first symbol it compares.
dkms verify "/lib/modules/$K/updates/dkms/single.ko" -k "$K612" >/run/out 2>&1 || { rc=$?; grep -q 'disagrees about version of symbol module_layout' /run/out; exit $rc; }
#: step changed-file 1 ours
cp "/lib/modules/$K/updates/dkms/single.ko" /run/single.ko
truncate -s 3000 "/lib/modules/$K/updates/dkms/single.ko"
dkms verify single
#: step missing-file 1 ours
rm "/lib/modules/$K/updates/dkms/single.ko"
dkms verify single
#: step put-back 0 ours
cp /run/single.ko "/lib/modules/$K/updates/dkms/single.ko"
dkms verify single
#: step refused-for-certain-is-not-installed 6 ours
dkms build multi/1.0 -k "$K"
cat >/run/crc.py <<'P'
import sys
path = sys.argv[1]
data = bytearray(open(path, "rb").read())
at = data.index(b"module_layout\0")
data[at - 8] ^= 1
open(path, "wb").write(data)
P
python3 /run/crc.py "/var/lib/dkms/multi/1.0/$K/$A/module/alpha.ko"
dkms install multi/1.0 -k "$K" 2>/run/err || { rc=$?; grep -q "would not load it: disagrees about version of symbol module_layout" /run/err || exit 97; exit $rc; }
#: step and-nothing-was-changed 0 ours
same "$(installed alpha)$(installed beta)" ""
dkms status multi | grep -qx "multi/1.0, $K, $A: built"
#: step unless-forced 0 ours
dkms install multi/1.0 -k "$K" --force 2>/run/err
grep -q 'would not load' /run/err
code 1 dkms verify multi >/run/out 2>&1
grep -q 'alpha would not load' /run/out
dkms remove multi/1.0 --all
#: step a-module-that-another-offers 0 ours
dkms autoinstall -k "$K"
dkms verify
#: step ready-needs-a-kernel 1 ours
dkms ready -k 9.9.9-none
#: step ready-takes-no-module 2 ours
dkms ready single
#: step running-kernel 0 ours
# A kernel with the name of the one that runs here, made of the headers of K.
R=$(uname -r)
cp -a "/usr/src/linux-headers-$K" "/usr/src/linux-headers-$R"
grep -rlF "$K" "/usr/src/linux-headers-$R/include/generated/utsrelease.h" "/usr/src/linux-headers-$R/include/config/kernel.release" |
    xargs sed -i "s/$K/$R/"
mkdir -p "/lib/modules/$R/kernel"
ln -s "/usr/src/linux-headers-$R" "/lib/modules/$R/build"
touch "/lib/modules/$R/modules.order" "/lib/modules/$R/modules.builtin"
depmod "$R"
dkms install single/1.0 -k "$R"
dkms ready -k "$K"
dkms ready -k "$K" --verbose | grep -qx '  single/1.0 would be loaded'
#: step ready-says-what-is-missing 1 ours
dkms uninstall single/1.0 -k "$K"
dkms ready -k "$K" >/run/out 2>&1 || { rc=$?; grep -qx "  single is not installed for $K" /run/out || exit 97; exit $rc; }
#: step ready-after-a-failed-build 1 ours
# A package that the running kernel does not have either: its last build failed, and users should know that before they reboot.
dkms install single/1.0 -k "$K"
dkms ready -k "$K"
fixture failmake-1.0
dkms add failmake/1.0
code 11 dkms autoinstall -k "$K" 2>/dev/null
dkms ready -k "$K" >/run/out || { rc=$?; grep -q "failmake did not build for $K" /run/out || exit 97; exit $rc; }
#: step not-if-it-is-not-required 0 ours
echo 'required_modules="single"' >/etc/dkms/framework.conf.d/ready.conf
dkms ready -k "$K"
rm /etc/dkms/framework.conf.d/ready.conf
dkms remove failmake/1.0 --all
rm -r /usr/src/failmake-1.0
dkms ready -k "$K"
dkms uninstall single/1.0 -k "$K"
#: step ready-errors-are-no-answer 0 ours
echo 'hook_failure=sometimes' >/etc/dkms/framework.conf.d/bad.conf
code 2 dkms ready -k "$K"
rm /etc/dkms/framework.conf.d/bad.conf
code 2 dkms ready -k a/b/c
code 2 dkms --root /nonexistent ready
#: step pending-says-what-for 0 ours
dkms pending -k "$K" | grep -qx "single/1.0, $K, $A: is built and to be installed"
dkms pending --json -k "$K612" >/run/p.json
python3 - /run/p.json <<'P' || exit 96
import json, sys
items = json.load(open(sys.argv[1]))["pending"]
assert {i["waits_for"] for i in items} == {"autoinstall"} and {i["package"] for i in items} >= {"single"}, items
P
mv "/lib/modules/$K612/build" /run/build612
dkms pending --json -k "$K612" >/run/p.json
python3 - /run/p.json <<'P' || exit 96
import json, sys
items = json.load(open(sys.argv[1]))["pending"]
assert items and {i["waits_for"] for i in items} == {"headers"}, items
P
mv /run/build612 "/lib/modules/$K612/build"
#: step initramfs-has-it-too 1 ours
dkms install single/1.0 -k "$K"
image() { # KERNEL FILE: an initramfs with the module, behind an uncompressed archive
    rm -rf /run/tree && mkdir -p "/run/tree/usr/lib/modules/$1/updates" /run/early/kernel/x86
    [[ -z $3 ]] || cp "/lib/modules/$1/updates/dkms/single.ko" "/run/tree/usr/lib/modules/$1/updates/"
    (cd /run/early && find . | cpio --quiet -o -H newc >"$2")
    (cd /run/tree && find . | cpio --quiet -o -H newc | zstd -q >>"$2")
}
image "$(uname -r)" "/boot/initrd.img-$(uname -r)" with
image "$K" "/boot/initrd.img-$K" ''
dkms ready -k "$K" >/run/out 2>&1 || { rc=$?; grep -q "single is in the running kernel's initramfs, but not in /boot/initrd.img-$K" /run/out || exit 97; exit $rc; }
#: step initramfs-rebuilt 0 ours
packed() { rm -rf /run/tree && mkdir -p "/run/tree/usr/lib/modules/$1/updates"; cp "/lib/modules/$1/updates/dkms/single.ko" "/run/tree/usr/lib/modules/$1/updates/"; (cd /run/tree && find . | cpio --quiet -o -H newc | xz --check=crc32 >"$2"); }
packed "$K" "/boot/initrd.img-$K"
dkms ready -k "$K"
#: step required-modules 1 ours
rm "/boot/initrd.img-$(uname -r)"
echo 'required_modules="ext4 single no_such_driver"' >>/etc/dkms/framework.conf
dkms ready -k "$K" --verbose >/run/out 2>&1 || { rc=$?
    grep -qx '  ext4 is a module of this kernel' /run/out || exit 97
    grep -qx '  no_such_driver is neither a package of dkms nor a module of this kernel' /run/out || exit 98
    exit $rc; }
#: step depmod-knows-it 1 ours
echo 'required_modules=single' >>/etc/dkms/framework.conf
dkms ready -k "$K"
sed -i '/single.ko/d' "/lib/modules/$K/modules.dep"
dkms ready -k "$K"
#: step another-file-of-that-name 1 ours
depmod "$K"
mkdir -p "/lib/modules/$K/kernel/misc"
cp "/lib/modules/$K/updates/dkms/single.ko" "/lib/modules/$K/kernel/misc/"
sed -i 's,^updates/dkms/single.ko,kernel/misc/single.ko,' "/lib/modules/$K/modules.dep"
dkms ready -k "$K" >/run/out 2>&1 || { rc=$?; grep -q "modprobe uses /lib/modules/$K/kernel/misc/single.ko instead" /run/out || exit 97; exit $rc; }
#: step cut-off 1 ours
rm -r "/lib/modules/$K/kernel/misc"
depmod "$K"
dkms ready -k "$K"
# What a command leaves that is killed before its depmod.
mkdir -p /var/lib/dkms/.journal
printf '{"Begin":{"schema":2,"pid":999999,"started":1,"command":"dkms install x/1","kernels":[{"release":"%s","arch":"%s"}]}}\n' "$K" "$A" >/var/lib/dkms/.journal/1-999999
dkms pending -k "$K" --json | grep -q '"waits_for": "recovery"'
dkms ready -k "$K"
#: step writes-nothing 0 ours
state() { find /var/lib/dkms /lib/modules -printf '%p %y %s %T@ %C@ %l\n' | sort; }
before=$(state)
code 1 dkms ready -k "$K" >/dev/null 2>&1
dkms verify >/dev/null; dkms pending >/dev/null
same "$(state)" "$before"
