# Signing: the key that dkms generates, the administrator's own key, and errors.
#: step signs-by-itself 0
fixture single-1.0
dkms install single/1.0 -k "$K"
file=/lib/modules/$K/updates/dkms/single.ko
same "$(modinfo -F sig_hashalgo "$file")" sha256
test -n "$(modinfo -F signer "$file")"
#: step the-key 0
openssl x509 -inform DER -in /var/lib/dkms/mok.pub -noout -text >/run/cert
grep -q 'Code Signing' /run/cert
grep -q 'Public-Key: (2048 bit)' /run/cert
same "$(stat -c %a /var/lib/dkms/mok.key)" 600
#: step key-is-not-replaced 0
before=$(sha256sum </var/lib/dkms/mok.key)
dkms build single/1.0 -k "$K" --force
same "$(sha256sum </var/lib/dkms/mok.key)" "$before"
#: step generate-mok 0 ours
rm -f /var/lib/dkms/mok.*
dkms generate_mok
test -s /var/lib/dkms/mok.key -a -s /var/lib/dkms/mok.pub
#: step own-key 0 ours
mkdir -p /etc/dkms/framework.conf.d /root/keys
openssl req -x509 -newkey rsa:2048 -nodes -subj '/CN=My own key/' -keyout /root/keys/k.pem -outform DER -out /root/keys/c.der 2>/dev/null
printf 'mok_signing_key=/root/keys/k.pem\nmok_certificate=/root/keys/c.der\n' >/etc/dkms/framework.conf.d/own.conf
dkms build single/1.0 -k "$K" --force
dkms install single/1.0 -k "$K" --force
same "$(modinfo -F signer "/lib/modules/$K/updates/dkms/single.ko")" "My own key"
#: step missing-half-of-a-pair 0 ours
rm /root/keys/c.der
! dkms build single/1.0 -k "$K" --force
#: step switched-off 0 ours
echo 'try_sign_modules=false' >>/etc/dkms/framework.conf.d/own.conf
dkms build single/1.0 -k "$K" --force
same "$(modinfo -F signer "/var/lib/dkms/single/1.0/$K/$A/module/single.ko")" ""
