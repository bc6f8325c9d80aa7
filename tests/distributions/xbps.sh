#!/bin/bash
# distributions::xbps: dkms, packaged as packaging/void/template says, in the life of a machine with xbps:
# packages of kernels, headers and modules in a local repository. xbps-src is not run: xbps-create makes the
# packages. /bin/sh is dash.
# shellcheck source=/dev/null
. /e2e/distributions/common.sh

repository=/srv/repository
place=kernel/drivers/misc/single.ko
root=/srv/package

# package NAME VERSION OPTION...: a package of the files in $root, in the repository.
package() {
    local name=$1 version=$2
    shift 2
    mkdir -p $root
    (cd $repository && xbps-create --quiet --architecture noarch --pkgver "$name-$version" --desc "$name" --compression none "$@" $root) >/run/out 2>&1
    rm -rf $root
    xbps-rindex --force --add "$repository/$name-$version.noarch.xbps" >/run/out 2>&1
}
# scripts ACTION TRIGGER VARIABLE=VALUE: INSTALL or REMOVE of a package, which runs this trigger.
scripts() {
    local action=$1 trigger=$2 when
    printf '%s\n' '#!/bin/sh' "export ${3%%=*}='${3#*=}'" >"$root/${action^^}"
    for when in pre post; do
        ! "/usr/libexec/xbps-triggers/$trigger" targets | grep -qw "$when-$action" ||
            echo "[ \$1 != $when ] || ./usr/libexec/xbps-triggers/$trigger run $when-$action \"\$2\" \"\$3\" \"\$4\" || exit" >>"$root/${action^^}"
    done
    echo 'exit 0' >>"$root/${action^^}"
    chmod +x "$root/${action^^}"
}
# kernel_packages KERNEL: linux6.1, linux6.1-headers. Their files stay on an upgrade, and only the kernel's
# package runs hooks.
kernel_packages() {
    local modules=$root/usr/lib/modules/$1 action mutable
    mkdir -p "${modules%/*}" "$root/boot"
    cp -r "/srv/$1/modules" "$modules"
    depmod -b "$root/usr" "$1"
    mutable=$(cd $root && find usr/lib/modules -name 'modules.*' ! -name modules.order ! -name modules.builtin ! -name modules.builtin.modinfo -printf '/%p ')
    cp "/srv/$1/vmlinuz" "$root/boot/vmlinuz-$1"
    for action in install remove; do scripts $action kernel-hooks "kernel_hooks_version=$1"; done
    package linux6.1 "$1" --preserve --mutable-files "$mutable"
    mkdir -p "$modules" "$root/usr/src"
    cp -r "/srv/$1/headers" "$root/usr/src/kernel-headers-$1"
    ln -s "../../../src/kernel-headers-$1" "$modules/build"
    package linux6.1-headers "$1" --preserve
}
# module_package VERSION REVISION [LINE]
module_package() {
    local action
    mkdir -p $root/usr/src
    cp -r "$(source_of "$1" "${@:3}")" "$root/usr/src/single-$1"
    for action in install remove; do scripts $action dkms "dkms_modules=single $1"; done
    package single-dkms "$1_$2" --dependencies 'dkms>=4.0'
}
xb() { local program=$1; shift; "xbps-$program" "$@" >/run/out 2>&1; }
add() { xb install -iR $repository -y "$@"; }
# Like vkpurge for a kernel that was upgraded: runs the hooks before, deletes its files, runs the hooks after.
purge() {
    local hook
    cd /
    for hook in etc/kernel.d/pre-remove/*; do "$hook" linux "$1"; done >/run/out 2>&1
    rm -rf "/usr/lib/modules/$1" "/usr/src/kernel-headers-$1" "/boot/"*"-$1"
    for hook in etc/kernel.d/post-remove/*; do [ ! -x "$hook" ] || "$hook" linux "$1"; done >>/run/out 2>&1
}

step 'a machine with xbps, without kernels'
take_kernels
name_kernels 6.1.47_1 6.1.56_1
export XBPS_TARGET_MACHINE=x86_64 # for the template
mkdir -p $repository
printf '%s\n' 'ID="void"' >/etc/os-release
# The triggers are Void's if the machine has them; otherwise, these make the same calls.
mkdir -p /usr/libexec/xbps-triggers
if [[ -x /usr/local/libexec/xbps-triggers/dkms ]]; then
    echo 'with the triggers of Void'
    cp /usr/local/libexec/xbps-triggers/{dkms,kernel-hooks} /usr/libexec/xbps-triggers/
else
    cat >/usr/libexec/xbps-triggers/kernel-hooks <<'S'
#!/bin/sh
# run|targets WHEN PACKAGE VERSION UPDATE, in the root directory
[ "$1" = run ] || { echo pre-install post-install pre-remove post-remove; exit; }
if [ "$2/$5" = pre-remove/yes ]; then exit; fi
for hook in "etc/kernel.d/$2"/*; do
    if [ -x "$hook" ]; then ROOTDIR=. "$hook" "$3" "${kernel_hooks_version:-$4}"; fi
done
exit 0
S
    cat >/usr/libexec/xbps-triggers/dkms <<'S'
#!/bin/sh
[ "$1" = run ] || { echo post-install pre-remove; exit; }
# shellcheck disable=SC2086 # NAME VERSION
set -- "$2" $dkms_modules
if [ "$1" = pre-remove ]; then
    usr/bin/dkms status -m "$2" | while IFS=' ,:/' read -r name version kernel architecture state rest; do
        case $state in
        '') usr/bin/dkms remove -m "$name" -v "$version" ;;
        installed | built) usr/bin/dkms remove -m "$name" -v "$version" -k "$kernel" ;;
        esac >/dev/null 2>&1
    done
    exit 0
fi
usr/bin/dkms add -m "$2" -v "$3" >/dev/null 2>&1
case $? in 0 | 3) ;; *) exit 1 ;; esac
for dir in lib/modules/*; do
    [ -e "$dir/build/include" ] || continue
    usr/bin/dkms build -j 2 -q -m "$2" -v "$3" -k "${dir##*/}" >/dev/null 2>&1 || { echo "$2/$3 failed to build"; continue; }
    usr/bin/dkms install --force -j 2 -q -m "$2" -v "$3" -k "${dir##*/}" >/dev/null 2>&1 || echo "$2/$3 failed to install"
