# All kinds of keys: encrypted, elliptic curve, in one file, one for each kernel; and who can read them.
#: step an-encrypted-key-without-its-pass-phrase 10 ours
mkdir -p /root/keys /etc/dkms/framework.conf.d /run/credentials
cat >/root/keys/verify <<'PYTHON'
#!/usr/bin/python3
# verify MODULE CERTIFICATE: openssl finds the signature behind the module good and made with that key.
import subprocess, sys
data = open(sys.argv[1], 'rb').read()
magic = b'~Module signature appended~\n'
assert data.endswith(magic), 'not signed'
info = data[:-len(magic)][-12:]
assert info[:8] == bytes([0, 0, 2, 0, 0, 0, 0, 0]), info
end = len(data) - len(magic) - 12
start = end - int.from_bytes(info[8:], 'big')
open('/run/content', 'wb').write(data[:start])
open('/run/message', 'wb').write(data[start:end])
subprocess.run(['openssl', 'cms', '-verify', '-binary', '-noverify', '-inform', 'DER', '-in', '/run/message', '-content',
                '/run/content', '-certfile', sys.argv[2], '-nointern', '-out', '/dev/null'], check=True)
PYTHON
chmod +x /root/keys/verify
openssl req -x509 -newkey rsa:2048 -passout pass:secret -subj '/CN=Encrypted/' -keyout /root/keys/p8.pem -out /root/keys/p8.crt 2>/dev/null
grep -q 'BEGIN ENCRYPTED PRIVATE KEY' /root/keys/p8.pem
openssl rsa -in /root/keys/p8.pem -passin pass:secret -aes128 -passout pass:secret -traditional -out /root/keys/p1.pem 2>/dev/null
grep -q 'Proc-Type: 4,ENCRYPTED' /root/keys/p1.pem
printf 'mok_signing_key=/root/keys/p8.pem\nmok_certificate=/root/keys/p8.crt\n' >/etc/dkms/framework.conf.d/own.conf
fixture single-1.0
dkms build single/1.0 -k "$K"
#: step pass-phrase-in-the-variable 0 ours
KBUILD_SIGN_PIN=secret dkms build single/1.0 -k "$K"
/root/keys/verify "/var/lib/dkms/single/1.0/$K/$A/module/single.ko" /root/keys/p8.crt
grep -o '"signature":"[^"]*"' "/var/lib/dkms/single/1.0/$K/$A/.manifest.json" | tee /run/said
grep -q 'signed by Encrypted with .*sign-file: an encrypted key needs it' /run/said
#: step a-wrong-pass-phrase 10 ours
KBUILD_SIGN_PIN=wrong dkms build single/1.0 -k "$K" --force
#: step pass-phrase-as-a-credential 0 ours
sed -i s/p8.pem/p1.pem/ /etc/dkms/framework.conf.d/own.conf
echo secret >/run/credentials/dkms.signing-pin
CREDENTIALS_DIRECTORY=/run/credentials KBUILD_SIGN_PIN=wrong dkms build single/1.0 -k "$K" --force --debug >/run/out 2>&1
/root/keys/verify "/var/lib/dkms/single/1.0/$K/$A/module/single.ko" /root/keys/p8.crt
code 1 grep -r -e secret /run/out /var/lib/dkms --include '*.log' --include '.manifest.json' --include out
#: step pass-phrase-on-the-terminal 0 ours
cat >/run/type.py <<'PYTHON'
# Types a line when asked, and shows all that the terminal showed.
import os, pty, sys
typed = sys.argv[1].encode() + b'\n'
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
seen, questions = b'', 0
while True:
    try:
        chunk = os.read(fd, 4096)
    except OSError:
        break
    if not chunk:
        break
    seen += chunk
    if seen.count(b'Pass phrase of') > questions:
        questions += 1
        os.write(fd, typed)
