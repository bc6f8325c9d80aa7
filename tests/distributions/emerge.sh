#!/bin/bash
# distributions::emerge: dkms, packaged by its ebuild, in the life of a machine with portage: ebuilds of
# kernels and modules in a local repository. The kernels are binary, as sys-kernel/gentoo-kernel-bin: image,
# modules and headers are one package.
# shellcheck source=/dev/null
. /e2e/distributions/common.sh

repository=/var/db/repos/local
place=kernel/drivers/misc/single.ko
installkernel=/usr/local/share/installkernel-gentoo
eclasses=/usr/local/share/gentoo-eclass

# ebuild_of CATEGORY/NAME-VERSION: writes an ebuild from standard input.
ebuild_of() {
    local dir=$repository/${1%%-[0-9]*}
    mkdir -p "$dir"
    { printf '%s\n' 'EAPI=8' 'DESCRIPTION="test"' 'HOMEPAGE="https://example.org"' 'LICENSE="GPL-2"' 'KEYWORDS="amd64"' 'S="${WORKDIR}"'; cat; } >"$dir/${1#*/}.ebuild"
}
# kernel_ebuild VERSION: its modules, headers and image are one package, in a separate slot.
kernel_ebuild() {
    ebuild_of "sys-kernel/gentoo-kernel-bin-$1" <<'E'
SLOT="${PV}"
K="${PV}-gentoo-dist"
src_install() {
    mkdir -p "${ED}/lib/modules" "${ED}/usr/src" || die
    cp -r "/srv/${K}/modules" "${ED}/lib/modules/${K}" || die
    cp -r "/srv/${K}/headers" "${ED}/usr/src/linux-${K}" || die
    mkdir -p "${ED}/usr/src/linux-${K}/arch/x86/boot" || die
    cp "/srv/${K}/vmlinuz" "${ED}/usr/src/linux-${K}/arch/x86/boot/bzImage" || die
    touch "${ED}/usr/src/linux-${K}/System.map" || die
    ln -s "/usr/src/linux-${K}" "${ED}/lib/modules/${K}/build" || die
}
pkg_postinst() {
    depmod "${K}" || die
    ln -sfn "linux-${K}" /usr/src/linux || die
    local from="/usr/src/linux-${K}"
    ARCH=x86 installkernel "${K}" "${from}/arch/x86/boot/bzImage" "${from}/System.map" /boot --verbose || die "installkernel failed"
}
E
}
# module_ebuild VERSION[-rREVISION] [LINE]
module_ebuild() {
    local version=${1%-r*}
    source_of "$version" "${@:2}" >/dev/null
    ebuild_of "sys-kernel/single-$1" <<'E'
inherit dkms linux-mod-r1
SLOT="0"
IUSE="+dkms"
src_unpack() { cp -r "/srv/source/single-${PV}/." "${S}" || die; }
src_compile() { dkms_gentoofy_conf; }
src_install() { dkms_dopackage; }
pkg_postinst() { dkms_pkg_postinst; }
E
}
em() { emerge --quiet --oneshot --color=n "$@" >/run/out 2>&1 </dev/null; }

step 'a machine with portage, without kernels'
take_kernels
name_kernels 6.1.47-gentoo-dist 6.1.56-gentoo-dist
for kernel in "$OLD" "$NEW"; do
    complete_headers "$kernel"
    version=${kernel%%-*}
    # The eclass linux-info reads these lines in the Makefile and in the files that it includes.
    sed -i "1i VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = ${version##*.}" "/srv/$kernel/headers/Makefile"
    sed -i "s/^SUBLEVEL = .*/SUBLEVEL = ${version##*.}/" "/srv/$kernel/headers/common/Makefile"
