#!/bin/bash
# Inside the private root of rpm::packages, with Debian's rpm: dkms itself as /run/in/dkms.rpm (see
# rpm/package.sh), and the packages of mkrpm, mkkmp and mkdriverdisk, all with rpm's own database,
# scriptlets and order.
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eu
step() { echo "-- $*"; }
not() { ! "$@"; } # a "!" alone never ends the script
rpms=/var/lib/dkms/hasalias/1.0/rpm
# A copy of the module's source under another version.
source_of() { # VERSION
    rm -rf "/usr/src/hasalias-$1"
    cp -r /e2e/rpm/hasalias-1.0 "/usr/src/hasalias-$1"
    sed -i "s/PACKAGE_VERSION=.*/PACKAGE_VERSION=\"$1\"/" "/usr/src/hasalias-$1/dkms.conf"
    sed -i "s/7.1 beta/7.1 beta of $1/" "/usr/src/hasalias-$1/hasalias.c"
}
forget() { # VERSION: as if the package had been made elsewhere
    dkms remove "hasalias/$1" --all >/dev/null
    rm -rf "/usr/src/hasalias-$1"
}
status() { dkms status hasalias; }
# Everything that a package could leave behind, except a few empty directories that dkms keeps.
everything() {
    find /usr/src /usr/share/hasalias /var/lib/dkms /etc/dkms /tmp /var/lib/rpm-state "/lib/modules/$K" \( -name 'modules.*' -o -path '*/.lock*' -o -path '*/.journal*' -o -name .building -o -name .index \) \
        -prune -o -print 2>/dev/null | sort
}
# rpmlint, except for missing signatures, and, in a package of built modules, for modules in a tarball.
lint() { # FILE [FILTER]
    printf 'Filters = ["no-signature", "%s"]\n' "${2:-no-signature}" >/run/lint.toml
    rpmlint -c /run/lint.toml "$1" >/run/lint.out 2>&1 || true
    not grep -E ': E: ' /run/lint.out
    grep -q 'packages and 0 specfiles checked; 0 errors' /run/lint.out
}
# Exactly this version is installed, once.
is_installed() { # VERSION
    same "$(installed hasalias)" updates/dkms/hasalias.ko
    same "$(modinfo -F version "/lib/modules/$K/updates/dkms/hasalias.ko")" "7.1 beta of $1"
    grep -q '^updates/dkms/hasalias.ko:' "/lib/modules/$K/modules.dep"
    status | grep -q "^hasalias/$1, $K, x86_64: installed$"
}

# Debian's rpm needs --force-debian, and a package in its database that represents the rest of the system.
cat >/usr/local/sbin/rpm <<'WRAPPER'
#!/bin/sh
case $1 in -U* | -i* | -e*) exec /usr/bin/rpm "$@" --force-debian ;; esac
exec /usr/bin/rpm "$@"
WRAPPER
chmod +x /usr/local/sbin/rpm
mkdir -p /run/base
printf '%s\n' 'Name: base' 'Version: 1' 'Release: 1' 'Summary: The rest' 'License: MIT' 'BuildArch: noarch' \
    'Provides: /bin/sh' 'Provides: kmod' 'Provides: make' 'Provides: patch' 'Provides: gcc' '%description' '.' '%files' >/run/base/base.spec
