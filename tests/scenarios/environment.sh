# Environments that have broken dkms: other trees, a full disk, a closed temporary directory, unusual variables.
#: step own-trees 0
mkdir -p /root/t/dkms /root/t/src /root/t/lib
cp -r /e2e/fixtures/single-1.0 /root/t/src/
mkdir -p "/root/t/lib/$K"
ln -s "/usr/src/linux-headers-$K" "/root/t/lib/$K/build"
dkms install single/1.0 -k "$K" --dkmstree /root/t/dkms --sourcetree /root/t/src --installtree /root/t/lib
test -n "$(find "/root/t/lib/$K/updates" -name 'single.ko*')"
#: step own-trees-only 0
same "$(ls -A /var/lib/dkms | grep -v '^mok' || true)$(installed single)" ""
#: step depmod-not-for-a-folder-without-modules-dep 0
test ! -e "/root/t/lib/$K/modules.dep"
#: step caller-s-compiler-flags 0
fixture single-1.0
export CFLAGS=-Dbroken CC=false LDFLAGS=-nope
dkms build single/1.0 -k "$K"
#: step no-tmpdir -
dkms unbuild single/1.0 -k "$K"
TMPDIR=/nowhere dkms build single/1.0 -k "$K"
#: step without-dev-fd 0
dkms unbuild single/1.0 -k "$K" >/dev/null || true
unshare -m bash -c 'mkdir -p /root/dev; umount -l /dev/shm 2>/dev/null; mount -t tmpfs dev /root/dev; for n in null zero full tty random urandom; do cp -a /dev/$n /root/dev/; done; mount --move /root/dev /dev; dkms build single/1.0 -k "$1"' - "$K"
#: step not-root 1
su -s /bin/bash nobody -c "dkms install single/1.0 -k $K"
#: step not-root-add 1
su -s /bin/bash nobody -c 'dkms add ver/1.9'
#: step not-root-status 0
su -s /bin/bash nobody -c 'dkms status' | grep -q '^single/1.0'
#: step full-disk -
mkdir -p /root/small && mount -t tmpfs -o size=64k small /root/small
dkms build single/1.0 -k "$K" --dkmstree /root/small
#: step full-disk-half-nothing 0 ours
same "$(dkms status --dkmstree /root/small | grep -c -E ': (built|installed)' || true)" 0
#: step two-at-once 0
umount /root/small
fixture ver-1.9 ver-1.10
dkms add ver/1.9; dkms add ver/1.10; dkms unbuild single/1.0 -k "$K" || true
dkms build ver/1.9 -k "$K" & one=$!
dkms build ver/1.10 -k "$K" & two=$!
dkms build single/1.0 -k "$K" & three=$!
wait $one; wait $two; wait $three
#: step two-at-once-of-one-package 0 ours
dkms unbuild single/1.0 -k "$K"
dkms build single/1.0 -k "$K" & one=$!
dkms build single/1.0 -k "$K" & two=$!
wait $one; wait $two
same "$(dkms status single)" "single/1.0, $K, $A: built"
#: step post-transaction-once 0 ours
mkdir -p /etc/dkms/framework.conf.d
echo 'post_transaction="echo ran >>/run/transaction"' >/etc/dkms/framework.conf.d/t.conf
dkms install single/1.0 -k "$K"; dkms status >/dev/null
same "$(wc -l </run/transaction)" 1
#: step kernel-removed-and-back 0
rm -f /etc/dkms/framework.conf.d/t.conf
dkms install single/1.0 -k "$K"
rm -rf "/lib/modules/$K/updates"
dkms status single | grep -q 'installed'
dkms install single/1.0 -k "$K" --force
same "$(installed single)" "updates/dkms/single.ko"
#: step kernel-folder-gone 0
mv "/lib/modules/$K" /root/saved
dkms remove single/1.0 --all
mv /root/saved "/lib/modules/$K"
same "$(dkms status single)" ""
test ! -e "/lib/modules/$K.dkms"
#: step caller-s-make-flags 0 ours
fixture single-1.0
export MAKEFLAGS=-n sub_make_done=1
dkms build single/1.0 -k "$K"
