#!/bin/bash
# distributions::pacman: dkms, made by makepkg from packaging/arch, in the life of a machine with pacman:
# packages of kernels, headers and modules in a local repository.
# shellcheck source=/dev/null
. /e2e/distributions/common.sh

repository=/srv/repository
place=updates/dkms/single.ko

# package NAME VERSION FOLDER [DEPENDENCY...]: a package of the files in the folder, in the repository.
package() {
    local name=$1 version=$2 folder=$3 file=$repository/$1-$2-any.pkg.tar word
    shift 3
    {
        printf '%s\n' "pkgname = $name" "pkgbase = $name" "pkgver = $version" "pkgdesc = $name" 'arch = any' "size = 1" 'builddate = 1700000000'
        for word in "$@"; do printf '%s\n' "${word/=/ = }"; done
    } >"$folder/.PKGINFO"
    (cd "$folder" && tar --owner=0 --group=0 -cf "$file" .PKGINFO --null -T <(find . -mindepth 1 -maxdepth 1 ! -name .PKGINFO -printf '%P\0'))
    rm -r "$folder"
    repo-add -q "$repository/test.db.tar" "$file"
}
# kernel_packages NAME VERSION KERNEL: the packages NAME and NAME-headers.
kernel_packages() {
    local root=/srv/package modules=/srv/package/usr/lib/modules/$3
    mkdir -p "${modules%/*}"
    cp -r "/srv/$3/modules" "$modules"
    cp "/srv/$3/vmlinuz" "$modules/"
    echo "$1" >"$modules/pkgbase"
    package "$1" "$2" $root
    mkdir -p "$modules"
    cp -r "/srv/$3/headers" "$modules/build"
    package "$1-headers" "$2" $root
}
# module_package VERSION RELEASE [LINE]
module_package() {
    mkdir -p /srv/package/usr/src
    cp -r "$(source_of "$1" "${@:3}")" "/srv/package/usr/src/single-$1"
    package single-dkms "$1-$2" /srv/package depend=dkms
}
pac() { pacman --noconfirm --noprogressbar "$@" >/run/out 2>&1; }

step 'a machine with pacman, without kernels'
take_kernels
mkdir -p $repository /etc/pacman.d /var/lib/pacman
printf '%s\n' 'ID=arch' 'NAME="Arch Linux"' >/etc/os-release
printf '%s\n' '[options]' 'Architecture = x86_64' 'SigLevel = Never' '[test]' "Server = file://$repository" >/etc/pacman.conf
# The hooks of kmod and mkinitcpio, which run before and after those of dkms.
mkdir -p /usr/share/libalpm/hooks
hook() { # NAME DESCRIPTION TARGET SCRIPT
    printf '%s\n' '[Trigger]' 'Type = Path' 'Operation = Install' 'Operation = Upgrade' 'Operation = Remove' "Target = $3" '[Action]' \
        "Description = $2" 'When = PostTransaction' "Exec = $4" 'NeedsTargets' >"/usr/share/libalpm/hooks/$1.hook"
}
cat >/usr/sbin/each-kernel <<'S'
#!/bin/bash
# For each kernel among the targets that is still there: COMMAND KERNEL.
sed -n 's,^usr/lib/modules/\([^/]*\)/.*,\1,p; s,^usr/src/.*,all,p' | sort -u | while read -r kernel; do
    [[ $kernel != all ]] || kernel=$(cd /usr/lib/modules && ls)
    for k in $kernel; do [[ ! -d /usr/lib/modules/$k/kernel ]] || "$@" "$k"; done
done
S
printf '%s\n' '#!/bin/bash' 'echo "depmod $1" >>/run/order' 'depmod "$1"' >/usr/sbin/record-depmod
chmod +x /usr/sbin/each-kernel /usr/sbin/record-depmod
hook 60-depmod 'Updating module dependencies...' 'usr/lib/modules/*/' '/usr/sbin/each-kernel /usr/sbin/record-depmod'
hook 90-mkinitcpio-install 'Updating linux initcpios...' $'usr/lib/modules/*/vmlinuz\nTarget = usr/src/*/dkms.conf' \
    '/usr/sbin/each-kernel /usr/sbin/record-initramfs'
package base 1-1 "$(mktemp -d)" provides=glibc provides=gcc provides=kmod provides=make provides=patch
kernel_packages linux 6.1.47-1 "$OLD"
module_package 1.0 1

