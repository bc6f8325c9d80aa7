# Files from a lower layer of an overlay (an earlier step of a container image) are changed in an upper layer. Directories can
# be renamed with redirect_dir=on, and cannot with off, the default. Nothing that was rolled back is reported as done.
#: image
#: step prepare 0 ours
mkdir -p /run/o; mount -t tmpfs o /run/o
fixture single-1.0 dummy-9.0 ver-1.9
dkms install single/1.0 -k "$K"; dkms install dummy/9.0 -k "$K"; dkms build ver/1.9 -k "$K"
dkms mktarball single/1.0 -k "$K" --archive /run/o/single.dkms.tar.gz
cp -r /usr/src/single-1.0 /run/o/single
# An overlay may not lie over others of others: the lower layers are copies in memory, of the kernel's modules only a few.
mkdir -p "/run/o/low/_usr_lib_modules/$K/kernel/drivers/net"; cp -a /var/lib/dkms /run/o/low/_var_lib_dkms; cp -a /var/cache/dkms /run/o/low/_var_cache_dkms; cp -a /usr/src /run/o/low/_usr_src
cp -a "/usr/lib/modules/$K"/{build,updates,modules.*} "/run/o/low/_usr_lib_modules/$K/"
# The index there is of all modules of the kernel: fsck must not compare it with the few that are copied.
rm -r /run/o/low/_var_lib_dkms/.index
cat >/root/upper <<'S'
# bash upper REDIRECT: what is read from standard input runs in an upper layer over the three trees and the cache.
set -e
for d in /var/lib/dkms /var/cache/dkms /usr/src /usr/lib/modules; do
	n=$(echo $d | tr / _); rm -rf /run/o/$n; mkdir -p /run/o/$n/u /run/o/$n/w
	mount -t overlay -o "lowerdir=/run/o/low/$n,upperdir=/run/o/$n/u,workdir=/run/o/$n/w,redirect_dir=$1" o $d
