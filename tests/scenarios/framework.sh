# framework.conf: the administrator's settings are used, or refused with a reason.
#: image
#: step prepare 0
fixture single-1.0
mkdir -p /etc/dkms/framework.conf.d /root/k
openssl req -new -x509 -nodes -days 9 -subj /CN=own -newkey rsa:2048 -keyout /root/k/plain.key -outform DER -out /root/k/own.der 2>/dev/null
openssl rsa -aes256 -passout pass:sesame -in /root/k/plain.key -out /root/k/locked.key 2>/dev/null
openssl ecparam -name prime256v1 -genkey -noout -out /root/k/ec.key
openssl req -new -x509 -days 9 -subj /CN=ec -key /root/k/ec.key -outform DER -out /root/k/ec.der 2>/dev/null
cat >/root/k/helper <<H
#!/bin/bash
printf '%s\n' "\$@" >>/run/signed
exec env KBUILD_SIGN_PIN=sesame "\$(ls -d /usr/lib/linux-kbuild-*/scripts/sign-file | head -1)" "\$@"
H
chmod +x /root/k/helper
cat >/root/use <<'U'
printf 'try_sign_modules=true\nmok_signing_key="/root/k/%s"\nmok_certificate="/root/k/%s"\nsign_file="%s"\n' "$1" "$2" "$3" >/etc/dkms/framework.conf.d/own.conf
U
#: step own-sign-file 0 ours
for pair in "plain.key own.der" "locked.key own.der" "ec.key ec.der"; do
	rm -f /run/signed
	# shellcheck disable=SC2086
	bash /root/use $pair /root/k/helper
	dkms build single/1.0 -k "$K" --force
	same "$(sed -n 2,3p /run/signed | tr '\n' ' ')" "/root/k/${pair% *} /root/k/${pair#* } "
done
#: step also-with-a-key-of-the-command-line 0 ours
rm -f /run/signed; bash /root/use plain.key own.der /root/k/helper
dkms build single/1.0 -k "$K" --force --mok-signing-key /root/k/plain.key --mok-certificate /root/k/own.der
test -s /run/signed
#: step sign-file-per-kernel 0 ours
# shellcheck disable=SC2016
bash /root/use plain.key own.der '/root/k/$kernelver'
sed -i "s/sign_file=\"\(.*\)\"/sign_file='\1'/" /etc/dkms/framework.conf.d/own.conf
ln -s helper "/root/k/$K"; rm -f /run/signed
dkms build single/1.0 -k "$K" --force
test -s /run/signed
#: step sign-file-is-not-there 10 ours
bash /root/use plain.key own.der /root/k/none
dkms build single/1.0 -k "$K" --force
#: step sign-file-fails 10 ours
printf '#!/bin/sh\necho sorry >&2; exit 3\n' >/root/k/bad; chmod +x /root/k/bad; bash /root/use plain.key own.der /root/k/bad
dkms build single/1.0 -k "$K" --force
#: step sign-file-signs-nothing 10 ours
bash /root/use plain.key own.der /bin/true
dkms build single/1.0 -k "$K" --force
#: step sign-file-is-relative 10 ours
bash /root/use plain.key own.der helper
dkms build single/1.0 -k "$K" --force
#: step sign-file-is-not-executable 10 ours
cp /root/k/helper /root/k/text; chmod -x /root/k/text; bash /root/use plain.key own.der /root/k/text
dkms build single/1.0 -k "$K" --force
#: step key-directory-is-missing 10 ours
bash /root/use gone/a.key own.der ''
dkms build single/1.0 -k "$K" --force 2>/run/err
#: step no-key-was-made 0 ours
grep -q '/root/k/gone' /run/err
test ! -e /root/k/gone
#: step certificate-directory-is-missing 10 ours
bash /root/use new.key gone/new.der ''
code 10 dkms generate_mok
test ! -e /root/k/new.key; test ! -e /root/k/gone
dkms build single/1.0 -k "$K" --force
#: step key-is-made-in-a-directory-that-is-there 0 ours
bash /root/use new.key new.der ''
dkms build single/1.0 -k "$K" --force
test -s /root/k/new.key -a -s /root/k/new.der
#: step unknown-settings 0 ours
printf 'sing_file=/bin/false\nPARALLEL_JOBS=1\ncolour=blue\nkeys=/root/k\nmok_signing_key=$keys/plain.key\nmok_certificate=$keys/own.der\n' >/etc/dkms/framework.conf.d/own.conf
dkms build single/1.0 -k "$K" --force 2>/run/err
same "$(grep -c warning /run/err)" 3
grep -q 'own.conf:1: sing_file is not a setting .* sign_file?' /run/err
grep -q 'own.conf:2: PARALLEL_JOBS is not .* parallel_jobs?' /run/err
grep -q 'own.conf:3: colour is not a setting of dkms and has no effect$' /run/err
dkms status 2>/run/err; test ! -s /run/err
#: step continue-on-error-is-known 0 ours
printf 'continue_on_error=false\ntry_sign_modules=false\n' >/etc/dkms/framework.conf.d/own.conf
dkms build single/1.0 -k "$K" --force 2>/run/err
code 1 grep warning /run/err
