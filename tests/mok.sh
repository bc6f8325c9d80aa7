#!/bin/bash
# Inside the private root of mok::enroll_and_rotate: dkms mok on a simulated machine. sysfs and efivarfs are
# plain files, laid out as the kernel lays them out, and mokutil is Debian's own. Variables are moved as
# MokManager would do at the next start. Signatures are checked with openssl.
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eu
efi=/sys/firmware/efi/efivars
global=8be4df61-93ca-11d2-aa0d-00e098032b8c shim=605dab50-e046-4300-abb6-3dd810dd8b23
export EFIVARFS_PATH=$efi/ # mokutil's library takes a folder of files then
variable() { printf '%b' "$3" >"$efi/$1-$2"; }
not() { ! "$@"; } # a "!" alone never ends the script
# enforcing Y|N: sets the running kernel's state, and the command line of the kernel with headers
echo quiet >/run/cmdline
mount --bind /run/cmdline /proc/cmdline
enforcing() {
    echo "$1" >/sys/module/module/parameters/sig_enforce
    if [[ $1 == Y ]]; then echo 'quiet module.sig_enforce' >/run/cmdline; else echo quiet >/run/cmdline; fi
}
start() { # what MokManager does when everything is confirmed
    if [[ -e $efi/MokNew-$shim ]]; then
        { printf '\06\0\0\0'; tail -c +5 "$efi/MokListRT-$shim"; tail -c +5 "$efi/MokNew-$shim"; } >"$efi/.new"
        mv "$efi/.new" "$efi/MokListRT-$shim"
        rm -f "$efi/MokNew-$shim" "$efi/MokAuth-$shim"
    fi
}
# says FIELD: prints it from the document of dkms mok
says() { dkms mok --json -k "$K" 2>/dev/null | python3 -c 'import json,sys
v = json.load(sys.stdin)
for k in sys.argv[1].split("."): v = v[k]
print(json.dumps(v).strip("\""))' "$1"; }
verified() { # MODULE CERTIFICATE
    python3 - "$@" <<'PYTHON'
import lzma, subprocess, sys
data = open(sys.argv[1], 'rb').read()
if sys.argv[1].endswith('.xz'): data = lzma.decompress(data)
magic = b'~Module signature appended~\n'
assert data.endswith(magic), 'not signed'
end = len(data) - len(magic) - 12
start = end - int.from_bytes(data[end + 8:end + 12], 'big')
assert not data[:start].endswith(magic), 'two signatures'
open('/run/content', 'wb').write(data[:start])
open('/run/message', 'wb').write(data[start:end])
pem = subprocess.run(['openssl', 'x509', '-inform', 'DER', '-in', sys.argv[2]], check=True, capture_output=True).stdout
open('/run/pem', 'wb').write(pem)
sys.exit(subprocess.run(['openssl', 'cms', '-verify', '-binary', '-noverify', '-inform', 'DER', '-in', '/run/message', '-content',
                         '/run/content', '-certfile', '/run/pem', '-nointern', '-out', '/dev/null'], stderr=subprocess.DEVNULL).returncode)
PYTHON
}
step() { echo "-- $*"; }

step 'a machine without EFI firmware'
mount -t tmpfs sys /sys
mkdir -p /sys/firmware/acpi /sys/module/module/parameters /sys/kernel/security
echo '[none] integrity confidentiality' >/sys/kernel/security/lockdown
enforcing N
same "$(says next.step)" make-key
dkms generate_mok
same "$(says next.step)" nothing
same "$(says secure_boot.state)" not-efi
sha1=$(openssl x509 -inform DER -in /var/lib/dkms/mok.pub -noout -fingerprint -sha1 | sed 's/.*=//' | tr A-F a-f)
same "$(says certificate.sha1)" "$sha1"
same "$(says certificate.key_type)" 'RSA 2048'
enforcing Y
same "$(says enforcement.state)" sig-enforce
code 10 dkms mok enroll

step 'Secure Boot'
mkdir -p "$efi"
variable SecureBoot "$global" '\06\0\0\0\01'
variable SetupMode "$global" '\06\0\0\0\0'
variable MokListRT "$shim" '\06\0\0\0'
same "$(says secure_boot.state)" on
same "$(says next.step)" enroll
same "$(says certificate.trusted)" false
dkms mok -k "$K" | grep -q "^Next .*dkms mok enroll"

step 'enrolling'
code 10 dkms mok enroll </dev/null # no terminal, no credential
mkdir -p /run/credentials
echo one-time-1 >/run/credentials/dkms.mok-password
CREDENTIALS_DIRECTORY=/run/credentials dkms mok enroll --debug >/run/out 2>&1
cat /run/out
not grep one-time-1 /run/out
same "$(mokutil --list-new | sed -n 's/^SHA1 Fingerprint: //p')" "$sha1"
same "$(says next.step)" restart
dkms mok enroll </dev/null | grep -q 'waits to be enrolled'
start
same "$(says certificate.trusted)" true
same "$(says next.step)" nothing
same "$(mokutil --list-enrolled | sed -n 's/^SHA1 Fingerprint: //p')" "$sha1"
dkms mok enroll </dev/null | grep -q 'trusts'

step 'two modules, one of them not signed, compressed in the tree'
fixture single-1.0 multi-1.0
dkms install single/1.0 -k "$K"
touch "/lib/modules/$K/x.ko.xz"
dkms build multi/1.0 -k "$K"
rm "/lib/modules/$K/x.ko.xz"
touch "/lib/modules/$K/modules.dep"
dkms install multi/1.0 -k "$K"
files() { find /var/lib/dkms/*/1.0 "/lib/modules/$K/updates" \( -name '*.ko' -o -name '*.ko.xz' \) -type f | sort; }
files
for f in $(files); do verified "$f" /var/lib/dkms/mok.pub; done
plain=$(find /var/lib/dkms/multi -name '*.ko.xz' | sort | head -n 1)
python3 - "$plain" "/lib/modules/$K/updates/dkms/$(basename "$plain")" <<'PYTHON'
import lzma, sys
data = lzma.decompress(open(sys.argv[1], 'rb').read())
end = len(data) - 28 - 12
data = data[:end - int.from_bytes(data[end + 8:end + 12], 'big')]
for f in sys.argv[1:]: open(f, 'wb').write(lzma.compress(data, check=lzma.CHECK_CRC32, filters=[{'id': lzma.FILTER_LZMA2, 'dict_size': 1 << 20}]))
PYTHON
dkms status >/run/status

step 'rotating: the new key waits while signatures are enforced'
cp /var/lib/dkms/mok.pub /run/old.pub
cp /var/lib/dkms/mok.key /run/old.key
files | xargs sha256sum >/run/before
dkms mok rotate -k "$K"
sha256sum --quiet -c /run/before
cmp /run/old.pub /var/lib/dkms/mok.pub
same "$(stat -c %a /var/lib/dkms/.mok.key.next)" 600
same "$(says next.step)" enroll
dkms mok rotate --dry-run -k "$K" | tee /run/out
grep -q 'requires signatures' /run/out
dkms mok rotate # again: the same pair waits
next=$(says new_certificate.sha1)
CREDENTIALS_DIRECTORY=/run/credentials dkms mok enroll
same "$(mokutil --list-new | sed -n 's/^SHA1 Fingerprint: //p')" "$next"
same "$(says next.step)" restart
start
same "$(says next.step)" rotate
mkdir -p /etc/dkms/framework.conf.d
echo 'post_transaction="echo ran >>/run/transaction"' >/etc/dkms/framework.conf.d/t.conf
stat -c %Y "/lib/modules/$K/modules.dep" >/run/dep
dkms mok rotate
same "$(says certificate.sha1)" "$next"
same "$(says next.step)" nothing
same "$(cat /run/transaction)" ran
test ! -e /var/lib/dkms/.mok.key.next -a ! -e /var/lib/dkms/.mok.pub.next -a ! -e /var/lib/dkms/.mok.key.dkms-old
cmp /run/old.pub /var/lib/dkms/.mok.pub.old
same "$(stat -c %a /var/lib/dkms/mok.key)" 600
not cmp -s /run/old.key /var/lib/dkms/mok.key
for f in $(files); do
    if [[ $(basename "$f") == "$(basename "$plain")" ]]; then
        same "$(modinfo -F signer "$f")" ''
    else
        verified "$f" /var/lib/dkms/mok.pub
        not verified "$f" /run/old.pub 2>/dev/null
    fi
done
diff <(sed 's/ (Diff.*//' /run/status) <(dkms status | sed 's/ (Diff.*//')
stat -c %Y "/lib/modules/$K/modules.dep" | cmp - /run/dep # no depmod
dkms fsck || test $? == 1
code 1 grep -E 'single|manifest' <<<"$(dkms fsck 2>/dev/null | grep -v "$(basename "$plain")")"

step 'the old certificate goes when it is not trusted any more'
dkms mok enroll </dev/null
test -e /var/lib/dkms/.mok.pub.old
printf '\06\0\0\0' >"$efi/MokListRT-$shim"
python3 - /var/lib/dkms/mok.pub >>"$efi/MokListRT-$shim" <<'PYTHON'
import struct, sys
der = open(sys.argv[1], 'rb').read()
sys.stdout.buffer.write(bytes.fromhex('a159c0a5e494a74a87b5ab155c2bf072') + struct.pack('<III', 44 + len(der), 0, 16 + len(der)) + bytes(16) + der)
PYTHON
dkms mok enroll </dev/null
test ! -e /var/lib/dkms/.mok.pub.old

step 'forbidden'
cp "$efi/MokListRT-$shim" "$efi/MokListXRT-$shim"
same "$(says certificate.forbidden_by)" MokListXRT
same "$(says next.step)" replace-key
code 10 dkms mok enroll </dev/null
rm "$efi/MokListXRT-$shim"

step 'rotating at once where nothing is enforced, and with --force'
enforcing N
variable SecureBoot "$global" '\06\0\0\0\0'
one=$(says certificate.sha1)
dkms mok rotate -k "$K"
test "$(says certificate.sha1)" != "$one"
for f in $(files); do
    [[ $(basename "$f") == "$(basename "$plain")" ]] || verified "$f" /var/lib/dkms/mok.pub
done
enforcing Y
one=$(says certificate.sha1)
dkms mok rotate
same "$(says certificate.sha1)" "$one"
dkms mok rotate --force
test "$(says certificate.sha1)" != "$one"

step 'killed at every change of a file'
if gcc -O1 -o /run/syscall-at /e2e/syscall-at.c 2>/run/why && /run/syscall-at /run/calls kill 0 true; then
    rm /etc/dkms/framework.conf.d/t.conf
    dkms mok rotate # the new pair is made, and waits
    enforcing N
    # All files, except for locks, journals and their log.
    contents() {
        find /var/lib/dkms "/lib/modules/$K/updates" -type f ! -path '*/.lock/*' ! -path '*/.journal/*' ! -path '*/.index/*' ! -name .recovery.log \
            ! -name .manifest.json -exec sha256sum {} + | sort -k 2
        # Stamps differ each time.
        sed -E 's/"(stamp|built)":\{[^}]*\}//g' /var/lib/dkms/*/1.0/*/*/.manifest.json
        dkms status
    }
    save() { rm -rf /run/saved; mkdir /run/saved; cp -a /var/lib/dkms "/lib/modules/$K/updates" /run/saved/; }
    restore() {
        rm -rf /var/lib/dkms "/lib/modules/$K/updates"
        cp -a /run/saved/dkms /var/lib/
        cp -a /run/saved/updates "/lib/modules/$K/"
    }
    save
    restore
    contents >/run/was
    /run/syscall-at /run/calls kill 0 dkms mok rotate >/dev/null
    n=$(wc -l </run/calls)
    dkms generate_mok >/dev/null
    contents >/run/is
    not cmp -s /run/was /run/is
    was=0 is=0
    for ((i = 1; i <= n; i++)); do
        restore
        /run/syscall-at /run/calls kill "$i" dkms mok rotate >/dev/null 2>&1 || true
        dkms generate_mok >/dev/null 2>&1
        contents >/run/now
        if cmp -s /run/now /run/was; then
            was=$((was + 1))
        elif cmp -s /run/now /run/is; then
            is=$((is + 1))
        else
            tail -n 1 /run/calls
            diff /run/was /run/now || diff /run/is /run/now || false
        fi
        test -z "$(ls -A /var/lib/dkms/.journal)"
    done
    echo "killed at $n calls: $was times all of the old, $is times all of the new"
    test "$was" -gt 0 -a "$is" -gt 0
else
    echo "skipped: killing: $(head -n 1 /run/why)"
fi

step 'one PEM file for both'
enforcing N
openssl req -x509 -newkey rsa:2048 -nodes -subj '/CN=Both/' -keyout /root/k -out /root/c 2>/dev/null
cat /root/k /root/c >/root/both.pem
echo 'mok_signing_key=/root/both.pem mok_certificate=/root/both.pem' | tr ' ' '\n' >/etc/dkms/framework.conf.d/both.conf
dkms install single/1.0 -k "$K" --force
dkms build single/1.0 -k "$K" --force
dkms mok rotate -k "$K"
openssl x509 -in /root/both.pem -outform DER -out /run/new.pub
verified "/var/lib/dkms/single/1.0/$K/$A/module/single.ko.xz" /run/new.pub
cmp /root/c <(openssl x509 -in /root/.both.pem.old)
same "$(stat -c %a /root/both.pem)" 600

step 'a token is not ours to change'
echo 'mok_signing_key="pkcs11:token=x"' >/etc/dkms/framework.conf.d/both.conf
code 10 dkms mok rotate
step 'wrong words'
code 2 dkms mok nothing
code 2 dkms mok status enroll
code 2 dkms mok -m x
echo 'mok: passed'