sys.stdout.buffer.write(seen)
print('QUESTIONS', questions)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PYTHON
python3 /run/type.py secret dkms build single/1.0 -k "$K" --force >/run/out
grep -q '^QUESTIONS 1' /run/out
code 1 grep secret /run/out
/root/keys/verify "/var/lib/dkms/single/1.0/$K/$A/module/single.ko" /root/keys/p8.crt
#: step no-question-without-a-build 0 ours
python3 /run/type.py secret dkms install single/1.0 -k "$K" >/run/out
grep -q '^QUESTIONS 0' /run/out
#: step an-elliptic-curve-key 0 ours
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=Curve/' -keyout /root/keys/ec.pem -out /root/keys/ec.crt 2>/dev/null
printf 'mok_signing_key=/root/keys/ec.pem\nmok_certificate=/root/keys/ec.crt\n' >/etc/dkms/framework.conf.d/own.conf
dkms build single/1.0 -k "$K" --force
/root/keys/verify "/var/lib/dkms/single/1.0/$K/$A/module/single.ko" /root/keys/ec.crt
same "$(modinfo -F signer "/var/lib/dkms/single/1.0/$K/$A/module/single.ko")" Curve
#: step an-ed25519-key - ours
openssl req -x509 -newkey ed25519 -nodes -subj '/CN=Edwards/' -keyout /root/keys/ed.pem -out /root/keys/ed.crt 2>/dev/null
printf 'mok_signing_key=/root/keys/ed.pem\nmok_certificate=/root/keys/ed.crt\n' >/etc/dkms/framework.conf.d/own.conf
dkms build single/1.0 -k "$K" --force
#: step another-certificate-than-the-curve-s 10 ours
sed -i s/ed/ec/ /etc/dkms/framework.conf.d/own.conf
printf 'mok_signing_key=/root/keys/ec.pem\nmok_certificate=/root/keys/p8.crt\n' >/etc/dkms/framework.conf.d/own.conf
dkms build single/1.0 -k "$K" --force
#: step one-file-for-both 0 ours
openssl req -x509 -newkey rsa:3072 -nodes -subj '/CN=Both/' -keyout /root/keys/k -out /root/keys/c 2>/dev/null
cat /root/keys/k /root/keys/c >/root/keys/both.pem
printf 'mok_signing_key=/root/keys/both.pem\nmok_certificate=/root/keys/both.pem\n' >/etc/dkms/framework.conf.d/own.conf
dkms build single/1.0 -k "$K" --force
/root/keys/verify "/var/lib/dkms/single/1.0/$K/$A/module/single.ko" /root/keys/c
#: step a-key-for-each-kernel 0 ours
mkdir -p "/root/keys/$K"
mv /root/keys/both.pem "/root/keys/$K/"
printf '%s\n' 'mok_signing_key="/root/keys/$kernelver/both.pem"' 'mok_certificate="/root/keys/${kernelver}/both.pem"' >/etc/dkms/framework.conf.d/own.conf
dkms build single/1.0 -k "$K" --force
/root/keys/verify "/var/lib/dkms/single/1.0/$K/$A/module/single.ko" /root/keys/c
#: step a-token-goes-through-sign-file 0 ours
# A sign-file that writes down what it was given, and signs with a file in the token's place.
cat >/root/keys/sign-file <<'SCRIPT'
#!/bin/bash
printf '%s\n' "$*" >/run/arguments
echo "$KBUILD_SIGN_PIN" >/run/pin
exec /usr/lib/linux-kbuild-6.1/scripts/sign-file "$1" /root/keys/k "$3" "$4"
SCRIPT
chmod +x /root/keys/sign-file
printf '%s\n' 'mok_signing_key="pkcs11:token=dkms;object=signer"' mok_certificate=/root/keys/c sign_file=/root/keys/sign-file >/etc/dkms/framework.conf.d/own.conf
echo 1234 >/run/credentials/dkms.signing-pin
CREDENTIALS_DIRECTORY=/run/credentials dkms build single/1.0 -k "$K" --force
grep -qx 'sha256 pkcs11:token=dkms;object=signer /root/keys/c .*/single.ko' /run/arguments
same "$(cat /run/pin)" 1234
/root/keys/verify "/var/lib/dkms/single/1.0/$K/$A/module/single.ko" /root/keys/c
#: step a-token-s-pin-is-asked-for 0 ours
sed 's/Pass phrase of/PIN of/' /run/type.py >/run/type-pin.py
python3 /run/type-pin.py 5678 dkms build single/1.0 -k "$K" --force >/run/out
grep -q '^QUESTIONS 1' /run/out
same "$(cat /run/pin)" 5678
#: step a-sign-file-that-signs-nothing 10 ours
printf '#!/bin/sh\nexit 0\n' >/root/keys/sign-file
KBUILD_SIGN_PIN=1 dkms build single/1.0 -k "$K" --force
#: step a-second-signer 0 ours
printf '%s\n' mok_signing_key=/root/keys/k.pem mok_certificate=/root/keys/c 'mok_signing_key_2="/root/keys/$kernelver/both.pem"' >/etc/dkms/framework.conf.d/own.conf
openssl req -x509 -newkey rsa:2048 -nodes -keyout /root/keys/k.pem -outform DER -out /root/keys/c -subj "/CN=Old key" 2>/dev/null
code 10 dkms build single/1.0 -k "$K" --force >/run/out 2>&1
grep -q 'mok_signing_key_2 and mok_certificate_2 belong together' /run/out
echo 'mok_certificate_2="/root/keys/$kernelver/both.pem"' >>/etc/dkms/framework.conf.d/own.conf
dkms build single/1.0 -k "$K" --force >/run/out
grep -q 'signed by Old key and ' /run/out
module=/var/lib/dkms/single/1.0/$K/$A/module/single.ko
# Both signatures are good.
{ openssl x509 -inform DER -in /root/keys/c; openssl x509 -in "/root/keys/$K/both.pem"; } >/root/keys/two.crt
/root/keys/verify "$module" /root/keys/two.crt
echo sign_file=/root/keys/sign-file >>/etc/dkms/framework.conf.d/own.conf
code 10 dkms build single/1.0 -k "$K" --force >/run/out 2>&1
grep -q 'with a second signer (mok_signing_key_2) both keys have to be RSA keys in files' /run/out
#: step what-a-build-does-not-see 0 ours
# It notes down in /run what it sees; such a build has root's user.
echo 'CONFINE_WRITE="/run"' >/etc/dkms/scripts.conf
printf '%s\n' 'mok_signing_key="/root/keys/$kernelver/both.pem"' 'mok_certificate="/root/keys/${kernelver}/both.pem"' >/etc/dkms/framework.conf.d/own.conf
fixture scripts-1.0
cat >/usr/src/scripts-1.0/pre.sh <<'SCRIPT'
#!/bin/bash
env >/run/build-env
cat "/root/keys/$1/both.pem" >/run/build-key || true
SCRIPT
chmod +x /usr/src/scripts-1.0/pre.sh
sed -i '/^PRE_BUILD/d' /usr/src/scripts-1.0/dkms.conf
echo 'PRE_BUILD="pre.sh $kernelver"' >>/usr/src/scripts-1.0/dkms.conf
KBUILD_SIGN_PIN=secret CREDENTIALS_DIRECTORY=/run/credentials dkms build scripts/1.0 -k "$K"
test -s /run/build-env
code 1 grep -e secret -e KBUILD_SIGN_PIN -e CREDENTIALS_DIRECTORY /run/build-env
test ! -s /run/build-key
test -s "/root/keys/$K/both.pem"
