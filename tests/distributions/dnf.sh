#!/bin/bash
# distributions::dnf: our rpm package for Fedora in the life of a machine with dnf: packages of kernels,
# headers and modules in a local repository.
# shellcheck source=/dev/null
. /e2e/distributions/rpm.sh
place=extra/single.ko
run() { dnf -y --releasever 42 "$@" >/run/out 2>&1; }

# kernel_packages VERSION KERNEL: kernel-core, kernel-devel and kernel-devel-matched. Their scriptlets call
# kernel-install, as Fedora's do.
kernel_packages() {
    local root=/srv/package kernel=$2
    mkdir -p $root/lib/modules
    cp -r "/srv/$kernel/modules" "$root/lib/modules/$kernel"
    cp "/srv/$kernel/vmlinuz" "$root/lib/modules/$kernel/"
    ln -s "/usr/src/kernels/$kernel" "$root/lib/modules/$kernel/build"
    package kernel-core "$1" $root 'Provides: installonlypkg(kernel)' "Provides: kernel-uname-r = $kernel" \
        '%posttrans' "kernel-install add $kernel /lib/modules/$kernel/vmlinuz || exit \$?" '%preun' "kernel-install remove $kernel || exit \$?"
    mkdir -p $root/usr/src/kernels
    cp -r "/srv/$kernel/headers" "$root/usr/src/kernels/$kernel"
    package kernel-devel "$1" $root 'Provides: installonlypkg(kernel)' "Provides: kernel-devel-uname-r = $kernel"
    package kernel-devel-matched "$1" "$(mktemp -d)" "Requires: kernel-devel = $1-1" "Requires: kernel-core = $1-1"
}

# preflight wants a signature that rpm trusts where dnf would.
signed_headers() {
    local repo=/etc/yum.repos.d/test.repo
    sed -i s/gpgcheck=0/gpgcheck=1/ $repo
    code 2 dkms preflight >/run/out 2>&1
    grep -q 'SIGNATURES NOT OK' /run/out
    export GNUPGHOME=/run/gnupg
    mkdir -m 700 $GNUPGHOME
    gpg --quiet --batch --passphrase '' --quick-generate-key test@example.org rsa2048 sign 2>/dev/null
    gpg --quiet --export --armor >/run/key
    rpmkeys --import /run/key
    rpmsign --define '_gpg_name test@example.org' --define "__gpg $(type -P gpg)" --addsign $repository/kernel-devel-6.1.56.rpm >/run/out 2>&1
    gpgconf --kill all
    index
    dkms preflight >/run/out 2>&1
    not grep -q warning /run/out
    sed -i s/gpgcheck=1/gpgcheck=0/ $repo
}

