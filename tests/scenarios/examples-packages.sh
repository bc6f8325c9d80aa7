# The sample packages in /examples, built with the distributions' own tools and installed with dpkg and rpm.
#: image
#: step dpkg-buildpackage-with-dh-dkms 0 ours
type -P dpkg-buildpackage dh_dkms dh >/run/tools || { echo 'skipped: no dpkg-buildpackage, dh_dkms or debhelper here'; exit 0; }
for version in 1.0 1.1; do
    cp -r /examples/debian-package "/root/hello-module-$version"
    cd "/root/hello-module-$version" || exit 99
    sed -i "1s/(1.0-1)/($version-1)/" debian/changelog
    tar -czf "../hello-module_$version.orig.tar.gz" --exclude debian -C .. "hello-module-$version"
    dpkg-buildpackage -us -uc 2>&1
    ! type -P lintian || lintian --allow-root --fail-on error "../hello-module_$version-1_amd64.changes"
done
dpkg-deb -c /root/hello-dkms_1.0-1_all.deb >/run/list
for file in dkms.conf hello.c Kbuild; do grep -q " \./usr/src/hello-1.0/$file$" /run/list; done
dpkg-deb -x /root/hello-dkms_1.1-1_all.deb /root/x
same "$(dkms lint /root/x/usr/src/hello-1.1)" '/root/x/usr/src/hello-1.1/dkms.conf is clean'
#: step its-scripts-and-our-common.postinst 0 ours
test -s /run/tools || exit 0
# Until here it is Debian's that lies there.
cp /packaging/hooks/common.postinst /usr/lib/dkms/common.postinst
dpkg -i --force-depends /root/hello-dkms_1.0-1_all.deb
same "$(dkms status)" "hello/1.0, $K, $A: installed"
same "$(installed hello)" updates/dkms/hello.ko
#: step upgrade 0 ours
test -s /run/tools || exit 0
dpkg -i --force-depends /root/hello-dkms_1.1-1_all.deb
same "$(dkms status)" "hello/1.1, $K, $A: installed"
test ! -e /usr/src/hello-1.0
#: step the-same-again 0 ours
test -s /run/tools || exit 0
dpkg -i --force-depends /root/hello-dkms_1.1-1_all.deb
same "$(dkms status)" "hello/1.1, $K, $A: installed"
#: step removal 0 ours
test -s /run/tools || exit 0
dpkg -r hello-dkms
same "$(dkms status)$(installed hello)" ''
test ! -e /usr/src/hello-1.1
#: step rpmbuild 0 ours
type -P rpmbuild rpm >/run/rpm-tools || { echo 'skipped: no rpmbuild here'; exit 0; }
mkdir -p /root/rpm/SOURCES /root/hello-1.0
cp /examples/1-smallest/* /root/hello-1.0/
tar -czf /root/rpm/SOURCES/hello-1.0.tar.gz -C /root hello-1.0
cp /examples/rpm-package/hello-dkms.spec /root/hello-dkms.spec
rpmspec -P /root/hello-dkms.spec >/run/spec
grep -q '^cp -a \. .*/usr/src/hello-1.0/$' /run/spec
rpmbuild -bb --nodeps --define '_topdir /root/rpm' /root/hello-dkms.spec 2>&1
sed -i 's/^Release: .*/Release: 2/' /root/hello-dkms.spec
rpmbuild -bb --nodeps --define '_topdir /root/rpm' /root/hello-dkms.spec 2>&1
#: step rpm-installs-it 0 ours
test -s /run/rpm-tools || exit 0
printf 'ID=fedora\nVERSION_ID=41\n' >/etc/os-release
# For the running kernel, which has no headers here: it stays added.
rpm -i --nodeps /root/rpm/RPMS/noarch/hello-dkms-1.0-1.noarch.rpm
test -f /usr/src/hello-1.0/dkms.conf
same "$(dkms status)" 'hello/1.0: added'
#: step an-upgrade-keeps-the-module 0 ours
test -s /run/rpm-tools || exit 0
dkms install hello/1.0 -k "$K"
same "$(installed hello)" extra/hello.ko
rpm -U --nodeps /root/rpm/RPMS/noarch/hello-dkms-1.0-2.noarch.rpm
dkms status hello/1.0 | grep -qx "hello/1.0, $K, $A: installed"
same "$(installed hello)" extra/hello.ko
#: step rpm-removes-it 0 ours
test -s /run/rpm-tools || exit 0
rpm -e --nodeps hello-dkms
same "$(dkms status)$(installed hello)" ''
test ! -e /usr/src/hello-1.0
#: step suse-kmp 0 ours
test -s /run/rpm-tools || exit 0
# SUSE's macros are not to be had here: these stand for them, with one flavour and the real headers.
cat >/root/kmp.macros <<M
%flavors_to_build default
%kernel_source() /lib/modules/$K/build
%kernel_module_package_buildreqs make
%kernel_module_package %{expand:%package kmp-default
Summary: %{summary}
%description kmp-default
%{summary}
%files kmp-default
/lib/modules/$K/updates
}
M
macros=$(rpm --showrc | sed -n 's/^Macro path: //p'):/root/kmp.macros
rpmspec -P --macros="$macros" /examples/suse-kmp/hello-kmp.spec >/run/spec
grep -q "^    make -C /lib/modules/$K/build M=" /run/spec
cd /root || exit 99
cp /examples/suse-kmp/hello-kmp.spec /root/hello-kmp.spec
rpmbuild -bb --nodeps --macros="$macros" --define '_topdir /root/rpm' --define 'debug_package %{nil}' /root/hello-kmp.spec 2>&1
rpm -i --nodeps /root/rpm/RPMS/x86_64/hello-kmp-default-1.0-1.x86_64.rpm
same "$(installed hello)" updates/hello.ko
dkms verify "/lib/modules/$K/updates/hello.ko" -k "$K"
rpm -e --nodeps hello-kmp-default
same "$(installed hello)" ''