done
trap 'cd /; umount /var/lib/dkms /var/cache/dkms /usr/src /usr/lib/modules' EXIT
. /e2e/prelude.sh
. /dev/stdin
S
cat >/root/both <<'S'
# bash both: standard input in upper layers of both kinds; nothing may be left of the way round.
cat >/run/script; echo 'if find /var/lib/dkms /usr/src /usr/lib/modules -name ".*lift*" -o -name ".tmp_*" | grep .; then exit 1; fi; dkms fsck' >>/run/script
for redirect in off on; do bash -e /root/upper $redirect </run/script >/run/o/out 2>&1 || { echo "$redirect: $?"; cat /run/o/out; exit 1; }; done
S
#: step uninstall-and-install 0 ours
bash /root/both <<'X'
dkms uninstall dummy/9.0 -k "$K"; same "$(installed dummy)" kernel/drivers/net/dummy.ko
dkms install dummy/9.0 -k "$K"; dkms install dummy/9.0 -k "$K" --force; dkms status dummy | grep -q ': installed'
X
#: step unbuild 0 ours
bash /root/both <<'X'
dkms unbuild single/1.0 -k "$K"; dkms unbuild ver/1.9 -k "$K"; dkms unbuild dummy/9.0 --all
same "$(installed single)" ''; same "$(dkms status | grep -c added)" 3
X
#: step rebuild 0 ours
bash /root/both <<'X'
dkms build single/1.0 -k "$K" --force; dkms build ver/1.9 -k "$K" --force; same "$(dkms status single)" "single/1.0, $K, $A: installed"
dkms install single/1.0 -k "$K" --force; dkms unbuild single/1.0 -k "$K"; dkms install single/1.0 -k "$K"
X
#: step remove 0 ours
bash /root/both <<'X'
dkms remove single/1.0 -k "$K"; dkms remove dummy/9.0 --all; dkms remove ver/1.9 --all; same "$(dkms status)" ''
same "$(ls -A /var/lib/dkms | grep -v '^\.\|mok')" ''
dkms add single/1.0; dkms install single/1.0 -k "$K"
X
#: step kernel-hooks 0 ours
bash /root/both <<'X'
dkms kernel_preinst -k "$K"; dkms autoinstall -k "$K"; dkms status single | grep -q ': installed'; dkms kernel_prerm -k "$K"; same "$(dkms status | grep -c added)" 3
X
#: step sources-and-archives 0 ours
bash /root/both <<'X'
dkms ldtarball /run/o/single.dkms.tar.gz --force
dkms uninstall single/1.0 -k "$K"; dkms add /run/o/single --force || true
dkms remove single/1.0 --all; dkms add /run/o/single; dkms build single/1.0 -k "$K"
echo '/* other */' >>/run/o/single/single.c; dkms remove single/1.0 --all; dkms add /run/o/single --force; grep -q other /usr/src/single-1.0/single.c
X
#: step cache 0 ours
bash /root/both <<'X'
dkms unbuild ver/1.9 -k "$K"; dkms build ver/1.9 -k "$K" | grep -q 'from the cache'
dkms build ver/1.9 -k "$K" --force; dkms unbuild ver/1.9 -k "$K"; dkms build ver/1.9 -k "$K" | grep -q 'from the cache'
dkms cache clear ver; dkms cache clear; same "$(dkms cache --json | tr -dc '[:alnum:]:,' | grep -o 'count:[0-9]*')" count:0
dkms unbuild ver/1.9 -k "$K"; dkms build ver/1.9 -k "$K"; dkms unbuild ver/1.9 -k "$K"; dkms build ver/1.9 -k "$K" | grep -q 'from the cache'
X
#: step failed-build 0 ours
bash /root/both <<'X'
before=$(cat "/var/lib/dkms/single/1.0/$K/$A/.manifest.json")
echo 'error here' >>/usr/src/single-1.0/single.c; code 10 dkms build single/1.0 -k "$K" --force
same "$(cat "/var/lib/dkms/single/1.0/$K/$A/.manifest.json")" "$before"; dkms status single | grep -q ': installed$'
echo POST_BUILD=no.sh >>/usr/src/ver-1.9/dkms.conf; printf '#!/bin/sh\nexit 3\n' >/usr/src/ver-1.9/no.sh; chmod +x /usr/src/ver-1.9/no.sh
code 3 dkms build ver/1.9 -k "$K" --force; dkms status ver | grep -q ': built$'
X
#: step rolled-back 0 ours
bash /root/both <<'X'
d=$(type -P depmod); mv "$d" /run/o/depmod; printf '#!/bin/sh\nexit 1\n' >"$d"; chmod +x "$d"
for c in "uninstall single/1.0 -k $K" "unbuild single/1.0 -k $K" "unbuild dummy/9.0 --all" "remove dummy/9.0 --all" "remove single/1.0 -k $K"; do
	code 6 dkms $c >/run/o/said
	code 1 grep -i 'removed\|deleted\|restored\|uninstalled' /run/o/said
done
mv /run/o/depmod "$d"
same "$(dkms status | grep -c ': installed')" 2; same "$(installed dummy)" updates/dkms/dummy.ko
X
#: step reported-when-final 0 ours
bash /root/both <<'X'
dkms unbuild single/1.0 -k "$K" >/run/o/said; grep -q '^Removed .*single.ko' /run/o/said; grep -q '^Deleted what was built' /run/o/said
X
#: step killed-on-the-way 0 ours
# At several moments; the next command brings everything back or to its end.
bash /root/both <<'X'
for ms in 002 005 010 015 020 030 050; do
	timeout -s KILL 0.$ms dkms remove dummy/9.0 --all >/dev/null 2>&1 || true
	timeout -s KILL 0.$ms dkms unbuild ver/1.9 -k "$K" >/dev/null 2>&1 || true
	sleep .2; dkms autoinstall -k "$K" >/dev/null 2>&1
	dkms fsck >/run/o/fsck || { cat /run/o/fsck; exit 1; }
	dkms install dummy/9.0 -k "$K"; dkms build ver/1.9 -k "$K"
done
X