step 'a machine with dnf, without kernels'
name_kernels 6.1.47-1.x86_64 6.1.56-1.x86_64
printf '%s\n' 'ID=fedora' 'VERSION_ID=42' 'NAME=Fedora' >/etc/os-release
mkdir -p /etc/yum.repos.d /etc/dnf /boot/loader
rm -f /etc/yum.repos.d/*
printf '%s\n' '[test]' 'name=test' "baseurl=file://$repository" 'gpgcheck=0' 'metadata_expire=0' >/etc/yum.repos.d/test.repo
printf '%s\n' '[main]' 'installonly_limit=2' 'install_weak_deps=0' >/etc/dnf/dnf.conf
# A kernel-install that only calls the plugins, sorted by name, and the plugins of systemd and dracut.
cat >/usr/sbin/kernel-install <<'S'
#!/bin/sh
for plugin in /usr/lib/kernel/install.d/*.install; do
    "$plugin" "$1" "$2" /boot/none "$3" || { code=$?; [ $code -ne 77 ] || exit 0; exit $code; }
done
S
mkdir -p /usr/lib/kernel/install.d
rm -f /usr/lib/kernel/install.d/*
printf '%s\n' '#!/bin/bash' '[[ $1 = add ]] || exit 0' 'record-initramfs "$2"' >/usr/lib/kernel/install.d/50-dracut.install
printf '%s\n' '#!/bin/bash' '[[ $1 = add ]] || exit 0' 'echo "depmod $2" >>/run/order' 'depmod "$2"' >/usr/lib/kernel/install.d/05-depmod.install
# dracut --regenerate-all
mv /srv/all-initramfs /usr/sbin/dracut
chmod +x /usr/sbin/{dracut,kernel-install} /usr/lib/kernel/install.d/*
base_package /run/in/dkms-fedora.rpm
cp /run/in/dkms-fedora.rpm $repository/
kernel_packages 6.1.47 "$OLD"
module_package 1.0
index

step 'dkms, and a module before any kernel'
run install dkms single
status_is 'single/1.0: added'
rpm -V --nodeps dkms
rm -f /run/order

step 'a kernel without headers is refused by the dependencies of dkms'
code 1 run install kernel-core --exclude 'kernel-devel*'
grep -q 'kernel-devel-matched if kernel-core' /run/out

step 'with --nodeps, as rpm does it: the hint names the package'
rpm --force-debian -i --nodeps $repository/kernel-core-6.1.47.rpm >/run/out 2>&1
status_is 'single/1.0: added'
grep -q "install kernel-devel-$OLD, then" /run/out
rm -f /run/order

step 'its headers arrive later: the file trigger builds, and then the initramfs is made'
run install kernel-devel kernel-devel-matched
status_is "single/1.0, $OLD: installed"
is_installed 1.0 "$OLD" $place
same "$(in_order | tail -n 1)" "initramfs $OLD 1"

step 'preflight, before the next kernel'
complete_headers "$NEW"
kernel_packages 6.1.56 "$NEW"
index
preflight_answers dnf kernel-devel-6.1.56-1.x86_64
if long; then signed_headers; fi

if long; then
    step 'the next kernel with its headers in one transaction'
    run upgrade
    not grep -i 'error in' /run/out
    status_is "single/1.0, $OLD: installed" "single/1.0, $NEW: installed"
    is_installed 1.0 "$NEW" $place
    same "$(in_order | grep -F "$NEW" | sort -u | tr '\n' ';')" "depmod $NEW;initramfs $NEW 1;"

    step 'the module is upgraded and downgraded'
    module_package 1.1
    index
    run upgrade single
    is_installed 1.1 "$NEW" $place
    status_is "single/1.1, $NEW: installed"
    run downgrade single
    is_installed 1.0 "$NEW" $place

    step 'a module that does not build: dnf reports the scriptlet, and the transaction completes'
    source_of 1.2 'error here' >/dev/null
    module_package 1.2
    index
    run upgrade single
    grep -q 'single/1.2 .*make ended with exit code 2' /run/out
    status_is 'single/1.2: added'
    module_package 1.3
    index
    run upgrade single
    is_installed 1.3 "$NEW" $place

    step 'Ctrl-C while it builds'
    waiting_source 1.4
    module_package 1.4
    index
    interrupt '^sleep 61$' dnf -y --releasever 42 upgrade single
    rm /etc/dkms/single-1.4.conf
    status_is 'single/1.4: added'
    same "$(installed single "$NEW")" ''
    run reinstall single
    is_installed 1.4 "$NEW" $place

    step 'a kernel is removed'
    run remove kernel-core-6.1.47 kernel-devel-6.1.47
    not test -e "/lib/modules/$OLD/extra"
    status_is "single/1.4, $NEW: installed"
fi

step 'the module is removed'
run remove single
nothing_is_registered
same "$(find /lib/modules -name 'single.ko*')" ''
rpm --force-debian -e --nodeps kernel-devel kernel-devel-matched

step 'dkms itself is removed'
run remove dkms
not test -e /usr/sbin/dkms -o -e /usr/bin/dkms
same "$(find /usr/lib/dkms /usr/lib/kernel -name '*dkms*' 2>/dev/null)" ''
same "$(find /var/lib/dkms -mindepth 1 ! -name '.*' ! -path '*/.*' ! -name 'mok.*' ! -name post_transaction.log)" ''
echo 'dnf: all as it should be'
