#!/bin/bash
# distributions::zypper: our rpm package for openSUSE in the life of a machine with zypper: packages of
# kernels, headers and modules in a local repository. The scriptlets of the kernels do what those of SUSE do.
# shellcheck source=/dev/null
. /e2e/distributions/rpm.sh
place=updates/single.ko
run() { zypper --non-interactive --no-gpg-checks --releasever 16.0 "$@" >/run/out 2>&1; }
# The index of the repository is new: zypper keeps it for ten minutes.
refresh() { index; run refresh --force; }

# kernel_packages VERSION KERNEL: kernel-default and kernel-default-devel.
kernel_packages() {
    local root=/srv/package kernel=$2 tools=/usr/lib/module-init-tools obj=/usr/src/linux-$1-obj/x86_64/default
    mkdir -p $root/usr/lib/modules
    cp -r "/srv/$kernel/modules" "$root/usr/lib/modules/$kernel"
    cp "/srv/$kernel/vmlinuz" "$root/usr/lib/modules/$kernel/"
    package kernel-default "$1" $root 'Provides: multiversion(kernel)' \
        '%post' "ln -sf ../usr/lib/modules/$kernel/vmlinuz /boot/vmlinuz-$kernel" "$tools/weak-modules2 --add-kernel $kernel" \
        '%postun' "test -e /usr/lib/modules/$kernel/vmlinuz || rm -f /boot/vmlinuz-$kernel" \
        '%posttrans' "$tools/regenerate-initrd-posttrans"
    mkdir -p "$root${obj%/*}" "$root/usr/lib/modules/$kernel"
    cp -r "/srv/$kernel/headers" "$root$obj"
    ln -s "$obj" "$root/usr/lib/modules/$kernel/build"
    package kernel-default-devel "$1" $root 'Provides: multiversion(kernel)' ${DEVEL_REQUIRES:+"$DEVEL_REQUIRES"}
}

# headers_in_two KERNEL VERSION: packages of headers as SUSE has them; what all flavors share is in a package
# of its own.
headers_in_two() {
    local root=/srv/package shared=/usr/src/linux-$2
    complete_headers "$1"
    mkdir -p $root/usr/src
    mv "/srv/$1/headers/common" "$root$shared"
    ln -sfn "../linux-$2-obj/x86_64/default/scripts" "$root$shared/scripts"
    echo "include $shared/Makefile" >"/srv/$1/headers/Makefile"
    package kernel-devel "$2" $root 'Provides: multiversion(kernel)'
    DEVEL_REQUIRES="Requires: kernel-devel = $2"
}

step 'a machine with zypper, without kernels'
name_kernels 6.1.47-1-default 6.1.56-1-default
printf '%s\n' 'ID="opensuse-leap"' 'ID_LIKE="suse opensuse"' 'VERSION_ID="16.0"' >/etc/os-release
mkdir -p /etc/zypp/repos.d /usr/lib/module-init-tools /boot
printf '%s\n' '[test]' 'name=test' 'enabled=1' "baseurl=file://$repository" 'gpgcheck=0' 'type=rpm-md' >/etc/zypp/repos.d/test.repo
printf '%s\n' '[main]' 'multiversion = provides:multiversion(kernel)' 'solver.onlyRequires = true' >/etc/zypp/zypp.conf
cat >/usr/lib/module-init-tools/weak-modules2 <<'S'
#!/bin/bash
echo "depmod $2" >>/run/order
depmod "$2"
mkdir -p /run/regenerate-initrd
: >"/run/regenerate-initrd/vmlinuz-$2"
S
cat >/usr/lib/module-init-tools/regenerate-initrd-posttrans <<'S'
#!/bin/bash
shopt -s nullglob
for mark in /run/regenerate-initrd/*; do
    rm "$mark"
    record-initramfs "${mark##*/vmlinuz-}"
done
S
chmod +x /usr/lib/module-init-tools/*
base_package /run/in/dkms-suse.rpm
cp /run/in/dkms-suse.rpm $repository/
kernel_packages 6.1.47 "$OLD"
module_package 1.0
refresh

step 'dkms, and a module before any kernel'
run install dkms single
status_is 'single/1.0: added'
rm -f /run/order

step 'a kernel without headers'
run install kernel-default
status_is 'single/1.0: added'
grep -q "its headers are not installed (kernel-${OLD##*-}-devel)" /run/out

if long; then
    step 'its headers arrive later: the file trigger builds, and then the initrd is made again'
    rm -f /run/order
    run install kernel-default-devel
    status_is "single/1.0, $OLD: installed"
    is_installed 1.0 "$OLD" $place
    same "$(in_order | tail -n 1)" "initramfs $OLD 1"
fi

step 'preflight, before the next kernel'
headers_in_two "$NEW" 6.1.56
kernel_packages 6.1.56 "$NEW"
refresh
preflight_answers zypper kernel-default-devel=6.1.56-1 kernel-devel=6.1.56
step 'the next kernel with its headers in one transaction'
run install kernel-default-6.1.56 kernel-default-devel-6.1.56 # with what the headers need
if long; then status_is "single/1.0, $OLD: installed" "single/1.0, $NEW: installed"; fi
is_installed 1.0 "$NEW" $place
in_order >/run/events
grep -q "^depmod $NEW" /run/events
same "$(tail -n 1 /run/events)" "initramfs $NEW 1"

step 'a transaction that changes nothing for dkms'
package other 1 "$(mktemp -d)"
refresh
run install other
same "$(in_order)" ''

version=1.0
if long; then
    step 'the module is upgraded and downgraded'
    module_package 1.1
    refresh
    run update single
    is_installed 1.1 "$NEW" $place
    status_is "single/1.1, $NEW: installed"
    run install --oldpackage single-1.0
    is_installed 1.0 "$NEW" $place

    step 'a module that does not build: zypper reports the scriptlet'
    source_of 1.2 'error here' >/dev/null
    module_package 1.2
    refresh
    # 107: a scriptlet failed. This zypper loses lines of slow scriptlets, and then also that they failed.
    run install single-1.2 || same $? 107
    status_is 'single/1.2: added'
    grep -q 'error: unknown type' /var/lib/dkms/single/1.2/build/make.log
    module_package 1.3
    refresh
    run install single-1.3
    is_installed 1.3 "$NEW" $place

    step 'Ctrl-C while it builds'
    waiting_source 1.4
    module_package 1.4
    refresh
    interrupt '^sleep 61$' zypper --non-interactive --no-gpg-checks --releasever 16.0 install single-1.4
    rm /etc/dkms/single-1.4.conf
    same "$(installed single "$NEW")" ''
    run install --force single-1.4
    is_installed 1.4 "$NEW" $place

    version=1.4
fi

step 'a kernel is removed: nothing of it remains'
if long; then dkms install "single/$version" -k "$OLD" >/run/out; fi
run remove kernel-default-6.1.47 $(long && echo kernel-default-devel-6.1.47)
if long; then not test -e "/usr/lib/modules/$OLD"; fi
status_is "single/$version, $NEW: installed"

step 'the module and dkms are removed'
run remove single
nothing_is_registered
same "$(installed single "$NEW")" ''
run remove dkms
not test -e /usr/sbin/dkms -o -e /usr/bin/dkms
same "$(find /usr/lib/dkms -name '*' 2>/dev/null)" ''
same "$(find /var/lib/dkms -mindepth 1 ! -name '.*' ! -path '*/.*' ! -name 'mok.*')" ''
echo 'zypper: all as it should be'
