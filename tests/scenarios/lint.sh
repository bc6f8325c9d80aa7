# lint: what an author could improve in a dkms.conf and the files beside it, and the changes of --fix.
#: step nothing-to-say 0 ours
fixture single-1.0 scripts-1.0 badpatch-1.0 badsyntax-1.0
same "$(dkms lint /usr/src/single-1.0)" '/usr/src/single-1.0/dkms.conf is clean'
cd /usr/src/single-1.0 || exit 99
same "$(dkms lint)" './dkms.conf is clean'
same "$(dkms lint single/1.0 --quiet)" ''
dkms lint single/1.0
dkms lint /usr/src/single-1.0/dkms.conf
#: step no-file 4 ours
dkms lint nothing/1.0
#: step fix-is-for-lint 2 ours
dkms status --fix
#: step findings 1 ours
cat >>/usr/src/single-1.0/dkms.conf <<'C'
AUTOINSTALL='true' # always
CLEAN="make clean"
MAKE="make -C /lib/modules/$(uname -r)/build M=${dkms_tree}/single/1.0/build"
BUILD_EXCLUSIVE_KERNEL="^[456].[0-9]"
C
dkms lint single/1.0 >/run/out
#: step what-it-says 0 ours
grep -qx "/usr/src/single-1.0/dkms.conf:6:1: error\[yes-no\]: AUTOINSTALL is 'true', which is neither yes nor no" /run/out
grep -qxF "6 | AUTOINSTALL='true' # always" /run/out
grep -qxF '  | ^^^^^^^^^^^^^^^^^^' /run/out
grep -qxF '  = write (--fix): AUTOINSTALL="yes"' /run/out
grep -q ':7:1: note\[deprecated-directive\]: CLEAN is obsolete' /run/out
grep -q ':8:28: warning\[uname\]: ' /run/out
#: step needs-no-root 0 ours
code 1 setpriv --reuid=65534 --regid=65534 --clear-groups dkms lint /usr/src/single-1.0 >/run/nobody
cmp /run/out /run/nobody
#: step dry-run-changes-nothing 0 ours
cp -p /usr/src/single-1.0/dkms.conf /run/before
code 1 dkms lint --fix --dry-run single/1.0 >/dev/null
cmp /run/before /usr/src/single-1.0/dkms.conf
#: step fix 0 ours
chmod 640 /usr/src/single-1.0/dkms.conf
dkms lint --fix single/1.0 -k "$K" --json >/run/fixed.json
sed "s/'true'/'yes'/; /^CLEAN/d; s/\$(uname -r)/\${kernelver}/" /run/before >/run/want
cmp /run/want /usr/src/single-1.0/dkms.conf
same "$(stat -c %a /usr/src/single-1.0/dkms.conf)" 640
python3 - /run/fixed.json <<'P' || exit 96
import json, sys
d = json.load(open(sys.argv[1]))
assert (d["schema"], d["fixed"], d["left"], d["not_fixed"]) == (1, 3, 0, None), d
assert [f["code"] for f in d["findings"]] == ["yes-no", "deprecated-directive", "uname"], d
assert all(f["fixed"] and f["fixable"] and f["why"] and f["help"] for f in d["findings"]), d
P
same "$(dkms lint --fix single/1.0)" '/usr/src/single-1.0/dkms.conf is clean'
#: step it-still-builds 0 ours
dkms install single/1.0 -k "$K"
dkms remove single/1.0 --all
#: step through-a-link 0 ours
sed -i 's/^BUILT_MODULE_NAME.*/BUILT_MODULE_NAME[0]="single.ko"/' /usr/src/single-1.0/dkms.conf
mkdir /root/link
ln -s /usr/src/single-1.0/dkms.conf /root/link/dkms.conf
dkms lint --fix /root/link | grep -q 'fixed\[module-suffix\]'
test -L /root/link/dkms.conf
grep -qx 'BUILT_MODULE_NAME\[0\]="single"' /usr/src/single-1.0/dkms.conf
#: step what-is-beside-it 1 ours
code 1 dkms lint /usr/src/badpatch-1.0 | grep -q 'patch-missing' || exit 97
dkms lint /usr/src/scripts-1.0
chmod -x /usr/src/scripts-1.0/*.sh
code 1 dkms lint /usr/src/scripts-1.0 | grep -q 'script-not-executable' || exit 97
mv /usr/src/scripts-1.0 /usr/src/scripts-1.1
dkms lint /usr/src/scripts-1.1 | grep -c 'directory-name' >/run/count || true
same "$(cat /run/count)" 1
dkms lint /usr/src/scripts-1.1 >/dev/null
#: step what-bash-evaluates-is-looked-at-again 1 ours
fixture bashonly-1.0
cd /usr/src/bashonly-1.0 || exit 99
cat >>dkms.conf <<'C'
BUILD_MODULE_LOCATION[0]="src"
BUILT_MODULE_NAME[1]="other.ko"
DEST_MODULE_LOCATION[1]="/updates"
C
chown 65534:65534 . dkms.conf
for who in 65534 0; do
    cp -p dkms.conf /run/bashonly.conf
    setpriv --reuid=$who --regid=$who --clear-groups env PATH="$PATH" dkms lint --fix >/run/out || test $? == 1
    same "$(grep -c ": fixed\\[" /run/out)$(grep -c 'module-suffix\]: \|misspelt' /run/out)" 22
    same "$(grep -c '^\./dkms.conf:[0-9:]* [a-z]*\[' /run/out)" 3
    grep -qx 'BUILT_MODULE_NAME\[1\]="other"' dkms.conf
    same "$(stat -c %u dkms.conf)$(ls -A | grep -c lint)" 655340
    cp -p /run/bashonly.conf dkms.conf
done
dkms lint >/dev/null
#: step notes-are-no-reason-to-switch-it-off 0 ours
fixture_as single-1.0 3.0
cd /usr/src/single-3.0 || exit 99
cat >>dkms.conf <<'C'
CLEAN="make clean"
if ! grep -q "^CONFIG_I2C=[ym]$" "$kernel_source_dir/.config" 2>/dev/null; then
    echo "no I2C in this kernel" >&2
    BUILD_EXCLUSIVE_ARCH="^do_not_build$"
fi
C
dkms lint -k "$K" >/run/out
same "$(grep -c ': note\[' /run/out) $(tail -n 1 /run/out)" '2 ./dkms.conf is clean, with 2 notes'
same "$(dkms lint -k "$K" --quiet)" ''
dkms lint -k "$K" --json | python3 -c 'import json, sys
d = json.load(sys.stdin)
assert (d["left"], d["notes"], [f["severity"] for f in d["findings"]]) == (0, 2, ["note", "note"]), d'
# --fix removes what is obsolete, as before.
dkms lint --fix -k "$K" | tail -n 1 >/run/out
same "$(cat /run/out)" './dkms.conf is clean now, with 1 note'
#: step makefile-that-uses-the-kernel 0 ours
cd /usr/src/single-3.0 || exit 99
cp /e2e/fixtures/single-1.0/dkms.conf . && sed -i 's/"1.0"/"3.0"/' dkms.conf
echo 'MAKE="make -C src all"' >>dkms.conf
mkdir src
printf 'ifneq ($(KERNELRELEASE),)\nobj-m := single.o\nelse\nKDIR ?= /lib/modules/$(shell uname -r)/build\nendif\n' >src/Makefile
code 1 dkms lint | grep -q make-ignores-kernel || exit 97
for use in 'KDIR ?= /lib/modules/$(KERNELRELEASE)/build' 'KVER ?= $(or $(kernelver),$(shell uname -r))'; do
    echo "$use" >src/Makefile
    same "$(dkms lint)" './dkms.conf is clean'
done
#: step no-bash-at-all 1 ours
dkms lint /usr/src/badsyntax-1.0 >/run/out || { rc=$?; grep -q 'error\[cannot-evaluate\]' /run/out; exit $rc; }