step 'dkms, from PKGBUILD by makepkg'
rm /usr/sbin/dkms
build=/srv/makepkg
mkdir -p $build
cp /packaging/arch/PKGBUILD /run/in/dkms-*.tar.gz $build/
chown -R nobody $build
printf '%s\n' "CARCH=x86_64" "CHOST=x86_64-pc-linux-gnu" "PKGEXT=.pkg.tar" "SRCEXT=.src.tar" 'OPTIONS=(strip docs zipman purge !debug)' \
    'INTEGRITY_CHECK=(sha256)' 'STRIP_BINARIES=--strip-all' 'MAN_DIRS=(usr/share/man)' 'DOC_DIRS=(usr/share/doc)' \
    'COMPRESSZST=(zstd -c -1 -)' "BUILDENV=(!distcc color !ccache check !sign)" >$build/makepkg.conf
(cd $build && setpriv --reuid nobody --regid nogroup --clear-groups env HOME=$build DKMS_BINARY=/run/in/dkms \
    makepkg --config $build/makepkg.conf --nodeps --noconfirm) >/run/out 2>&1
cp $build/dkms-*.pkg.tar $repository/
repo-add -q $repository/test.db.tar $repository/dkms-*.pkg.tar
pac -Sy dkms
same "$(pacman -Qoq /usr/bin/dkms /usr/share/libalpm/scripts/dkms /usr/share/libalpm/hooks/70-dkms-install.hook | sort -u)" dkms
pacman -Qk dkms

step 'a module before any kernel'
pac -S single-dkms
status_is 'single/1.0: added'
grep -q 'no installed kernel has headers' /run/out
events >/dev/null

step 'a kernel without headers: the hint names the package'
pac -S linux
status_is 'single/1.0: added'
grep -q "its headers are not installed (linux-headers)" /run/out
events >/dev/null

step 'its headers arrive: built, in the index'
pac -S linux-headers
status_is "single/1.0, $OLD: installed"
is_installed 1.0 "$OLD" $place

step 'preflight, before the next kernel'
complete_headers "$NEW"
kernel_packages linux 6.1.56-1 "$NEW"
preflight_answers pacman linux-headers-6.1.56-1-any.pkg.tar

step 'the next kernel and its headers in one transaction: after depmod, before the initramfs'
events >/dev/null
pac -Syu
status_is "single/1.0, $NEW: installed"
is_installed 1.0 "$NEW" $place
same "$(in_order | tr '\n' ';')" "depmod $NEW;initramfs $NEW 1;"
# The old kernel is gone with its modules.
not test -e "/usr/lib/modules/$OLD/updates"

version=1.0
if long; then
    step 'the module is upgraded, rebuilt with the same version, and downgraded'
    module_package 1.1 1
    pac -Syu
    status_is "single/1.1, $NEW: installed"
    is_installed 1.1 "$NEW" $place
    before=$(modinfo -F srcversion "/lib/modules/$NEW/$place")
    rm -r /srv/source/single-1.1
    module_package 1.1 2 'MODULE_INFO(second, "release");'
    pac -Syu
    is_installed 1.1 "$NEW" $place
    not test "$before" = "$(modinfo -F srcversion "/lib/modules/$NEW/$place")"
    pac -U $repository/single-dkms-1.0-1-any.pkg.tar
    status_is "single/1.0, $NEW: installed"
    is_installed 1.0 "$NEW" $place

    step 'a module that does not build: pacman reports it and completes; the others work; the fixed one installs'
    module_package 1.2 1 'error here'
    pac -Syu
    grep -q 'single/1.2 .*make ended with exit code 2' /run/out
    grep -q 'command failed to execute correctly' /run/out
    status_is 'single/1.2: added'
    same "$(pacman -Q single-dkms)" 'single-dkms 1.2-1'
    module_package 1.3 1
    pac -Syu
    status_is "single/1.3, $NEW: installed"

    step 'Ctrl-C while it builds: nothing keeps running, and the next transaction completes it'
    waiting_source 1.4
    module_package 1.4 1
    interrupt '^sleep 61$' pacman --noconfirm --noprogressbar -Syu
    not test -e /var/lib/pacman/db.lck
    status_is 'single/1.4: added'
    same "$(installed single "$NEW")" ''
    rm /etc/dkms/single-1.4.conf
    pac -S single-dkms
    is_installed 1.4 "$NEW" $place

    version=1.4
fi

step 'headers and module are removed'
pac -R linux-headers
is_installed $version "$NEW" $place
pac -R single-dkms
nothing_is_registered
same "$(installed single "$NEW")" ''
pac -S linux-headers single-dkms
is_installed $version "$NEW" $place

step 'the kernel is removed'
pac -R linux linux-headers
status_is "single/$version: added"
not test -e "/usr/lib/modules/$NEW/updates"

step 'dkms itself is removed'
pac -Rs single-dkms dkms
not test -e /usr/sbin/dkms -o -e /usr/bin/dkms
same "$(find /usr/lib/dkms /usr/share/libalpm -name '*dkms*' 2>/dev/null)" ''
same "$(find /var/lib/dkms -mindepth 1 ! -name '.*' ! -path '*/.*' ! -name 'mok.*')" ''
echo 'pacman: all as it should be'
