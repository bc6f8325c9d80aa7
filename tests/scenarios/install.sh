# install and uninstall: versions, originals, collisions, several modules, and leftovers.
#: image
#: step kernel-not-there 6
fixture single-1.0
mkdir -p /root/hdr
dkms build single/1.0 -k "$K"
mkdir -p "/var/lib/dkms/single/1.0/9.9.9-none/$A/module" "/var/lib/dkms/single/1.0/9.9.9-none/$A/log"
cp "/var/lib/dkms/single/1.0/$K/$A/module/single.ko" "/var/lib/dkms/single/1.0/9.9.9-none/$A/module/"
dkms install single/1.0 -k 9.9.9-none
#: step clean-up 0
rm -rf /var/lib/dkms/single/1.0/9.9.9-none
dkms install single/1.0 -k "$K"
#: step same-version-again 0
dkms install single/1.0 -k "$K"
#: step two-modules 0
fixture multi-1.0
dkms install multi/1.0 -k "$K"
same "$(installed alpha) $(installed beta_renamed) $(installed beta)" "updates/dkms/alpha.ko updates/dkms/beta_renamed.ko "
#: step two-modules-gone 0
dkms uninstall multi/1.0 -k "$K"
same "$(installed alpha)$(installed beta_renamed)" ""
same "$(dkms status multi)" "multi/1.0, $K, $A: built"
#: step original-is-kept 0
fixture dummy-9.0
test -n "$(installed dummy)"
dkms install dummy/9.0 -k "$K"
modinfo -k "$K" -F version dummy | grep -qx 9.0
dkms status dummy | grep -q '^dummy/9.0, .*: installed'
#: step original-comes-back 0
dkms uninstall dummy/9.0 -k "$K"
same "$(installed dummy)" "kernel/drivers/net/dummy.ko"
#: step newer-replaces-older 0
fixture ver-1.9 ver-1.10
dkms install ver/1.9 -k "$K"
dkms install ver/1.10 -k "$K"
same "$(modinfo -k "$K" -F version ver)" "1.10"
#: step only-one-installed 0
dkms status ver | sort
same "$(dkms status ver | grep -c ': installed')" 1
#: step older-over-newer -
dkms install ver/1.9 -k "$K"
#: step forced-older 0
dkms install ver/1.9 -k "$K" --force
same "$(modinfo -k "$K" -F version ver)" "1.9"
#: step remove-all-versions 0
dkms remove ver/1.9 --all
dkms remove ver/1.10 --all
same "$(installed ver)" ""
test ! -e /var/lib/dkms/ver
#: step kernel-has-newer 6
foreign=$(fixture_as ver-1.9 3.0; cp -r /usr/src/ver-3.0 /root/v3; make -s -C "/lib/modules/$K/build" M=/root/v3 >/dev/null; echo /root/v3/ver.ko)
mkdir -p "/lib/modules/$K/kernel/drivers/misc"
cp "$foreign" "/lib/modules/$K/kernel/drivers/misc/ver.ko"
rm -rf /usr/src/ver-3.0
dkms install ver/1.10 -k "$K"
#: step kernel-has-newer-forced 0
dkms install ver/1.10 -k "$K" --force
same "$(modinfo -k "$K" -F version ver)" "1.10"
#: step newer-original-comes-back 0
dkms remove ver/1.10 --all
same "$(modinfo -F version "/lib/modules/$K/kernel/drivers/misc/ver.ko")" "3.0"
same "$(find /var/lib/dkms -name 'ver*')" ""
#: step no-depmod 0
spy depmod
dkms uninstall single/1.0 -k "$K" --no-depmod
same "$(spied depmod)" 0
#: step status-built-missing 0
dkms install single/1.0 -k "$K"
rm "/lib/modules/$K/updates/dkms/single.ko"
dkms status single | grep -q '(Built modules are missing in the kernel modules folder)'
#: step status-differs 0
echo other >"/lib/modules/$K/updates/dkms/single.ko"
dkms status single | grep -q '(Differences between built and installed modules)'
#: step force-fixes 0
dkms install single/1.0 -k "$K" --force
same "$(dkms status single)" "single/1.0, $K, $A: installed"
#: step symlinks 0
dkms uninstall single/1.0 -k "$K"
dkms install single/1.0 -k "$K" --symlink-modules
test -L "/lib/modules/$K/updates/dkms/single.ko"
test -e "/lib/modules/$K/updates/dkms/single.ko"
#: step symlink-gone 0
dkms remove single/1.0 --all
same "$(installed single)" ""
test ! -e "/lib/modules/$K/updates"
