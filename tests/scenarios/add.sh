# add: from a directory of /usr/src, from any other directory, from a dkms.conf; and every kind of faulty dkms.conf.
#: step no-source 2
dkms add -m nowhere/1.0
#: step by-folder 0
cp -r /e2e/fixtures/single-1.0 /root/anything
dkms add /root/anything
test -f /usr/src/single-1.0/dkms.conf
#: step by-folder-again 3
dkms add /root/anything
#: step remove-leaves-source 0
dkms remove single/1.0 --all
test -f /usr/src/single-1.0/dkms.conf
#: step by-conf-file 0
dkms add /root/anything/dkms.conf
#: step folder-without-conf 9
mkdir /root/none
dkms add /root/none
#: step no-conf 4
mkdir /usr/src/noconf-1.0
dkms add -m noconf/1.0
#: step other-conf 0
fixture ver-1.9
mv /usr/src/ver-1.9/dkms.conf /root/elsewhere.conf
dkms add -m ver/1.9 -c /root/elsewhere.conf
#: step crlf 0
fixture crlf-1.0
dkms add crlf/1.0
#: step bash-only 0
fixture bashonly-1.0
dkms add bashonly/1.0
#: step no-name 8
fixture badnoname-1.0
dkms add badnoname/1.0
#: step no-version 8
fixture badnoversion-1.0
dkms add badnoversion/1.0
#: step no-destination 8
fixture badnodest-1.0
dkms add badnodest/1.0
#: step bad-destination 8
fixture baddest-1.0
dkms add baddest/1.0
#: step ko-in-name 8
fixture badsuffix-1.0
dkms add badsuffix/1.0
#: step bad-rebuild 8
fixture badrebuild-1.0
dkms add badrebuild/1.0
#: step bad-autoinstall 8
fixture badauto-1.0
dkms add badauto/1.0
#: step duplicate-names 8
fixture baddup-1.0
dkms add baddup/1.0
#: step hole-in-array 8
fixture badhole-1.0
dkms add badhole/1.0
#: step shell-syntax 8
fixture badsyntax-1.0
dkms add badsyntax/1.0
#: step bad-conf-by-folder 8
cp -r /e2e/fixtures/badnodest-1.0 /root/badfolder
rm -rf /usr/src/badnodest-1.0
dkms add /root/badfolder
#: step nothing-left-by-bad-ones 0
same "$(ls /var/lib/dkms | grep '^bad' || true)" ""
#: step removed-source-is-broken 4
rm -rf /usr/src/crlf-1.0
dkms build crlf/1.0 -k "$K"
#: step broken-does-not-stop-others 0
dkms status | grep -q '^bashonly/1.0: added'
dkms status | grep -q '^crlf/1.0: broken'
#: step broken-is-not-removed 4
dkms remove crlf/1.0 --all
#: step broken-fixed-by-source 0
fixture crlf-1.0
dkms remove crlf/1.0 --all
#: step reads-a-file-beside-it 0
cp -r /e2e/fixtures/single-1.0 /root/beside
echo 2.7 >/root/beside/VERSION
sed -i 's/^PACKAGE_NAME=.*/PACKAGE_NAME=beside/; s/^PACKAGE_VERSION=.*/PACKAGE_VERSION="$(cat VERSION)"/' /root/beside/dkms.conf
cd /root/beside || exit
dkms add .
dkms build beside/2.7 -k "$K"
dkms remove beside/2.7 --all
cd /root || exit
rm -rf /usr/src/beside-2.7
#: step reads-a-file-beside-it-from-anywhere 0 ours
dkms add /root/beside
dkms build beside/2.7 -k "$K"
dkms remove beside/2.7 --all
rm -rf /usr/src/beside-2.7
#: step a-part-of-the-version-from-a-file 0
sed -i 's/^PACKAGE_VERSION=.*/PACKAGE_VERSION="1.$(cat VERSION 2>\/dev\/null)"/' /root/beside/dkms.conf
cd /root/beside || exit
dkms add .
dkms build beside/1.2.7 -k "$K"
dkms remove beside/1.2.7 --all
cd /root || exit
rm -rf /usr/src/beside-1.2.7
#: step functions-of-dkms-in-dkms.conf 0
cp -r /e2e/fixtures/single-1.0 /usr/src/functions-1.0
sed -i 's/^PACKAGE_NAME=.*/PACKAGE_NAME=functions/' /usr/src/functions-1.0/dkms.conf
cat >>/usr/src/functions-1.0/dkms.conf <<'EOF'
if [[ $(VER 6.10.3-rc1) > $(VER 6.9.22) && $(VER 2.6) < $(VER "$kernelver") && $(VER a1b22c3333) == a001b022c3333 ]]; then
    POST_INSTALL="said $(override_dest_module_location /kernel/misc) $(distro_version)"
fi
EOF
printf '#!/bin/sh\necho "$@" >/root/said\n' >/usr/src/functions-1.0/said
chmod +x /usr/src/functions-1.0/said
dkms install functions/1.0 -k "$K"
[[ $(cat /root/said) == '/updates/dkms debian' ]] || exit 99
dkms remove functions/1.0 --all
rm -rf /usr/src/functions-1.0 /root/said
#: step a-part-of-the-version-from-a-file-from-anywhere 0 ours
dkms add /root/beside
dkms build beside/1.2.7 -k "$K"
dkms remove beside/1.2.7 --all
rm -rf /usr/src/beside-1.2.7
#: step a-variable-from-a-file-from-anywhere 0 ours
sed -i 's/^PACKAGE_VERSION=.*/read -r part <VERSION; PACKAGE_VERSION="3.$part"/' /root/beside/dkms.conf
dkms add /root/beside
dkms build beside/3.2.7 -k "$K"
dkms remove beside/3.2.7 --all
rm -rf /usr/src/beside-3.2.7
#: step another-split-of-name-and-version 0
cp -r /e2e/fixtures/single-1.0 /usr/src/split-me-1.0
sed -i 's/^PACKAGE_NAME=.*/PACKAGE_NAME=split/; s/^PACKAGE_VERSION=.*/PACKAGE_VERSION=me-1.0/' /usr/src/split-me-1.0/dkms.conf
dkms add -m split-me -v 1.0
#: step the-other-split-is-not-added 3
dkms remove split/me-1.0 --all
#: step a-wrong-split-is-reported 0 ours
code 3 dkms remove split/me-1.0 --all 2>/run/said
grep -q 'split/me-1.0 is not in the dkms tree, but split-me/1.0 is' /run/said
dkms remove split-me/1.0 --all
for words in 'add split-me/1.0' 'add -m split-me -v 1.0' "build split-me/1.0 -k $K" "install split-me/1.0 -k $K"; do
    # shellcheck disable=SC2086
    dkms $words 2>/run/said >/dev/null
    grep -q '/usr/src/split-me-1.0/dkms.conf is the dkms.conf of split/me-1.0, and is registered as split-me/1.0' /run/said
    grep -q 'dkms remove split-me/1.0 --all; dkms add split/me-1.0' /run/said
    dkms remove split-me/1.0 --all
done
for words in 'split/me-1.0' '-m split -v me-1.0' '/usr/src/split-me-1.0'; do
    # shellcheck disable=SC2086
    dkms add $words 2>/run/said
    same "$(cat /run/said)" ''
    dkms remove split/me-1.0 --all
done
