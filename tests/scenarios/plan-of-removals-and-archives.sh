# Every action that removes, packs, loads or re-signs does what --dry-run prints; so do the hooks of kernels.
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
fixture single-1.0 ver-1.9 multi-1.0
dkms install single/1.0 -k "$K" -k "$K612"
dkms install multi/1.0 -k "$K"
dkms add ver/1.9
#: step tarballs-and-packages 0 ours
happens 0 mktarball single/1.0 -k "$K"
happens 0 mktarball single/1.0 --all --archive /root/all.tar.gz
happens 0 mktarball ver/1.9 --source-only --archive /root/ver.tar.gz
happens 0 mkdeb single/1.0 -k "$K"
happens 0 mkdsc single/1.0
happens 0 mkbmdeb single/1.0 -k "$K" -k "$K612"
#: step removal 0 ours
happens 0 uninstall single/1.0 -k "$K"
happens 0 uninstall single/1.0 -k "$K"
happens 0 unbuild single/1.0 -k "$K612"
happens 0 remove single/1.0 -k "$K"
happens 0 remove multi/1.0 --all
happens 0 remove ver/1.9 -k "$K612"
happens 0 ldtarball /root/all.tar.gz
happens 0 remove single/1.0 --all
happens 0 install /root/all.tar.gz -k "$K"
#: step hooks 0 ours
happens 0 kernel_preinst -k "$K"
happens 0 kernel_postinst -k "$K"
happens 0 kernel_prerm -k "$K612"
happens 0 kernel_prerm -k "$K612"
#: step rotate 0 ours
happens 0 mok rotate --force -k "$K"
