# The inputs of a build that its manifest records: the copy that is compiled, even if the source changes meanwhile. Only
# ours: 3.0.10 has no manifests.
#: step the-same-source-twice 0 ours
fixture single-1.0
dkms build single/1.0 -k "$K"
cp -a /usr/src/single-1.0 /run/original
record() { python3 -c 'import json, sys; m = json.load(open(sys.argv[1])); print(m["inputs"]["source"], m["fingerprint"])' "/var/lib/dkms/single/1.0/$K/$A/.manifest.json"; }
source_of() { record | cut -d' ' -f1; }
declare -f record source_of >/run/functions
record >/run/first
[[ $(cat /run/first) =~ ^[0-9a-f]{64}\ [0-9a-f]{64}$ ]]
dkms build single/1.0 -k "$K" --force
same "$(record)" "$(cat /run/first)"
#: step times-modes-and-owners-are-no-input 0 ours
. /run/functions
touch /usr/src/single-1.0/single.c
chmod 600 /usr/src/single-1.0/single.c
chown 1:1 /usr/src/single-1.0/single.c
dkms build single/1.0 -k "$K" --force
same "$(record)" "$(cat /run/first)"
#: step source-behind-a-link 0 ours
. /run/functions
mv /usr/src/single-1.0 /root/development
ln -s /root/development /usr/src/single-1.0
dkms build single/1.0 -k "$K" --force
same "$(record)" "$(cat /run/first)"
rm /usr/src/single-1.0
mv /root/development /usr/src/single-1.0
#: step number-of-jobs-is-no-input 0 ours
. /run/functions
dkms build single/1.0 -k "$K" --force -j1
same "$(record)" "$(cat /run/first)"
#: step environment-is-an-input-and-no-source 0 ours
. /run/functions
KCFLAGS=-DX dkms build single/1.0 -k "$K" --force
same "$(source_of)" "$(cut -d' ' -f1 /run/first)"
[[ $(record) != "$(cat /run/first)" ]]
#: step edited-source-is-another-input 0 ours
. /run/functions
echo '/* edited */' >>/usr/src/single-1.0/single.c
dkms build single/1.0 -k "$K" --force
[[ $(source_of) != "$(cut -d' ' -f1 /run/first)" ]]
rm -r /usr/src/single-1.0
cp -a /run/original /usr/src/single-1.0
#: step patch-of-the-administrator-is-an-input 0 ours
. /run/functions
mkdir -p /etc/dkms/single/patches
sed 's/dkms test/patched test/' /usr/src/single-1.0/single.c >/run/patched.c
(cd /usr/src && diff -u single-1.0/single.c /run/patched.c >/etc/dkms/single/patches/own.patch) || true
sed -i '1,2s,^\(---\|+++\) [^\t]*,\1 a/single.c,' /etc/dkms/single/patches/own.patch
echo 'PATCH[0]="own.patch"' >/etc/dkms/single.conf
dkms build single/1.0 -k "$K" --force
source_of >/run/patched
[[ $(cat /run/patched) != "$(cut -d' ' -f1 /run/first)" ]]
# The digest is that of the patched copy: the same text without a patch has it too.
rm -r /etc/dkms/single.conf /etc/dkms/single
cp /run/patched.c /usr/src/single-1.0/single.c
dkms build single/1.0 -k "$K" --force
same "$(source_of)" "$(cat /run/patched)"
rm -r /usr/src/single-1.0
cp -a /run/original /usr/src/single-1.0
#: step scripts-that-edit-what-was-copied 0 ours
# The source edited after the copy was made and before make, during make, and after make. Scripts may write there as root.
. /run/functions
echo 'CONFINE_WRITE="/usr/src /run"' >/etc/dkms/single.conf
printf '#!/bin/sh\n[ ! -e "/run/edit-$1" ] || echo "/* $1 */" >>/usr/src/single-1.0/single.c\n' >/usr/src/single-1.0/edit.sh
chmod +x /usr/src/single-1.0/edit.sh
cat >>/usr/src/single-1.0/dkms.conf <<'CONF'
PRE_BUILD="edit.sh before"
POST_BUILD="edit.sh after"
MAKE="make -C $kernel_source_dir M=$dkms_tree/$PACKAGE_NAME/$PACKAGE_VERSION/build && ./edit.sh during"
CONF
dkms build single/1.0 -k "$K" --force
record >/run/unedited
for when in before during after; do
    cp /run/original/single.c /usr/src/single-1.0/single.c
    touch "/run/edit-$when"
    dkms build single/1.0 -k "$K" --force
    rm "/run/edit-$when"
    grep -q "/\* $when \*/" /usr/src/single-1.0/single.c
    same "$(record)" "$(cat /run/unedited)"
done
#: step scripts-that-edit-the-copy 0 ours
# What a script does to the copy follows from the source, which is what is recorded.
. /run/functions
cp /run/original/single.c /usr/src/single-1.0/single.c
printf '#!/bin/sh\n[ ! -e "/run/edit-$1" ] || echo "/* $1 */" >>single.c\n' >/usr/src/single-1.0/edit.sh
dkms build single/1.0 -k "$K" --force
record >/run/unedited
touch /run/edit-before
dkms build single/1.0 -k "$K" --force
same "$(record)" "$(cat /run/unedited)"
rm /run/edit-before
#: step script-of-the-administrator-is-an-input 0 ours
. /run/functions
mkdir -p /etc/dkms/single
printf '#!/bin/sh\n' >/etc/dkms/single/edit.sh
chmod +x /etc/dkms/single/edit.sh
dkms build single/1.0 -k "$K" --force
same "$(source_of)" "$(cut -d' ' -f1 /run/unedited)"
[[ $(record) != "$(cat /run/unedited)" ]]
rm -r /etc/dkms/single
#: step a-build-of-unchanged-source-is-not-outdated 0 ours
dkms install single/1.0 -k "$K"
same "$(dkms status)" "single/1.0, $K, $A: installed"
spy make
dkms autoinstall -k "$K"
dkms install single/1.0 -k "$K"
same "$(spied make)" 0
dkms fsck
