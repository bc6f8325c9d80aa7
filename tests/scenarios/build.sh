# build: the failures, their exit codes, and what they leave in the tree.
#: kernel 6.12
#: step not-in-tree 3
dkms unbuild single/1.0 -k "$K"
#: step build-adds 0
fixture single-1.0
dkms build single/1.0 -k "$K"
#: step no-build-folder-left 0
test ! -e /var/lib/dkms/single/1.0/build || test -z "$(ls -A /var/lib/dkms/single/1.0/build)"
#: step headers-missing 21
dkms build single/1.0 -k 5.4.0-none
#: step default-kernel-has-no-headers 21
dkms build single/1.0
#: step two-kernels-in-one-command 0
dkms unbuild single/1.0 -k "$K"
dkms build single/1.0 -k "$K" -k "$K612"
#: step arch-serves-all 0
dkms build single/1.0 -k "$K" -k "$K612" -a x86_64
#: step source-dir 0
dkms unbuild single/1.0 -k "$K"
dkms build single/1.0 -k "$K" --kernelsourcedir "/usr/src/linux-headers-$K"
#: step make-fails 10
fixture failmake-1.0
dkms build failmake/1.0 -k "$K"
#: step failed-build-keeps-log 0
grep -q NO_SUCH_THING /var/lib/dkms/failmake/1.0/build/make.log
same "$(dkms status failmake)" "failmake/1.0: added"
#: step no-module-made 7
fixture noko-1.0
dkms build noko/1.0 -k "$K"
#: step text-for-a-module 0 ours
fixture textko-1.0
! dkms install textko/1.0 -k "$K"
#: step text-is-not-installed 0 ours
same "$(installed textko)" ""
#: step patch-missing 5
fixture badpatch-1.0
dkms build badpatch/1.0 -k "$K"
#: step patch-escapes 5
fixture badpatchup-1.0
echo > /usr/src/outside.patch
dkms build badpatchup/1.0 -k "$K"
#: step patch-fails 6
fixture badpatchfail-1.0
dkms build badpatchfail/1.0 -k "$K"
#: step empty-source 8
fixture ver-1.9
dkms add ver/1.9 >/dev/null
find /usr/src/ver-1.9 -type f ! -name dkms.conf -delete
dkms build ver/1.9 -k "$K"
#: step depends-missing 13
fixture depb-1.0
dkms build depb/1.0 -k "$K"
#: step directive-overrides 0
dkms unbuild single/1.0 -k "$K"
dkms build single/1.0 -k "$K" --directive 'PRE_BUILD="true"'
#: step after-many-failures-one-works 0
dkms build single/1.0 -k "$K612" --force
#: step log-names-command-and-exit 0
grep -qi 'exit code: 0' "/var/lib/dkms/single/1.0/$K/$A/log/make.log"
grep -q "KERNELRELEASE=$K" "/var/lib/dkms/single/1.0/$K/$A/log/make.log"
#: step keeps-the-configuration 0
l=/var/lib/dkms/single/1.0/$K/$A/log
cmp "$l/.config" "/lib/modules/$K/build/.config"; same "$(stat -c %a "$l/.config")" 644
cp "/lib/modules/$K/build/.config" /run/config-other
dkms unbuild single/1.0 -k "$K"; dkms build single/1.0 -k "$K" --config /run/config-other
cmp "$l/config-other" /run/config-other; test ! -e "$l/.config"
#: step reproducible-records 0 ours
# With SOURCE_DATE_EPOCH log and manifest say the same whenever, and however fast, it is built.
rm -rf /usr/src/single-1.0; fixture single-1.0; dkms remove single/1.0 --all 2>/dev/null || true
export SOURCE_DATE_EPOCH=1700000000
d=/var/lib/dkms/single/1.0/$K/$A
dkms build single/1.0 -k "$K"; cp "$d/.manifest.json" /run/m1; cp "$d/log/make.log" /run/l1
sed -i '1i $(shell sleep 1.2)' /usr/src/single-1.0/Kbuild; dkms build single/1.0 -k "$K" --force; cp "$d/log/make.log" /run/l2
cmp /run/l1 /run/l2
sed -i 1d /usr/src/single-1.0/Kbuild; dkms build single/1.0 -k "$K" --force; cmp "$d/.manifest.json" /run/m1
grep -q '^2023-11-14 22:13:20 UTC$' /run/l1; grep -q '"built_at": *1700000000' /run/m1
