# Every action that builds or installs does what --dry-run prints: the same steps and files, and nothing else.
#: image
#: kernel 6.12
#: step prepare 0 ours
cat >/usr/local/bin/happens <<'SH'
#!/bin/sh
exec python3 /e2e/happens.py "$@"
SH
chmod +x /usr/local/bin/happens
mkdir -p /etc/dkms/framework.conf.d
echo 'post_transaction="echo ran >>/root/transactions"' >/etc/dkms/framework.conf.d/transaction.conf
fixture single-1.0 ver-1.9 ver-1.10 scripts-1.0 exclwhole-1.0 failmake-1.0 needsfail-1.0
cp -r /e2e/fixtures/multi-1.0 /root/
#: step key-and-add 0 ours
happens 0 generate_mok
happens 0 generate_mok
happens 0 add single/1.0
happens 0 add /root/multi-1.0
happens 0 add scripts/1.0
#: step build 0 ours
happens 0 build single/1.0 -k "$K" -k "$K612"
happens 0 build single/1.0 -k "$K"
happens 0 build single/1.0 -k "$K" --force
happens 77 build exclwhole/1.0 -k "$K"
happens 13 build needsfail/1.0 -k "$K"
happens 21 build single/1.0 -k 5.4.0-none
#: step install 0 ours
happens 0 install single/1.0 -k "$K" -k "$K612"
happens 0 install single/1.0 -k "$K"
happens 0 install single/1.0 -k "$K" --force
happens 0 install ver/1.9 -k "$K"
happens 0 build ver/1.10 -k "$K"
happens 0 install ver/1.10 -k "$K"
happens 0 install multi/1.0 -k "$K"
happens 0 install scripts/1.0 -k "$K"
#: step install-of-what-the-kernel-has 0 ours
dkms uninstall single/1.0 -k "$K"
mkdir -p "/lib/modules/$K/extra"
cp "/var/lib/dkms/single/1.0/$K/$A/module/"single.ko* "/lib/modules/$K/extra/"
happens 0 install single/1.0 -k "$K"
happens 0 install single/1.0 -k "$K" --force
happens 0 uninstall single/1.0 -k "$K"
rm "/lib/modules/$K/extra/"single.ko*
dkms install single/1.0 -k "$K"
#: step install-of-a-directory 0 ours
cp -r /e2e/fixtures/dummy-9.0 /root/
happens 0 install /root/dummy-9.0 -k "$K612"
