# Control characters in names, values, file names and the output of child processes are printed escaped, as in JSON.
#: step a-name-with-control-characters 8 ours
cat >/run/plain <<'PYTHON'
#!/usr/bin/python3
# No character of these files controls a terminal or turns text around; each holds what it must.
import re, sys
for name in sys.argv[2:]:
    text = open(name, encoding='utf-8', errors='surrogateescape', newline='').read()
    bad = re.findall('[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]', text)
    assert not bad, (name, bad, text)
    assert sys.argv[1] in text, (name, text)
PYTHON
chmod +x /run/plain
mkdir -p /usr/src/evil-1
printf 'PACKAGE_VERSION=1\nPACKAGE_NAME=$'"'"'a\\e]0;title\\ab'"'"'\nBUILT_MODULE_NAME=evil\nDEST_MODULE_LOCATION=/extra\n' >/usr/src/evil-1/dkms.conf
rc=0
dkms add /usr/src/evil-1 >/run/out 2>&1 || rc=$?
/run/plain 'dkms.conf:2:' /run/out
grep -q 'PACKAGE_NAME contains a control character (U+001B)' /run/out
dkms lint /usr/src/evil-1 >/run/out 2>&1 || true
/run/plain 'dkms.conf:2:' /run/out
dkms lint /usr/src/evil-1 --json >/run/out 2>&1 || true
/run/plain 'U+001B' /run/out
dkms config -c /usr/src/evil-1/dkms.conf >/run/out 2>&1 || true
/run/plain 'title' /run/out
dkms add /usr/src/evil-1 --json >/run/out 2>&1 || true
/run/plain 'U+001B' /run/out
(exit "$rc")
#: step values-and-file-names 0 ours
fixture ver-1.9
printf 'PATCH[0]=$'"'"'a\\e[2Jb\302\2331m\342\200\256'"'"'\nBUILD_EXCLUSIVE_KERNEL=$'"'"'^\\e7$'"'"'\n' >>/usr/src/ver-1.9/dkms.conf
mkfifo "/usr/src/ver-1.9/$(printf 'x\e[2J\ndkms: error: forged\177\302\233')"
for json in '' --json; do
    # shellcheck disable=SC2086
    dkms build ver/1.9 -k "$K" $json >/run/out 2>&1 || true
    /run/plain 'ver/1.9' /run/out || /run/plain '"ver"' /run/out
    dkms config ver/1.9 -k "$K" ${json:+"$json"} >/run/out 2>&1
    /run/plain '\u001b[2Jb\u009b1m\u202e' /run/out
done
sed -i /BUILD_EXCLUSIVE/d /usr/src/ver-1.9/dkms.conf
dkms build ver/1.9 -k "$K" >/run/out 2>&1 || true
/run/plain '\u001b[2J' /run/out
code 1 grep -q '^dkms: error: forged' /run/out
for words in "add /root/none" "ldtarball" "install" "frob"; do
    # shellcheck disable=SC2086
    dkms $words"$(printf '\e]0;x\a')" >/run/out 2>&1 || true
    /run/plain '\u001b]0;x\u0007' /run/out
done
dkms remove ver/1.9 --all >/dev/null
#: step what-children-print 0 ours
fixture single-1.0
printf '#error "\e[31mred\302\233"\n' >>/usr/src/single-1.0/single.c
printf 'POST_ADD=say.sh\n' >>/usr/src/single-1.0/dkms.conf
printf '#!/bin/sh\nprintf "\\033[2Jsaid\\tit\\r\\n"\n' >/usr/src/single-1.0/say.sh
chmod +x /usr/src/single-1.0/say.sh
dkms add single/1.0 >/run/out 2>&1
/run/plain '\u001b[2Jsaid' /run/out
for json in '' --json; do
    # shellcheck disable=SC2086
    dkms build single/1.0 -k "$K" $json >/run/out 2>&1 || true
    /run/plain '\u001b[31mred' /run/out
done
#: step the-live-view 0 ours
cat >/run/live.py <<'PYTHON'
# On a terminal: our own sequences stay, theirs do not get through.
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b''
while True:
    try:
        chunk = os.read(fd, 4096)
    except OSError:
        break
    if not chunk:
        break
    seen += chunk
os.waitpid(pid, 0)
assert b'\x1b[31mred' not in seen and b'\\u001b[31mred' in seen, seen
assert b'\x1b[' in seen, seen
PYTHON
TERM=xterm python3 /run/live.py dkms build single/1.0 -k "$K"