done
exit 0
S
    chmod +x /usr/libexec/xbps-triggers/*
fi
mkdir -p $root/etc/kernel.d/post-install
printf '%s\n' '#!/bin/sh' 'exec record-initramfs "$2"' >$root/etc/kernel.d/post-install/20-initramfs
chmod +x $root/etc/kernel.d/post-install/20-initramfs
package dracut 1_1
package xbps-triggers 0.130_1
provides=$(. /packaging/void/template && for name in $depends linux-headers; do case $name in xbps-*) ;; *) printf '%s-9_1 ' "${name%%[<>=]*}" ;; esac; done)
package base 1_1 --provides "$provides"
add base dracut

step 'dkms, from the template'
rm /usr/sbin/dkms
tar -C /srv -xf /run/in/dkms-*.tar.gz
(
    cd /srv/dkms-* || exit
    RUST_TARGET=native
    mkdir -p target/$RUST_TARGET/release
    cp /run/in/dkms target/$RUST_TARGET/release/dkms
    # shellcheck disable=SC2034 # for the template
    DESTDIR=$root
    . packaging/void/template
    do_install >/run/out 2>&1
    printf '%s\n' "${version}_$revision" "$depends" "$conf_files" >/run/recipe
)
{ read -r version; read -r depends; read -r settings; } </run/recipe
[[ " $depends " == *' linux-headers '* ]]
package dkms "$version" --dependencies "$(for name in $depends; do case $name in *[\<\>=]*) echo "$name" ;; *) echo "$name>=0" ;; esac; done)" --config-files "$settings"
add dkms
hash -r
same "$(xbps-query -o /usr/bin/dkms | cut -d: -f1)" "dkms-$version"
xb pkgdb -a

step 'a module before any kernel'
kernel_packages "$OLD"
module_package 1.0 1
add single-dkms
status_is 'single/1.0: added'

step 'a kernel without headers: the hint names the package'
add linux6.1
status_is 'single/1.0: added'
grep -q 'linux6.1-headers' /run/out

step 'its headers arrive: no hook runs for them, and a reconfiguration of the kernel builds'
add linux6.1-headers
status_is 'single/1.0: added'
events >/dev/null
xb reconfigure -f linux6.1
status_is "single/1.0, $OLD: installed"
is_installed 1.0 "$OLD" $place
same "$(in_order)" "initramfs $OLD 1"

step 'the next kernel and its headers in one transaction; the old one stays until it is purged'
kernel_packages "$NEW"
add -u
status_is "single/1.0, $NEW: installed" "single/1.0, $OLD: installed"
is_installed 1.0 "$NEW" $place
is_installed 1.0 "$OLD" $place
same "$(in_order)" "initramfs $NEW 1"
purge "$OLD"
status_is "single/1.0, $NEW: installed"
not test -e "/usr/lib/modules/$OLD"

step 'the module is upgraded, and the same version again with other sources'
module_package 1.1 1
add -u
status_is "single/1.1, $NEW: installed"
is_installed 1.1 "$NEW" $place
before=$(modinfo -F srcversion "/lib/modules/$NEW/$place")
rm -r /srv/source/single-1.1
module_package 1.1 2 'MODULE_INFO(second, "release");'
add -u
is_installed 1.1 "$NEW" $place
not test "$before" = "$(modinfo -F srcversion "/lib/modules/$NEW/$place")"

step 'downgraded: the older package is given by name'
rm -r /srv/source/single-1.0
module_package 1.0 1
add -f single-dkms-1.0_1
status_is "single/1.0, $NEW: installed"
is_installed 1.0 "$NEW" $place

step 'a module that does not build: xbps completes; the fixed one installs'
module_package 1.2 1 'error here'
add -u
grep -q 'failed to build' /run/out
status_is 'single/1.2: added'
xb pkgdb -a
module_package 1.3 1
add -u
status_is "single/1.3, $NEW: installed"

step 'a module without AUTOINSTALL is built for the next kernel as well'
sed -i '/AUTOINSTALL/d' "$(source_of 1.4)/dkms.conf"
module_package 1.4 1
add -u
is_installed 1.4 "$NEW" $place
dkms uninstall single/1.4 -k "$NEW" >/run/out
xb reconfigure -f linux6.1
is_installed 1.4 "$NEW" $place

step 'Ctrl-C while it builds: nothing keeps running, and a repetition completes it'
waiting_source 1.5
module_package 1.5 1
interrupt '^sleep 61$' xbps-install -iR $repository -yu || true
same "$(installed single "$NEW")" ''
rm /etc/dkms/single-1.5.conf
xb reconfigure -f single-dkms
add -u
is_installed 1.5 "$NEW" $place

step 'headers and module are removed'
xb remove -y linux6.1-headers
is_installed 1.5 "$NEW" $place
xb remove -y single-dkms
nothing_is_registered
same "$(installed single "$NEW")" ''
add linux6.1-headers single-dkms
is_installed 1.5 "$NEW" $place

step 'the kernel is removed: its modules are, and its files stay until they are purged'
xb remove -y linux6.1-headers linux6.1
status_is 'single/1.5: added'
same "$(installed single "$NEW")" ''
not grep -q '/single.ko' "/lib/modules/$NEW/modules.dep"
purge "$NEW"
not test -e "/usr/lib/modules/$NEW"

step 'dkms itself is removed'
xb remove -y single-dkms dkms
not test -e /usr/bin/dkms
same "$(find /usr/lib/dkms /etc/kernel.d -name '*dkms*' 2>/dev/null)" ''
same "$(find /var/lib/dkms -mindepth 1 ! -name '.*' ! -path '*/.*' ! -name 'mok.*' 2>/dev/null)" ''
echo 'xbps: all as it should be'