done
printf '%s\n' 'NAME=Gentoo' 'ID=gentoo' >/etc/os-release
echo 'portage:x:250:' >>/etc/group
echo 'portage:x:250:250:portage:/var/tmp/portage:/bin/false' >>/etc/passwd
# The names that portage's helpers use.
ln -s /usr/bin/python3 /usr/local/bin/python
ln -s /usr/bin/tar /usr/local/bin/gtar
mkdir -p $repository/{metadata,eclass,profiles/default} /etc/portage/profile /var/cache/distfiles
printf '%s\n' 'masters =' 'thin-manifests = true' 'cache-formats = md5-dict' >$repository/metadata/layout.conf
echo local >$repository/profiles/repo_name
echo amd64 >$repository/profiles/arch.list
echo sys-kernel >$repository/profiles/categories
echo 8 >$repository/profiles/default/eapi
echo 'amd64 default dev' >$repository/profiles/profiles.desc
cat >$repository/profiles/default/make.defaults <<'E'
ARCH="amd64"
ACCEPT_KEYWORDS="amd64 ~amd64"
CHOST="x86_64-pc-linux-gnu"
IUSE_IMPLICIT="kernel_linux elibc_glibc amd64"
USE="kernel_linux elibc_glibc amd64"
E
# Instead of repos.conf, which would be added to Gentoo's.
export PORTAGE_REPOSITORIES="[DEFAULT]
main-repo = local
[local]
location = $repository"
ln -s $repository/profiles/default /etc/portage/make.profile
cat >/etc/portage/make.conf <<'E'
DISTDIR="/var/cache/distfiles"
ACCEPT_LICENSE="*"
MAKEOPTS="-j2"
FEATURES="-sandbox -usersandbox -network-sandbox -ipc-sandbox -pid-sandbox -mount-sandbox -userpriv -userfetch -news -merge-wait"
EMERGE_DEFAULT_OPTS="--ignore-built-slot-operator-deps=y"
E
# Dependencies of the ebuild that Debian provides.
printf '%s\n' app-shells/bash-5.2 dev-build/make-4.4 sys-apps/kmod-33 sys-devel/patch-2.7.6 virtual/linux-sources-3 \
    dev-lang/rust-bin-1.85.0 sys-kernel/installkernel-65 >/etc/portage/profile/package.provided

# The eclasses are Gentoo's if the machine has them; otherwise, these do the same with dkms.
cat >$repository/eclass/linux-info.eclass <<'E'
linux-info_pkg_setup() {
    KV_DIR=$(readlink -f /usr/src/linux) KV_OUT_DIR=${KV_DIR}
    KV_FULL=$(cat "${KV_DIR}/include/config/kernel.release" 2>/dev/null)
}
EXPORT_FUNCTIONS pkg_setup
E
cat >$repository/eclass/optfeature.eclass <<'E'
optfeature() { has_version "$2" || elog "$2 for $1"; }
E
cat >$repository/eclass/linux-mod-r1.eclass <<'E'
inherit linux-info
IUSE="strip"
linux-mod-r1_pkg_setup() {
    linux-info_pkg_setup
    MODULES_MAKEARGS=( ARCH=x86 V=1 )
}
linux-mod-r1_pkg_postinst() { :; }
declare -F tc-arch-kernel >/dev/null || tc-arch-kernel() { echo x86; }
EXPORT_FUNCTIONS pkg_setup
E
cat >$repository/eclass/dkms.eclass <<'E'
inherit linux-mod-r1
IUSE="dkms"
RDEPEND="dkms? ( sys-kernel/dkms )"
dkms_gentoofy_conf() { sed -i "/^MAKE/ s:make :make ${MAKEOPTS} ARCH='x86' V='1' :" dkms.conf || die; }
dkms_dopackage() {
    mkdir -p "${ED}/usr/src" || die
    cp -r . "${ED}/usr/src/${PN}-${PV}" || die
}
dkms_pkg_postinst() {
    local ARCH=x86
    dkms add -m "${PN}" -v "${PV}" || die "failed to register"
    dkms build -m "${PN}" -v "${PV}" -k "${KV_FULL}" --force || die "failed to build"
    dkms install -m "${PN}" -v "${PV}" -k "${KV_FULL}" --force || die "failed to install"
}
dkms_pkg_prerm() {
    local ARCH=x86 action
    for action in uninstall unbuild remove; do
        dkms "${action}" -m "${PN}" -v "${PV}" --all || ewarn "failed to ${action}"
    done
}
EXPORT_FUNCTIONS pkg_postinst pkg_prerm
E
if [[ -d $eclasses ]]; then
    echo "with eclasses of Gentoo: $(ls $eclasses)"
    cp $eclasses/*.eclass $repository/eclass/
fi
# installkernel is Gentoo's, too. Without it, its order of plugins.
if [[ -x $installkernel/installkernel ]]; then
    echo "with Gentoo's installkernel"
    cp $installkernel/installkernel /usr/sbin/installkernel
else
    cat >/usr/sbin/installkernel <<'S'
#!/bin/sh
for plugin in /usr/lib/kernel/preinst.d/*; do "$plugin" "$1" "$2" || exit; done
cp "$2" "$4/vmlinuz-$1"
S
    chmod +x /usr/sbin/installkernel
fi
mkdir -p /usr/lib/kernel/preinst.d
printf '%s\n' layout=compat initrd_generator=none uki_generator=none >/usr/lib/kernel/install.conf
printf '%s\n' '#!/bin/sh' 'exec record-initramfs "$1"' >/usr/lib/kernel/preinst.d/52-dracut.install
chmod +x /usr/lib/kernel/preinst.d/52-dracut.install

step 'dkms, from its ebuild: every phase'
rm /usr/sbin/dkms
mkdir -p $repository/sys-kernel/dkms
cp /packaging/gentoo/dkms-*.ebuild $repository/sys-kernel/dkms/
recipe=$(echo $repository/sys-kernel/dkms/dkms-*.ebuild)
cp /run/in/dkms-*.tar.gz /var/cache/distfiles/
# A stand-in for cargo installs the program under test.
cat >/usr/local/bin/cargo <<'S'
#!/bin/sh
[ "$*" = 'build --release --locked --offline -p dkms' ] || exit 1
mkdir -p target/release
exec cp /run/in/dkms target/release/dkms
S
chmod +x /usr/local/bin/cargo
ebuild "$recipe" manifest >/run/out 2>&1
em sys-kernel/dkms
not grep -i 'QA Notice' /run/out
hash -r
grep -q '^obj /usr/sbin/dkms ' /var/db/pkg/sys-kernel/dkms-*/CONTENTS
dkms --version >/run/out

