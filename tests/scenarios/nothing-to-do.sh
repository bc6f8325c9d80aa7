# A command with nothing to do needs no writable tree, no headers, no depmod and no lock. Errors name their first cause.
#: image
#: kernel 6.12
#: step prepare 0
fixture single-1.0 ver-1.9
dkms install single/1.0 -k "$K"
dkms build ver/1.9 -k "$K"
dkms build ver/1.9 -k "$K612"
sed -i s/AUTOINSTALL=.*/AUTOINSTALL=no/ /usr/src/ver-1.9/dkms.conf
grep -q 'AUTOINSTALL=no' /usr/src/ver-1.9/dkms.conf || echo AUTOINSTALL=no >>/usr/src/ver-1.9/dkms.conf
cat >/root/idle <<'S'
# Everything that has nothing to do.
set -e
run() { "$@" >/run/out 2>&1 || { echo "$?: $*"; cat /run/out; exit 1; }; }
for a in autoinstall kernel_postinst; do run dkms $a -k "$K"; done
run dkms install single/1.0 -k "$K"
run dkms build single/1.0 -k "$K"
run dkms build ver/1.9 -k "$K" -k "$K612"
run dkms uninstall ver/1.9 -k "$K"
run dkms uninstall single/1.0 -k 6.99.0-none
run dkms unbuild single/1.0 -k 6.99.0-none
run dkms remove ver/1.9 -k 6.99.0-none
run dkms kernel_prerm -k 6.99.0-none
run dkms kernel_preinst -k "$K612"
run dkms match --templatekernel "$K612" -k "$K"
run dkms fsck --repair single/1.0
S
#: step read-only-tree 0 ours
mount --bind /var/lib/dkms /var/lib/dkms; mount -o remount,ro,bind /var/lib/dkms
bash /root/idle
umount /var/lib/dkms
#: step read-only-everything 0 ours
for d in /var/lib/dkms /usr/src /lib/modules; do mount --bind "$(realpath $d)" "$(realpath $d)"; mount -o remount,ro,bind "$(realpath $d)"; done
bash /root/idle
for d in /var/lib/dkms /usr/src /lib/modules; do umount "$(realpath $d)"; done
#: step without-depmod-and-compiler 0 ours
for p in depmod gcc make; do type -P $p >"/run/$p.place"; mv "$(type -P $p)" "/run/$p.away"; done
bash /root/idle
for p in depmod gcc make; do mv "/run/$p.away" "$(cat "/run/$p.place")"; done
#: step without-headers 0 ours
mv "/lib/modules/$K/build" /run/b1; mv "/lib/modules/$K612/build" /run/b2
bash /root/idle
mv /run/b1 "/lib/modules/$K/build"; mv /run/b2 "/lib/modules/$K612/build"
#: step while-others-hold-the-locks 0 ours
mkdir -p /var/lib/dkms/.lock
cd /var/lib/dkms/.lock || exit 1
for l in "install-$K-$A" "install-$K612-$A" "install-6.99.0-none-$A" build-single-1.0 build-ver-1.9 signing-key; do
	( flock -x 9; exec sleep 60 ) 9>>"$l" & echo $! >>/run/holders
done
sleep .3
timeout 50 bash /root/idle
xargs kill </run/holders
#: step read-only-tree-and-work 1 ours
mount --bind /var/lib/dkms /var/lib/dkms; mount -o remount,ro,bind /var/lib/dkms
code 1 dkms uninstall single/1.0 -k "$K" 2>/run/err1 >&2
code 1 dkms install ver/1.9 -k "$K" 2>/run/err2 >&2
code 1 dkms unbuild ver/1.9 -k "$K" 2>/run/err3 >&2
code 1 dkms kernel_prerm -k "$K" 2>/run/err4 >&2
sed -i s/AUTOINSTALL=no/AUTOINSTALL=yes/ /usr/src/ver-1.9/dkms.conf
code 1 dkms autoinstall -k "$K" 2>/run/err5 >&2
for e in /run/err?; do grep -q 'Read-only file system' "$e"; code 1 grep -q 'root' "$e"; same "$(grep -c error "$e")" 1; done
umount /var/lib/dkms
exit 1
#: step excluded-on-a-read-only-tree 0 ours
umount /var/lib/dkms 2>/dev/null || true
echo 'BUILD_EXCLUSIVE_ARCH=none' >>/usr/src/ver-1.9/dkms.conf
dkms unbuild ver/1.9 -k "$K"
mount --bind /var/lib/dkms /var/lib/dkms; mount -o remount,ro,bind /var/lib/dkms
dkms autoinstall -k "$K"
code 77 dkms build ver/1.9 -k "$K"
umount /var/lib/dkms
sed -i '/BUILD_EXCLUSIVE_ARCH/d' /usr/src/ver-1.9/dkms.conf
#: step the-first-cause 0 ours
ro() { local d; d=$(realpath "$1"); mount --bind "$d" "$d"; mount -o remount,ro,bind "$d"; }
cp -r /e2e/fixtures/multi-1.0 /root/multi
ro /usr/src; code 1 dkms add /root/multi 2>/run/err >&2
grep -q '/usr/src: Read-only file system' /run/err; code 1 grep -q '/\.' /run/err; umount /usr/src
ro /lib/modules
code 1 dkms uninstall single/1.0 -k "$K" 2>/run/err >&2
grep -q "/single.ko.*Read-only" /run/err; code 1 grep -q 'remove .*/\.' /run/err
code 6 dkms install /root/multi -k "$K" 2>/run/err >&2
grep -q 'Read-only' /run/err; code 1 grep -q '/\.' /run/err
umount "$(realpath /lib/modules)"
same "$(dkms status single)" "single/1.0, $K, $A: installed"
same "$(dkms status -m multi)" "multi/1.0, $K, $A: built"