rpmbuild --quiet --define '_topdir /run/base' -bb /run/base/base.spec >/run/base/log 2>&1
rpm -i /run/base/RPMS/noarch/*.rpm

step 'dkms itself'
rm /usr/sbin/dkms
code 1 command -v dkms
# --nodeps: Debian's libraries are not in rpm's database.
rpm -i --nodeps /run/in/dkms.rpm
same "$(type -P dkms)" /usr/sbin/dkms
rpm -V --nodeps dkms
same "$(rpm -qc dkms)" /etc/dkms/framework.conf
for file in /usr/lib/dkms/common.postinst /usr/lib/kernel/install.d/40-dkms.install /usr/lib/systemd/system/dkms.service; do
    same "$(rpm -qf "$file")" "$(rpm -q dkms)"
done
echo '# a line of the administrator' >>/etc/dkms/framework.conf
rpm -U --nodeps --force /run/in/dkms.rpm
grep -q '^# a line of the administrator' /etc/dkms/framework.conf
dkms generate_mok # what the first build leaves belongs to the machine

step 'dkms itself, into an empty root'
/usr/bin/rpm --root /run/root -i --nodeps --noscripts /run/in/dkms.rpm
/run/root/usr/sbin/dkms --version
/usr/bin/rpm --root /run/root -V --nodeps --noscripts dkms
/usr/bin/rpm --root /run/root -e --nodeps --noscripts dkms
same "$(find /run/root -ipath '*dkms*')" ''

step 'a package of a source'
everything >/run/before
source_of 1.0
dkms add hasalias/1.0
export SOURCE_DATE_EPOCH=1700000000
dkms mkrpm hasalias/1.0
source=$rpms/hasalias-1.0-1dkms.noarch.rpm
same "$(ls $rpms)" "${source##*/}"
lint "$source"
same "$(rpm -qp --qf '%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{LICENSE} %{BUILDTIME} %{BUILDHOST}' "$source")" \
    'hasalias 1.0 1dkms noarch GPL-2.0-only 1700000000 localhost'
same "$(rpm -qp --qf '[%{FILEUSERNAME}:%{FILEGROUPNAME}\n]' "$source" | sort -u)" root:root
not grep -v ' 1700000000$' <(rpm -qp --qf '[%{FILENAMES} %{FILEMTIMES}\n]' "$source")