step 'a kernel; then a module, for it'
kernel_ebuild "${OLD%%-*}"
em sys-kernel/gentoo-kernel-bin
nothing_is_registered
events >/dev/null
module_ebuild 1.0
em sys-kernel/single
status_is "single/1.0, $OLD: installed"
is_installed 1.0 "$OLD" $place

step 'the next kernel: installkernel builds before it makes the initramfs; the old kernel stays'
kernel_ebuild "${NEW%%-*}"
em sys-kernel/gentoo-kernel-bin
status_is "single/1.0, $NEW: installed" "single/1.0, $OLD: installed"
is_installed 1.0 "$NEW" $place
is_installed 1.0 "$OLD" $place
same "$(in_order)" "initramfs $NEW 1"
test -e "/boot/vmlinuz-$NEW" -o -e "/boot/kernel-$NEW"

step 'the module is upgraded: for the chosen kernel, as the eclass says'
module_ebuild 1.1
em sys-kernel/single
status_is "single/1.1, $NEW: installed"
is_installed 1.1 "$NEW" $place
same "$(installed single "$OLD")" ''

step 'the same version again with other sources'
before=$(modinfo -F srcversion "/lib/modules/$NEW/$place")
rm -r /srv/source/single-1.1
module_ebuild 1.1-r1 'MODULE_INFO(second, "revision");'
em sys-kernel/single
is_installed 1.1 "$NEW" $place
not test "$before" = "$(modinfo -F srcversion "/lib/modules/$NEW/$place")"

step 'downgraded'
em '=sys-kernel/single-1.0'
status_is "single/1.0, $NEW: installed"
is_installed 1.0 "$NEW" $place

step 'a module that does not build: emerge fails; the fixed one installs'
module_ebuild 1.2 'error here'
not em sys-kernel/single
status_is 'single/1.2: added'
module_ebuild 1.3
em sys-kernel/single
status_is "single/1.3, $NEW: installed"

step 'Ctrl-C while it builds: nothing keeps running, and a repetition completes it'
waiting_source 1.4
module_ebuild 1.4
interrupt '^sleep 61$' emerge --quiet --oneshot sys-kernel/single
same "$(installed single "$NEW")" ''
rm /etc/dkms/single-1.4.conf
em sys-kernel/single
status_is "single/1.4, $NEW: installed"
is_installed 1.4 "$NEW" $place

step 'a kernel whose sources are away: the plugin names what is missing, and the kernel is installed'
mv "/usr/src/linux-$OLD" /srv/away
installkernel "$OLD" "/srv/$OLD/vmlinuz" /srv/away/System.map /boot >/run/out 2>&1
grep -q 'headers are not installed' /run/out
mv /srv/away "/usr/src/linux-$OLD"

step 'the old kernel is unmerged, and the module'
em --unmerge "=sys-kernel/gentoo-kernel-bin-${OLD%%-*}"
status_is "single/1.4, $NEW: installed"
em --unmerge sys-kernel/single
nothing_is_registered
same "$(installed single "$NEW")" ''
not grep -q single.ko "/lib/modules/$NEW/modules.dep"

step 'dkms itself is unmerged'
em --unmerge sys-kernel/dkms
not test -e /usr/sbin/dkms
same "$(find /usr/lib/dkms /usr/lib/kernel /etc/kernel -type f -name '*dkms*' 2>/dev/null)" ''
same "$(find /var/lib/dkms -mindepth 1 ! -name '.*' ! -path '*/.*' ! -name 'mok.*' 2>/dev/null)" ''
echo 'emerge: all as it should be'
