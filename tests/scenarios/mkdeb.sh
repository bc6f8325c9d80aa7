# mkdeb and mkbmdeb: packages that dpkg accepts, made without its tools, with the same bytes each time.
#: image
#: kernel 6.12
#: step not-added 3 ours
dkms mkdeb single/1.0
#: step nothing-built 6 ours
fixture single-1.0 multi-1.0
chmod 600 /usr/src/single-1.0/dkms.conf; mkdir -p /usr/src/single-1.0/.git; touch /usr/src/single-1.0/.git/HEAD
deep=/usr/src/single-1.0/$(printf 'd%.0s' {1..90})/$(printf 'e%.0s' {1..90})
mkdir -p "$deep"; echo x >"$deep/name with blanks.c"; ln -s "$(printf 'f%.0s' {1..150})" "$deep/link"
dkms add single/1.0
dkms mkdeb single/1.0 -k "$K"
#: step nothing-was-written 0 ours
test ! -e /var/lib/dkms/single/1.0/deb
#: step source-package 0 ours
env PATH="$(dirname "$(type -P dkms)")" "$(type -P dkms)" mkdeb single/1.0
same "$(ls /var/lib/dkms/single/1.0/deb)" single-dkms_1.0_all.deb
#: step dpkg-reads-it 0 ours
deb=/var/lib/dkms/single/1.0/deb/single-dkms_1.0_all.deb
same "$(dpkg-deb -W --showformat='${Package} ${Version} ${Architecture} ${Depends}' $deb)" 'single-dkms 1.0 all dkms'
dpkg-deb -I $deb postinst | sh -n; dpkg-deb -I $deb prerm | sh -n
dpkg-deb -c $deb >/run/list
same "$(awk '{ print $2 }' /run/list | sort -u)" root/root
grep -q '^-rw-r--r-- .* \./usr/src/single-1.0/dkms.conf$' /run/list
grep -q '/name with blanks.c$' /run/list
grep -Eq '/link -> f{150}$' /run/list
! grep -q '\.git' /run/list
#: step its-sums-are-right 0 ours
deb=/var/lib/dkms/single/1.0/deb/single-dkms_1.0_all.deb
rm -rf /root/x; dpkg-deb -R $deb /root/x
cd /root/x || exit
md5sum --quiet --check DEBIAN/md5sums
same "$(find . -path ./DEBIAN -prune -o -type f -print | wc -l)" "$(wc -l <DEBIAN/md5sums)"
diff -r --no-dereference -x .git usr/src/single-1.0 /usr/src/single-1.0
zcat usr/share/doc/single-dkms/changelog.gz >/run/changelog
same "$(dpkg-parsechangelog -l /run/changelog -S Version 2>&1)" 1.0
#: step the-same-bytes-from-a-younger-copy 0 ours
export SOURCE_DATE_EPOCH=1700000000
dkms mkdeb single/1.0 --archive /root/a.deb
cp -r --no-preserve=timestamps /usr/src/single-1.0 /usr/src/copy; rm -r /usr/src/single-1.0; mv /usr/src/copy /usr/src/single-1.0
find /usr/src/single-1.0 -type f -exec chmod g+w {} +
dkms mkdeb single/1.0 --archive /root/b.deb
cmp /root/a.deb /root/b.deb
#: step dpkg-installs-it-and-dkms-builds 0 ours
dkms remove single/1.0 --all; rm -r /usr/src/single-1.0
dpkg -i --force-depends /root/a.deb
dkms status single/1.0 | grep -q ': installed$'
test -f /usr/src/single-1.0/single.c
#: step dpkg-removes-it-and-dkms-forgets 0 ours
dpkg -r single-dkms
same "$(dkms status)$(find /lib/modules -name 'single.ko*')" ''
test ! -e /usr/src/single-1.0
#: step modules-alone 0 ours
fixture single-1.0
dkms build single/1.0 -k "$K" -k "$K612"
dkms mkdeb single/1.0 -k "$K" -k "$K612" --binaries-only --archive /root/bin.deb
same "$(dpkg-deb -f /root/bin.deb Architecture)" amd64
dpkg-deb -c /root/bin.deb >/run/list
grep -q '\./usr/share/single-dkms/single-1.0.dkms.tar.gz$' /run/list
! grep -q 'single\.c$' /run/list
#: step the-same-modules-the-same-bytes 0 ours
export SOURCE_DATE_EPOCH=1700000000
dkms mkdeb single/1.0 --all --binaries-only --archive /root/bin1.deb
sha256sum /var/lib/dkms/single/1.0/*/*/module/* >/run/before
dkms build single/1.0 -k "$K" -k "$K612" --force
sha256sum /var/lib/dkms/single/1.0/*/*/module/* >/run/after
dkms mkdeb single/1.0 --all --binaries-only --archive /root/bin2.deb
# Whether make gives the same modules again is not the package's matter; logs and times are, and stay out.
if diff /run/before /run/after; then cmp /root/bin1.deb /root/bin2.deb; fi
#: step built-modules-install-where-there-is-no-compiler 0 ours
dkms remove single/1.0 --all; rm -r /usr/src/single-1.0
mkdir /run/hidden; for c in gcc gcc-12 make cc ld; do p=$(type -P $c) && mv "$p" "/run/hidden/$c"; done
dpkg -i --force-depends /root/bin.deb
same "$(dkms status single/1.0 | grep -c 'built\|installed')" 2
dkms install single/1.0 -k "$K"
same "$(installed single)" updates/dkms/single.ko
dkms verify single
#: step and-go 0 ours
dpkg -r single-dkms
same "$(dkms status)$(installed single)" ''
mv /run/hidden/* /usr/bin/
#: step one-package-per-kernel 0 ours
fixture single-1.0
dkms build single/1.0 -k "$K" -k "$K612"
dkms mkbmdeb single/1.0 --all
for k in "$K" "$K612"; do test -f "/var/lib/dkms/single/1.0/bmdeb/single-modules-${k}_1.0_amd64.deb"; done
#: step its-contents 0 ours
deb="/var/lib/dkms/single/1.0/bmdeb/single-modules-${K}_1.0_amd64.deb"
same "$(dpkg-deb -f "$deb" Depends Conflicts Provides)" "Depends: linux-image-$K, kmod
Conflicts: single-dkms
Provides: single-modules"
dpkg-deb -I "$deb" postinst | sh -n; dpkg-deb -I "$deb" postrm | sh -n
dpkg-deb -c "$deb" >/run/list
grep -q " \./lib/modules/$K/updates/dkms/single.ko$" /run/list
! grep -q 'usr/src\|single\.c$' /run/list
#: step twice-the-same 0 ours
dkms mkbmdeb single/1.0 -k "$K" --archive /root/1.deb; dkms mkbmdeb single/1.0 -k "$K" --archive /root/2.deb
cmp /root/1.deb /root/2.deb
#: step works-without-dkms 0 ours
dkms remove single/1.0 --all
mv /usr/sbin/dkms /run/dkms
dpkg -i --force-depends /root/1.deb
grep -q '^updates/dkms/single.ko:' "/lib/modules/$K/modules.dep"
mv /run/dkms /usr/sbin/dkms
dkms verify "/lib/modules/$K/updates/dkms/single.ko" -k "$K"
#: step and-goes-again 0 ours
dpkg -r "single-modules-$K"
same "$(installed single)" ''
! grep -q single.ko "/lib/modules/$K/modules.dep"
#: step names-become-debians 0 ours
cp -r /e2e/fixtures/single-1.0 /usr/src/My_Mod-v2_1
sed -i 's/"single"/"My_Mod"/; s/"1.0"/"v2_1"/' /usr/src/My_Mod-v2_1/dkms.conf
dkms add My_Mod/v2_1; dkms mkdeb My_Mod/v2_1
test -f /var/lib/dkms/My_Mod/v2_1/deb/my-mod-dkms_2-1_all.deb
dpkg-deb -c /var/lib/dkms/My_Mod/v2_1/deb/my-mod-dkms_2-1_all.deb | grep -q ' \./usr/src/My_Mod-v2_1/dkms.conf$'
#: step or-not 1 ours
cp -r /e2e/fixtures/single-1.0 /usr/src/odd-git
sed -i 's/"single"/"odd"/; s/"1.0"/"git"/' /usr/src/odd-git/dkms.conf
dkms add odd/git
dkms mkdeb odd/git 2>/run/err || { rc=$?; grep -q "'git' cannot be a Debian package's version: it must begin with a digit" /run/err || exit 97; exit $rc; }
#: step one-name-for-two-packages 2 ours
fixture single-1.0; dkms add single/1.0
dkms mkbmdeb single/1.0 -k "$K" -k "$K612" --archive /root/x.deb
#: step shown-before-it-is-done 0 ours
rm -rf /var/lib/dkms/single/1.0/deb
dkms mkdeb single/1.0 --dry-run | grep -q '/var/lib/dkms/single/1.0/deb/single-dkms_1.0_all.deb'
test ! -e /var/lib/dkms/single/1.0/deb
#: step reported-to-programs 0 ours
dkms mkdeb single/1.0 --json | grep -q '"event":"archive-written".*single-dkms_1.0_all.deb'
#: step a-template-of-ones-own 0 ours
type -P dpkg-buildpackage fakeroot >/dev/null || { echo 'skipped: no dpkg-buildpackage or fakeroot here'; exit 0; }
t=/etc/dkms/template-dkms-mkdeb; mkdir -p $t/debian
cat >$t/debian/control <<'P'
Source: DEBIAN_PACKAGE-dkms
Section: misc
Priority: optional
Maintainer: Somebody <somebody@example.org>

Package: DEBIAN_PACKAGE-dkms
Architecture: all
Description: MODULE_NAME MODULE_VERSION after a template
P
printf 'DEBIAN_PACKAGE-dkms (MODULE_VERSION) stable; urgency=low\n\n  * New.\n\n -- Somebody <somebody@example.org>  DATE_STAMP\n' >$t/debian/changelog
printf '%s\n' '#!/usr/bin/make -f' 'p=debian/DEBIAN_PACKAGE-dkms' 'build clean:' 'binary:' \
    '	mkdir -p $p/DEBIAN $p/usr/src; cp -r MODULE_NAME-MODULE_VERSION $p/usr/src/; test -f Makefile' \
    '	dpkg-gencontrol -pDEBIAN_PACKAGE-dkms -P$p; dpkg-deb --build $p ..' >$t/debian/rules
touch $t/Makefile
SOURCE_DATE_EPOCH=1700000000 dkms mkdeb single/1.0
same "$(dpkg-deb -f /var/lib/dkms/single/1.0/deb/single-dkms_1.0_all.deb Maintainer)" 'Somebody <somebody@example.org>'
dpkg-deb -c /var/lib/dkms/single/1.0/deb/single-dkms_1.0_all.deb | grep -q 'usr/src/single-1.0/single.c$'
#: step the-modules-template-goes-first-and-says-why-it-fails 10 ours
cp -r /etc/dkms/template-dkms-mkdeb /usr/src/single-1.0/single-dkms-mkdeb
printf '#!/usr/bin/make -f\nbuild clean binary:\n\t@echo this is why; false\n' >/usr/src/single-1.0/single-dkms-mkdeb/debian/rules
dkms mkdeb single/1.0 >/run/out 2>&1 || { rc=$?; grep -q 'this is why' /run/out || exit 97; exit $rc; }
#: step a-template-needs-debians-tools 10 ours
p=$(type -P dpkg-buildpackage) && mv "$p" /run/dpkg-buildpackage
dkms mkdeb single/1.0 2>/run/err || { rc=$?; grep -q dpkg-dev /run/err || exit 97; exit $rc; }
#: step a-source-package 0 ours
rm -r /etc/dkms/template-dkms-mkdeb /usr/src/single-1.0/single-dkms-mkdeb
mv /run/dpkg-buildpackage /usr/bin/ 2>/run/nothing || true
export SOURCE_DATE_EPOCH=1700000000
dkms mkdsc single/1.0
cd /var/lib/dkms/single/1.0/dsc || exit
cp ./* /run/; dkms mkdsc single/1.0
cmp single-dkms_1.0.dsc /run/single-dkms_1.0.dsc; cmp single-dkms_1.0.tar.xz /run/single-dkms_1.0.tar.xz
#: step dpkg-buildpackage-makes-what-mkdeb-makes 0 ours
type -P dpkg-buildpackage >/dev/null || { echo 'skipped: no dpkg-buildpackage here'; exit 0; }
export SOURCE_DATE_EPOCH=1700000000
cd /root || exit
dpkg-source -x /var/lib/dkms/single/1.0/dsc/single-dkms_1.0.dsc made
(cd made && dpkg-buildpackage -us -uc)
dkms mkdeb single/1.0 --archive /root/by-mkdeb.deb
rm -rf x y; dpkg-deb -R single-dkms_1.0_all.deb x; dpkg-deb -R by-mkdeb.deb y
# dpkg counts the control files with them.
diff <(grep -v ^Installed-Size x/DEBIAN/control | sort) <(grep -v ^Installed-Size y/DEBIAN/control | sort)
rm -r {x,y}/DEBIAN/{control,md5sums} {x,y}/usr/share/doc/single-dkms/changelog.gz
diff -r x y
