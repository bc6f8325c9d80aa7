# autoinstall, match and rebuilding dependents do what --dry-run prints.
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
fixture single-1.0 depa-1.0 depb-1.0 exclwhole-1.0 unknowndep-1.0
#: step autoinstall 0 ours
for m in single depa depb exclwhole unknowndep; do dkms add $m/1.0; done
happens 0 autoinstall -k "$K"
happens 0 autoinstall -k "$K"
happens 0 match --templatekernel "$K" -k "$K612"
happens 0 match --templatekernel "$K" -k "$K612"
happens 0 match --templatekernel 5.4.0-none -k "$K612"
touch /etc/dkms/no-autoinstall
happens 0 autoinstall -k "$K612"
rm /etc/dkms/no-autoinstall
#: step rebuild-of-dependents 0 ours
fixture depc-1.0 depa-2.0
dkms install depc/1.0 -k "$K"
happens 0 install depa/2.0 -k "$K"