step 'the same bytes, also from a younger copy, by another user, elsewhere'
cp -r --no-preserve=timestamps /usr/src/hasalias-1.0 /usr/src/copy
rm -r /usr/src/hasalias-1.0
mv /usr/src/copy /usr/src/hasalias-1.0
chmod g+w /usr/src/hasalias-1.0/*
mkdir -m 777 /run/elsewhere
HOME=/run/elsewhere TMPDIR=/run/elsewhere setpriv --reuid 65534 --regid 65534 --clear-groups dkms mkrpm hasalias/1.0 --archive /run/elsewhere/2.rpm
cmp "$source" /run/elsewhere/2.rpm
same "$(find /run/elsewhere /tmp -mindepth 1)" /run/elsewhere/2.rpm # nothing else is left

step 'without rpmbuild'
mv /usr/bin/rpmbuild /run/rpmbuild
code 10 dkms mkrpm hasalias/1.0 2>/run/err
grep -q 'rpm-build' /run/err
mv /run/rpmbuild /usr/bin/rpmbuild

step 'installed, its scriptlet builds'
cp "$source" /run/1.0.rpm
forget 1.0
everything | diff /run/before -
rpm -i /run/1.0.rpm
is_installed 1.0

step 'upgraded in one transaction'
source_of 1.1
dkms add hasalias/1.1
dkms mkrpm hasalias/1.1 --archive /run/1.1.rpm
forget 1.1
rpm -U /run/1.1.rpm
is_installed 1.1
same "$(status | wc -l)" 1
test ! -e /usr/src/hasalias-1.0

step 'the same version again, in one transaction'
rpm -U --replacepkgs /run/1.1.rpm
is_installed 1.1

step 'back, in one transaction'
rpm -U --oldpackage /run/1.0.rpm
is_installed 1.0
same "$(status | wc -l)" 1

step 'erased'
rpm -e hasalias
same "$(status)" ''
same "$(installed hasalias)" ''
everything | diff /run/before -

step 'the scriptlets in both orders, of one process as of one rpm'
for v in 1.0 1.1; do
    rpm -qp --qf '%{POSTIN}' "/run/$v.rpm" >"/run/post-$v"
    rpm -qp --qf '%{PREUN}' "/run/$v.rpm" >"/run/preun-$v"
done
transaction() { bash -c 'set -e; while (($#)); do sh "$1" "$2"; shift 2; done' rpm "$@"; }
source_of 1.0
source_of 1.1
transaction /run/post-1.0 1
is_installed 1.0
transaction /run/post-1.1 2 /run/preun-1.0 1 # new first
is_installed 1.1
same "$(status | wc -l)" 1
transaction /run/preun-1.1 1 /run/post-1.0 2 # old first
is_installed 1.0
same "$(status | wc -l)" 1
transaction /run/post-1.0 2 /run/preun-1.0 1 # a release of the same version, new first
is_installed 1.0
transaction /run/preun-1.0 1 /run/post-1.0 2 # and old first
is_installed 1.0
transaction /run/preun-1.0 0
same "$(status)" ''
rm -r /usr/src/hasalias-*
everything | diff /run/before -

step 'with built modules'
source_of 1.0
dkms add hasalias/1.0
code 6 dkms mkrpm hasalias/1.0 -k "$K"
dkms build hasalias/1.0 -k "$K"
dkms mkrpm hasalias/1.0
dkms mkrpm hasalias/1.0 --all --archive /run/again.rpm
both=$rpms/hasalias-1.0-1dkms.x86_64.rpm
cmp "$both" /run/again.rpm
lint "$both" no-binary
module=$(find /var/lib/dkms/hasalias/1.0/"$K" -name hasalias.ko)
same "$(rpm -qp --provides "$both" | grep -c '^modalias(.*) = 7.1_beta_of_1.0$')" "$(modinfo -F alias "$module" | wc -l)"
for alias in $(modinfo -F alias "$module" | grep ^pci:); do
    rpm -qp --provides "$both" | grep -qF "modalias($alias) = "
done
rpm -qp --provides "$both" | grep -qxF 'modalias(of:N*T*Cmade?up?device?) = 7.1_beta_of_1.0'
dkms mkrpm hasalias/1.0 --source-only --archive /run/alone.rpm
cmp /run/1.0.rpm /run/alone.rpm

step 'built modules, where there is no compiler'
dkms mkrpm hasalias/1.0 --binaries-only --archive /run/bin.rpm
same "$(rpm -qpl /run/bin.rpm | grep -c 'hasalias\.c$')" 0
cp "$both" /run/both.rpm
forget 1.0
mkdir /run/hidden
for c in gcc gcc-12 make cc ld; do if p=$(type -P $c); then mv "$p" "/run/hidden/$c"; fi; done
for package in bin both; do
    rpm -i "/run/$package.rpm"
    is_installed 1.0
    rpm -e hasalias
    everything | diff /run/before -
done
mv /run/hidden/* /usr/bin/

step 'dkms install, add and ldtarball of a package, where rpm installs packages'
cp /etc/os-release /run/os-release
printf 'ID=fedora\nVERSION_ID=41\n' >/run/fedora
mount --bind /run/fedora "$(realpath /etc/os-release)"
for action in install add ldtarball; do
    dkms $action /run/1.0.rpm -k "$K"
    same "$(installed hasalias)" extra/hasalias.ko
    rpm -q hasalias
    rpm -e hasalias
done
umount "$(realpath /etc/os-release)"
everything | diff /run/before -

step 'and where packages are others'
for action in add ldtarball; do
    dkms $action /run/1.0.rpm -k "$K"
    same "$(status)" 'hasalias/1.0: added'
    code 1 rpm -q hasalias
    forget 1.0
    dkms $action /run/both.rpm -k "$K"
    status | grep -q ': built$'
    forget 1.0
done
dkms install /run/both.rpm -k "$K"
is_installed 1.0
forget 1.0
code 3 dkms ldtarball /run/base/RPMS/noarch/base-1-1.noarch.rpm # no module
head -c 3000 /run/1.0.rpm >/run/cut.rpm
not dkms ldtarball /run/cut.rpm
everything | diff /run/before -

step "the user's own spec file"
cat >/etc/dkms/template-dkms-mkrpm.spec <<'SPEC'
%{?!module_name: %{error: no module_name}}
%{?!version: %{error: no version}}
%{?!kernel_versions: %{error: no kernel_versions}}
Name: %{module_name}-mine
Version: %{version}
Release: 7
Summary: %{kernel_versions} %{mktarball_line}
License: MIT
BuildArch: noarch
%description
.
%prep
if [ "%mktarball_line" != none ]; then
    /usr/sbin/dkms mktarball -m %module_name -v %version %mktarball_line --archive made.tar.gz
    cp %{_dkmsdir}/%{module_name}/%{version}/tarball/made.tar.gz .
fi
%install
mkdir -p %{buildroot}/usr/src %{buildroot}/usr/share/%{module_name}
cp -r %{_sourcedir}/%{module_name}-%{version} %{buildroot}/usr/src
cp %{_sourcedir}/common.postinst %{buildroot}/usr/share/%{module_name}/postinst
[ ! -f made.tar.gz ] || cp made.tar.gz %{buildroot}/usr/share/%{module_name}/
%files
/usr/src
/usr/share/%{module_name}
SPEC
source_of 1.0
dkms add hasalias/1.0
dkms build hasalias/1.0 -k "$K"
dkms mkrpm hasalias/1.0
mine=$rpms/hasalias-mine-1.0-7.noarch.rpm
same "$(rpm -qp --qf '%{SUMMARY}' "$mine")" "$K -k $K -a x86_64 --binaries-only"
rpm -qpl "$mine" | grep -qx /usr/share/hasalias/made.tar.gz
rpm -qp --provides "$mine" | grep -qxF 'modalias(of:N*T*Cmade?up?device?) = 7.1_beta_of_1.0'
dkms mkrpm hasalias/1.0 --archive /run/mine.rpm
cmp "$mine" /run/mine.rpm
sed 's/^Release:.*/Release: 8/' /etc/dkms/template-dkms-mkrpm.spec >/usr/src/hasalias-1.0/hasalias-dkms-mkrpm.spec
dkms mkrpm hasalias/1.0 --source-only
same "$(rpm -qp --qf '%{RELEASE} %{SUMMARY}' $rpms/hasalias-mine-1.0-8.noarch.rpm)" "8 $(uname -r) none"
echo '%{error: this is why}' >>/usr/src/hasalias-1.0/hasalias-dkms-mkrpm.spec
code 10 dkms mkrpm hasalias/1.0 2>/run/err
grep -q 'this is why' /run/err
rm /etc/dkms/template-dkms-mkrpm.spec /usr/src/hasalias-1.0/hasalias-dkms-mkrpm.spec

