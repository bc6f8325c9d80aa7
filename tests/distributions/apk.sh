#!/bin/bash
# distributions::apk: dkms, packaged as packaging/alpine/APKBUILD says, in the life of a machine with apk 3:
# packages of kernels, headers and modules in a local repository. abuild is not run: apk mkpkg makes the
# packages. /bin/sh is busybox's.
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
    apk mkpkg --info "name:$name" --info "version:$version" --info arch:noarch --info "description:$name" "$@" \
        --files $root --output "$repository/$name-$version.apk"
    rm -rf $root
    apk mkndx --allow-untrusted --output $repository/Packages.adb $repository/*.apk >/dev/null
}
# kernel_packages VERSION KERNEL: linux-amd64 and linux-amd64-dev. Their files are where Alpine's have them.
kernel_packages() {
    local modules=$root/usr/lib/modules/$2
    mkdir -p "${modules%/*}" "$root/usr/share/kernel/${2#*-*-}" "$root/boot"
    cp -r "/srv/$2/modules" "$modules"
    depmod -b "$root/usr" "$2"
    cp "/srv/$2/vmlinuz" "$root/boot/vmlinuz-amd64"
    echo "$2" >"$root/usr/share/kernel/${2#*-*-}/kernel.release"
    package linux-amd64 "$1"
    mkdir -p "$modules" "$root/usr/src"
    cp -r "/srv/$2/headers" "$root/usr/src/linux-headers-$2"
    ln -s "/usr/src/linux-headers-$2" "$modules/build"
    package linux-amd64-dev "$1"
}
# module_package VERSION RELEASE [LINE], with the scripts of docs/distributions.md.
module_package() {
    mkdir -p $root/usr/src
    cp -r "$(source_of "$1" "${@:3}")" "$root/usr/src/single-$1"
    for script in pre-upgrade pre-deinstall; do
        sed -n "/^\`\`\`sh $script\$/,/^\`\`\`\$/p" /docs/distributions.md | sed '1d;$d; s/NAME/single/g' >/run/single-dkms.$script
    done
    package single-dkms "$1-r$2" --info depends:dkms --script pre-upgrade:/run/single-dkms.pre-upgrade \
        --script pre-deinstall:/run/single-dkms.pre-deinstall
}
ap() { apk --allow-untrusted --no-network --repository $repository/Packages.adb "$@" >/run/out 2>&1; }

step 'a machine with apk, without kernels'
take_kernels
mkdir -p $repository
printf '%s\n' 'ID=alpine' 'VERSION_ID=3.23.0' >/etc/os-release
mount --bind "$(type -P busybox)" /bin/sh
# kmod's trigger runs depmod.
printf '%s\n' '#!/bin/sh' 'for dir in "$@"; do [ ! -d "$dir/kernel" ] || depmod "${dir##*/}"; done' >/run/kmod.trigger
package base 1-r0 --script trigger:/run/kmod.trigger --trigger '/usr/lib/modules/*' --info 'provides:bash=1 build-base=1 elfutils-dev=1 kmod=1 patch=1'
# Like the package kernel-hooks: for each kernel whose modules changed, it calls the hooks as FLAVOR NEW OLD.
cat >/run/kernel-hooks.trigger <<'S'
#!/bin/sh
for path in "$@"; do
    kernel=${path##*/} flavor=${path#*-} new='' old=''
    flavor=${kernel#*-} flavor=${flavor#*-} version=${kernel%-$flavor}
    if [ "$(cat "/usr/share/kernel/$flavor/kernel.release" 2>/dev/null)" = "$kernel" ]; then new=$version; else old=$version; fi
    for hook in /etc/kernel-hooks.d/*; do "$hook" "$flavor" "$new" "$old" || echo "hook $hook failed: $?"; done
done
S
package kernel-hooks 1-r0 --script trigger:/run/kernel-hooks.trigger --trigger '/usr/lib/modules/*'
apk --initdb --root / --allow-untrusted --no-network --repository $repository/Packages.adb add base >/run/out 2>&1

step 'dkms, from APKBUILD'
rm /usr/sbin/dkms
tar -C /srv -xf /run/in/dkms-*.tar.gz
(
    cd /srv/dkms-* || exit
    mkdir -p target/release
    cp /run/in/dkms target/release/dkms
    # shellcheck disable=SC2030,SC2034 # for APKBUILD
    pkgdir=$root
    . packaging/alpine/APKBUILD
    package >/run/out 2>&1
    printf '%s\n' "$pkgver-r$pkgrel" "$depends" "${triggers#*=}" >/run/recipe
)
{ read -r version; read -r depends; read -r trigger; } </run/recipe
same "$(cd /srv/dkms-*/packaging/alpine && ls -- *.trigger)" dkms.trigger
package dkms "$version" --info "depends:$depends" --script trigger:/packaging/alpine/dkms.trigger --trigger "$trigger"
ap add dkms
same "$(apk info --quiet --who-owns /usr/sbin/dkms)" dkms
ap audit --packages --system
not grep dkms /run/out

step 'a module before any kernel'
kernel_packages 6.1.47-r0 "$OLD"
module_package 1.0 0
ap add single-dkms
status_is 'single/1.0: added'
grep -q 'no installed kernel has headers' /run/out

step 'a kernel without headers: the hint names the package'
ap add linux-amd64
status_is 'single/1.0: added'
grep -q 'linux-amd64-dev' /run/out

step 'its headers arrive: built, in the index'
ap add linux-amd64-dev
status_is "single/1.0, $OLD: installed"
is_installed 1.0 "$OLD" $place

step 'the next kernel and its headers in one transaction; the old one leaves nothing'
kernel_packages 6.1.56-r0 "$NEW"
ap upgrade
status_is "single/1.0, $NEW: installed"
is_installed 1.0 "$NEW" $place
not test -e "/usr/lib/modules/$OLD"

step 'the module is upgraded, and the same version again with other sources'
module_package 1.1 0
ap upgrade
status_is "single/1.1, $NEW: installed"
is_installed 1.1 "$NEW" $place
before=$(modinfo -F srcversion "/lib/modules/$NEW/$place")
rm -r /srv/source/single-1.1
module_package 1.1 1 'MODULE_INFO(second, "release");'
ap upgrade
is_installed 1.1 "$NEW" $place
not test "$before" = "$(modinfo -F srcversion "/lib/modules/$NEW/$place")"

step 'downgraded'
ap add single-dkms=1.0-r0
status_is "single/1.0, $NEW: installed"
is_installed 1.0 "$NEW" $place
ap add single-dkms
ap upgrade
status_is "single/1.1, $NEW: installed"

step 'a module that does not build: apk completes, and marks nothing as broken; the fixed one installs'
module_package 1.2 0 'error here'
ap upgrade
grep -q 'single/1.2 .*make ended with exit code 2' /run/out
status_is 'single/1.2: added'
ap audit --packages
module_package 1.3 0
ap upgrade
status_is "single/1.3, $NEW: installed"

step 'Ctrl-C while it builds: nothing keeps running, and a repetition completes it'
printf '#!/bin/sh\nexec sleep 61\n' >"$(source_of 1.4)/wait.sh"
chmod +x /srv/source/single-1.4/wait.sh
module_package 1.4 0
echo 'PRE_BUILD="wait.sh"' >/etc/dkms/single-1.4.conf
interrupt '^sleep 61$' apk --allow-untrusted --no-network --repository $repository/Packages.adb upgrade
status_is 'single/1.4: added'
same "$(installed single "$NEW")" ''
rm /etc/dkms/single-1.4.conf
ap upgrade
is_installed 1.4 "$NEW" $place

step 'headers and module are removed'
ap del linux-amd64-dev
is_installed 1.4 "$NEW" $place
ap del single-dkms
nothing_is_registered
same "$(installed single "$NEW")" ''
ap add dkms linux-amd64-dev single-dkms
is_installed 1.4 "$NEW" $place

step 'the kernel is removed'
ap del linux-amd64 linux-amd64-dev
status_is 'single/1.4: added'
not test -e "/usr/lib/modules/$NEW"

step 'dkms itself is removed'
ap del single-dkms dkms
not test -e /usr/sbin/dkms
same "$(find /usr/lib/dkms /usr/share/kernel-hooks.d /etc/kernel-hooks.d -name '*dkms*' 2>/dev/null)" ''
same "$(find /var/lib/dkms -mindepth 1 ! -name '.*' ! -path '*/.*' ! -name 'mok.*')" ''
echo 'apk: all as it should be'
