# fsck: the leftovers of interrupted commands and changes made by hand, and their repair.
#: kernel 6.12
#: step no-tree 2 ours
rm -rf /var/lib/dkms
dkms fsck
#: step empty 0 ours
mkdir -p /var/lib/dkms
dkms fsck | grep -q '^The tree is clean: 0 module versions, 0 builds'
#: step clean 0 ours
fixture single-1.0 multi-1.0 ver-1.9 ver-1.10 failmake-1.0
dkms install single/1.0 -k "$K"; dkms build single/1.0 -k "$K612"
dkms install multi/1.0 -k "$K"
dkms install ver/1.9 -k "$K"; dkms install ver/1.10 -k "$K"
code 10 dkms build failmake/1.0 -k "$K"
dkms fsck | grep -qx 'The tree is clean: 5 module versions, 5 builds checked'
same "$(dkms fsck --quiet | wc -l)" 0
#: step writes-nothing 0 ours
state() { find /var/lib/dkms /lib/modules ! -path '*/build/*' -printf '%p %y %s %T@ %C@ %l\n' | sort; }
rm -f /var/lib/dkms/.lock/*
touch "/lib/modules/$K/updates/dkms/.single.ko.dkms-new"
mkdir -p "/var/lib/dkms/single/1.0/$K612/.tmp_${A}_0123456789abcdef"
before=$(state)
code 1 dkms fsck >/dev/null
same "$(state)" "$before"
#: step as-an-ordinary-user 1 ours
# Only the owner can read the directory of an unfinished build; that it exists can be seen by all.
setpriv --reuid=65534 --regid=65534 --clear-groups dkms fsck
#: step ordinary-user-may-not-repair 1 ours
setpriv --reuid=65534 --regid=65534 --clear-groups dkms fsck --repair
#: step a-package-that-cannot-be-read 0 ours
chmod 700 /var/lib/dkms/multi
setpriv --reuid=65534 --regid=65534 --clear-groups dkms status >/run/out 2>/run/err
grep -q '^single/1.0' /run/out
grep -q 'warning: /var/lib/dkms/multi cannot be read' /run/err
chmod 755 /var/lib/dkms/multi
same "$(dkms status 2>&1 >/dev/null)" ''
#: step leftovers-go 0 ours
dkms fsck --repair
test ! -e "/lib/modules/$K/updates/dkms/.single.ko.dkms-new"
test ! -e "/var/lib/dkms/single/1.0/$K612/.tmp_${A}_0123456789abcdef"
dkms fsck
#: step all-or-not-at-all 5 ours
dkms fsck --all
#: step repair-is-for-fsck 2 ours
dkms install single/1.0 -k "$K" --repair
#: step not-there 2 ours
dkms fsck nothing/1.0
#: step json 0 ours
rm "/lib/modules/$K/updates/dkms/alpha.ko"
code 1 dkms fsck --json multi >/run/found.json
python3 - /run/found.json <<'P' || exit 96
import json, sys
d = json.load(open(sys.argv[1]))
assert d["schema"] == 1 and d["repaired"] == 0 and d["unreadable"] == [] and d["packages"] == 1
[f] = d["findings"]
assert (f["kind"], f["package"], f["version"], f["safe"]) == ("installed-missing", "multi", "1.0", True), f
assert f["path"].endswith("/updates/dkms/alpha.ko") and f["what"] and f["repair"] and not f["repaired"]
P
#: step filters 0 ours
dkms fsck single/1.0
dkms fsck -k "$K612"
code 1 dkms fsck -k "$K" >/dev/null
#: step missing-files-are-installed-again 0 ours
dkms fsck --repair multi
same "$(installed alpha)" "updates/dkms/alpha.ko"
grep -q '/alpha.ko:' "/lib/modules/$K/modules.dep" || test ! -e "/lib/modules/$K/modules.dep"
dkms status multi | grep -qx "multi/1.0, $K, $A: installed"
#: step changed-files-stay 1 ours
echo changed >>"/lib/modules/$K/updates/dkms/alpha.ko"
rm "/lib/modules/$K/updates/dkms/beta_renamed.ko"
dkms fsck --repair
#: step changed-files-stayed 0 ours
tail -n1 "/lib/modules/$K/updates/dkms/alpha.ko" | grep -qx changed
same "$(installed beta_renamed)" ""
dkms install --force multi/1.0 -k "$K"
dkms fsck
#: step link-lost 0 ours
rm "/var/lib/dkms/ver/kernel-$K-$A"
dkms fsck --repair
dkms status ver/1.10 | grep -qx "ver/1.10, $K, $A: installed"
#: step version-deleted-by-hand 0 ours
rm -rf /var/lib/dkms/ver/1.10
code 1 dkms fsck
dkms fsck --repair
same "$(dkms status ver)" "ver/1.9, $K, $A: built"
rm -f "/lib/modules/$K/updates/dkms/ver.ko"
dkms fsck
#: step kernel-removed-by-hand 0 ours
mv "/lib/modules/$K612" /root/k612
code 1 dkms fsck
dkms fsck --repair
same "$(dkms status single)" "single/1.0, $K, $A: installed"
test ! -e "/lib/modules/$K612"
mv /root/k612 "/lib/modules/$K612"
dkms fsck
#: step source-gone-and-back 0 ours
mv /usr/src/single-1.0 /root/away
code 1 dkms fsck --repair
mv /root/away /usr/src/single-1.0
rm /var/lib/dkms/single/1.0/source
dkms fsck --repair
dkms status single | grep -q ': installed'
#: step a-build-that-was-killed 0 ours
fixture scripts-1.0
dkms add scripts/1.0
printf 'MAKE[0]="sleep 60"\n' >>/usr/src/scripts-1.0/dkms.conf
dkms build scripts/1.0 -k "$K" & build=$!
for _ in $(seq 100); do test -e /var/lib/dkms/scripts/1.0/build/make.log && break; sleep 0.1; done
# It is at work: nothing to find.
dkms fsck
dkms fsck --repair
test -e /var/lib/dkms/scripts/1.0/build/make.log
kill -KILL "$build"; wait "$build" || true
# Until its processes have ended, it seems to be running.
for _ in $(seq 200); do pgrep -x dkms-supervisor >/dev/null || break; sleep 0.05; done
code 1 dkms fsck
dkms fsck --repair
test ! -e /var/lib/dkms/scripts/1.0/build
#: step killed-while-its-children-still-run 0 ours
dkms uninstall single/1.0 -k "$K"
echo depmod=program >>/etc/dkms/framework.conf
touch "/lib/modules/$K/modules.dep"
depmod=$(command -v depmod)
mv "$depmod" /root/depmod
printf '#!/bin/bash\ntouch /root/in-depmod; sleep 60\n' >"$depmod"
chmod +x "$depmod"
dkms install single/1.0 -k "$K" & install=$!
for _ in $(seq 200); do test -e /root/in-depmod && break; sleep 0.1; done
kill -KILL "$install"; wait "$install" || true
for _ in $(seq 200); do pgrep -x dkms-supervisor >/dev/null || break; sleep 0.05; done
# As on a busy machine, where a child of the killed one ends a second later: it holds the lock.
flock "/var/lib/dkms/.lock/install-$K-$A" -c 'touch /root/has-lock; sleep 1' &
for _ in $(seq 200); do test -e /root/has-lock && break; sleep 0.01; done
mv -f /root/depmod "$depmod"
dkms generate_mok 2>&1 | grep -q 'was rolled back'
dkms status single | grep -qx "single/1.0, $K, $A: built"
same "$(installed single)" ""
#: step originals-that-cannot-be-read 0 ours
dkms install single/1.0 -k "$K"
mkdir -p "/var/lib/dkms/single/original_module/$K"
touch "/var/lib/dkms/single/original_module/$K/$A"
code 1 dkms uninstall single/1.0 -k "$K"
same "$(installed single)" "updates/dkms/single.ko"
rm "/var/lib/dkms/single/original_module/$K/$A"
dkms uninstall single/1.0 -k "$K"
same "$(installed single)" ""