step 'the source package of a kernel module package'
dkms mkkmp hasalias/1.0
kmp=$rpms/hasalias-1.0-0.src.rpm
same "$(rpm -qpl "$kmp" | sort | tr '\n' ' ')" 'hasalias-1.0.tar.bz2 hasalias.spec '
dkms mkkmp hasalias/1.0 --archive /run/again.src.rpm
cmp "$kmp" /run/again.src.rpm
mkdir /run/kmp
(cd /run/kmp && rpm2cpio "$kmp" | cpio -i --quiet && tar -xf hasalias-1.0.tar.bz2)
diff -r /usr/src/hasalias-1.0 /run/kmp/hasalias-1.0
cmp /usr/src/hasalias-1.0/hasalias-kmp.spec /run/kmp/hasalias.spec
dkms mkkmp hasalias/1.0 -k 6.4.0-1-default -k 6.4.0-1-rt --archive /run/named.src.rpm
rpm -qpi /run/named.src.rpm | grep -q 'asked for: 6.4.0-1-default 6.4.0-1-rt; flavours: default rt\.'
code 5 dkms mkkmp hasalias/1.0 --spec none.spec 2>/run/err
grep -q none.spec /run/err
mv /usr/src/hasalias-1.0/hasalias-kmp.spec /usr/src/hasalias-1.0/other.spec
code 5 dkms mkkmp hasalias/1.0
dkms mkkmp hasalias/1.0 --spec other.spec
fixture patched-1.0
printf '%s\n' 'Name: patched' 'Version: 1.0' 'Release: 0' 'Summary: s' 'License: GPL' 'Source0: %{name}-%{version}.tar.bz2' '%description' '.' >/usr/src/patched-1.0/patched.spec
dkms add patched/1.0
dkms mkkmp patched/1.0 -k "$K" --archive /run/patched.src.rpm
(cd /run/kmp && rpm2cpio /run/patched.src.rpm | cpio -i --quiet && tar -xf patched-1.0.tar.bz2)
not cmp -s /usr/src/patched-1.0/patched.c /run/kmp/patched-1.0/patched.c
dkms remove patched/1.0 --all

