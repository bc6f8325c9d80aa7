# The pass phrase of the signing key is only in the environment of the process that signs with it.
#: step during-a-build 0 ours
mkdir -p /root/keys /etc/dkms/framework.conf.d
openssl req -x509 -newkey rsa:2048 -passout pass:correct-horse -subj '/CN=Encrypted/' -keyout /root/keys/key.pem -out /root/keys/key.crt 2>/dev/null
printf 'mok_signing_key=/root/keys/key.pem\nmok_certificate=/root/keys/key.crt\n' >/etc/dkms/framework.conf.d/own.conf
fixture single-1.0
cat >/run/seen.py <<'PYTHON'
# Runs dkms with the pass phrase in its environment, and looks at the environments of all processes meanwhile.
import glob, os, subprocess
secret = b'correct-horse'
child = subprocess.Popen(['dkms', *os.sys.argv[1:]], env={**os.environ, 'KBUILD_SIGN_PIN': secret.decode()})
begun, names, seen = False, set(), set()
while child.poll() is None:
    for path in glob.glob('/proc/[0-9]*/environ'):
        process = os.path.dirname(path)
        try:
            with open(path, 'rb') as f:
                block = f.read()
            with open(f'{process}/cmdline', 'rb') as f:
                block += f.read()
            # Last: a process that is just executing sign-file already has its name then.
            name = open(f'{process}/comm').read().strip()
        except OSError:
            continue
        names.add(name)
        # Until dkms has begun to run, its environment is what we gave it.
        if process == f'/proc/{child.pid}' and block and secret not in block:
            begun = True
        if secret in block and begun:
            seen.add(name)
assert begun
assert child.returncode == 0, child.returncode
assert {'dkms', 'dkms-supervisor', 'make'} <= names, names
assert seen <= {'sign-file'}, seen
PYTHON
python3 /run/seen.py build single/1.0 -k "$K" --debug >/run/out 2>&1 || { cat /run/out; exit 1; }
grep -q 'signed by Encrypted' "/var/lib/dkms/single/1.0/$K/$A/.manifest.json"
code 1 grep -rl -e correct-horse /run/out /var/lib/dkms
#: step in-the-address-of-a-token 10 ours
printf 'mok_signing_key="pkcs11:object=none?pin-value=correct-horse"\n' >>/etc/dkms/framework.conf.d/own.conf
rc=0
dkms build single/1.0 -k "$K" --force --verbose --debug >/run/out 2>&1 || rc=$?
dkms build single/1.0 -k "$K" --force --json >>/run/out 2>&1 || true
dkms build single/1.0 -k "$K" --force --dry-run >>/run/out 2>&1 || true
dkms mok status >>/run/out 2>&1 || true
dkms mok status --json >>/run/out 2>&1 || true
grep -q 'pkcs11:object=none' /run/out
code 1 grep -rl -e correct-horse /run/out /var/lib/dkms
(exit "$rc")