step 'a driver disk'
dkms mkdriverdisk hasalias/1.0
disk=/var/lib/dkms/hasalias/1.0/driver_disk/hasalias-1.0-dd.iso
dkms mkdriverdisk hasalias/1.0 -d redhat3 --media iso --archive /run/again.iso
cmp "$disk" /run/again.iso
xorriso -indev "$disk" -pvd_info 2>/dev/null | grep -q "^Volume Id *: OEMDRV *$"
xorriso -osirrox on -indev "$disk" -extract / /run/disk >/dev/null 2>&1
test -f /run/disk/rhdd3
kmod=/run/disk/rpms/x86_64/kmod-hasalias-1.0-1dkms.x86_64.rpm
grep -q "$(sha256sum "$kmod" | cut -d ' ' -f 1)" <(zcat /run/disk/rpms/x86_64/repodata/*-primary.xml.gz)
lint "$kmod"
rpm -qp --provides "$kmod" | grep -qx "kernel-modules >= 6.1.0-${K#6.1.0-}" || rpm -qp --provides "$kmod" | grep -q '^kernel-modules >= 6.1.0-'
same "$(rpm -qpl "$kmod" | grep '\.ko$')" "/lib/modules/$K/extra/hasalias/hasalias.ko"
(cd /run/kmp && rpm2cpio "$kmod" | cpio -id --quiet && dkms verify "lib/modules/$K/extra/hasalias/hasalias.ko" -k "$K")
rpm -i "$kmod"
grep -q '^extra/hasalias/hasalias.ko:' "/lib/modules/$K/modules.dep"
rpm -e kmod-hasalias
not grep hasalias "/lib/modules/$K/modules.dep"
test ! -e "/lib/modules/$K/extra/hasalias"
for old in '-d redhat2' '-d suse -r 9' '-d ubuntu' '-d other' '--media floppy' '--media tar'; do
    # shellcheck disable=SC2086 # two words
    code 2 dkms mkdriverdisk hasalias/1.0 $old 2>/run/err
done
for program in xorriso genisoimage mkisofs; do if p=$(type -P $program); then mv "$p" /run/hidden/; fi; done
code 10 dkms mkdriverdisk hasalias/1.0 2>/run/err
grep -q xorriso /run/err
mv /run/hidden/* /usr/bin/

step "a driver disk, with the user's own spec file"
# shellcheck disable=SC2016 # for the shell of rpmbuild
printf '%s\n' 'Name: kmod-%{module_name}' 'Version: %{version}' 'Release: 9' 'Summary: %{kernel_version}' 'License: GPL' \
    'Source0: %{module_name}-%{version}.tar.bz2' '%description' '.' '%prep' '%setup -q -n %{module_name}-%{version}' \
    '%build' 'make -C /lib/modules/%{kernel_version}/build M=$PWD modules' '%install' 'mkdir -p %{buildroot}/lib/modules/%{kernel_version}/extra' \
    'cp *.ko %{buildroot}/lib/modules/%{kernel_version}/extra' '%files' '/lib/modules' >/etc/dkms/template-dkms-redhat-kmod.spec
dkms mkdriverdisk hasalias/1.0 -k "$K" --archive /run/own.iso
xorriso -osirrox on -indev /run/own.iso -extract / /run/own >/dev/null 2>&1
same "$(rpm -qp --qf '%{SUMMARY}' /run/own/rpms/x86_64/kmod-hasalias-1.0-9.x86_64.rpm)" "$K"
rm /etc/dkms/template-dkms-redhat-kmod.spec
forget 1.0

step 'dkms itself, erased'
rpm -e dkms
test ! -e /usr/sbin/dkms -a ! -e /usr/lib/dkms
grep -q '^# a line of the administrator' /etc/dkms/framework.conf.rpmsave
echo 'rpm: all as it should be'
