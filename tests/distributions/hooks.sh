#!/bin/bash
# distributions::{alpine,void,gentoo}: the files that `make install-X` installs, called as these distributions
# call them, with the shell that is /bin/sh there; in Alpine, all other tools are busybox's too. The argument
# is the distribution.
# shellcheck source=/dev/null
. /e2e/distributions/common.sh
K=$OLD
# kernel KERNEL, headers KERNEL: installs the files of the packages of a kernel and of its headers.
kernel() {
    mkdir -p "/lib/modules/$1"
    cp -r "/srv/$1/modules/." "/lib/modules/$1/"
    depmod "$1"
}
headers() {
    cp -r "/srv/$1/headers" "/usr/src/linux-headers-$1"
    mkdir -p "/lib/modules/$1"
    ln -s "/usr/src/linux-headers-$1" "/lib/modules/$1/build"
}
no_kernel() { rm -rf "/lib/modules/$1/kernel" "/lib/modules/$1/build" "/usr/src/linux-headers-$1" "/lib/modules/$1"/modules.{order,builtin,builtin.modinfo}; }
install_kit() { # NAME
    rm /usr/sbin/dkms
    make -s -f /packaging/install.mk "install-$1" BINARY=/run/in/dkms >/run/out 2>&1
    hash -r
}
run() { "$@" >/run/out 2>&1; }
no_failure() { same "$(grep -iE 'not found|syntax error|bad substitution|illegal|invalid option|unrecognized' /run/out)" ''; }

alpine() {
    local place=kernel/drivers/misc/single.ko hook=/etc/kernel-hooks.d/40-dkms.hook one two
    printf '%s\n' 'ID=alpine' 'VERSION_ID=3.22.1' >/etc/os-release
    install_kit alpine
    test -x $hook
    # A kernel is VERSION-FLAVOR: "6.1.0-47-cloud" and "amd64".
    one=${OLD%-*} two=${NEW%-*}
    mkdir -p /run/applets
    busybox --install -s /run/applets
    # The compiler's own tools stay, and so do those that the tests record with.
    rm -f /run/applets/{ar,strings,depmod,modprobe,modinfo,lsmod,insmod,rmmod,dpkg,rpm}
    run() { PATH=/run/applets:$PATH "$@" >/run/out 2>&1; }
    mount --bind "$(type -P busybox)" /bin/sh
    # apk removes the files of its packages; the module of dkms is in the same directory.
    no_kernel() {
        find "/lib/modules/$1" \( -name 'single.ko*' -o -name 'modules.*' ! -name 'modules.order' ! -name 'modules.builtin*' \) -o ! -type d -exec rm {} +
        find "/lib/modules/$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
        rm -rf "/usr/src/linux-headers-$1"
    }

    step 'a module and no kernel: the trigger of apk'
    cp -r "$(source_of 1.0)" /usr/src/
    run /packaging/alpine/dkms.trigger /usr/src/single-1.0 /usr/src/gone
    status_is 'single/1.0: added'
    no_failure

    step 'a kernel without headers, then its headers'
    kernel "$OLD"
    run $hook amd64 "$one" ''
    no_failure
    grep -q 'install linux-amd64-dev,' /run/out
    headers "$OLD"
    run $hook amd64 "$one" ''
    no_failure
    status_is "single/1.0, $OLD: installed"
    is_installed 1.0 "$OLD" $place

    step 'the kernel is upgraded: the old one is gone when the hook runs'
    kernel "$NEW"
    if long; then headers "$NEW"; fi
    no_kernel "$OLD"
    run $hook amd64 "$two" "$one"
    no_failure
    not test -e "/lib/modules/$OLD"
    long || { status_is 'single/1.0: added'; return; }
    status_is "single/1.0, $NEW: installed"

    step 'the kernel is installed again, and removed'
    run $hook amd64 "$two" ''
    status_is "single/1.0, $NEW: installed"
    run $hook amd64 '' "$two"
    status_is "single/1.0, $NEW: installed" # it is still there
    no_kernel "$NEW"
    run $hook amd64 '' "$two"
    status_is 'single/1.0: added'
    not test -e "/lib/modules/$NEW"
}

void() {
    local place=kernel/drivers/misc/single.ko shell
    printf '%s\n' 'ID="void"' >/etc/os-release
    install_kit void
    for shell in $(long && echo dash) busybox; do
        mount --bind "$(type -P $shell)" /bin/sh
        step "$shell: a kernel without headers"
        cp -r "$(source_of 1.0)" /usr/src/
        dkms add single/1.0 >/run/out
        kernel "$K"
        (cd / && run env ROOTDIR=. etc/kernel.d/post-install/10-dkms linux6.1 "$K")
        no_failure
        grep -q 'install linux6.1-headers,' /run/out

        step "$shell: headers without the programs that a build needs"
        headers "$K"
        # A tree that can make them, as Void's headers can: the targets install Debian's programs.
        rm "/usr/src/linux-headers-$K/scripts"
        cp -r "$(readlink -f "/srv/$K/headers/scripts")" "/usr/src/linux-headers-$K/scripts"
        mkdir /run/programs
        mv "/usr/src/linux-headers-$K/scripts/basic/fixdep" "/usr/src/linux-headers-$K/scripts/mod/modpost" /run/programs/
        cp "/usr/src/linux-headers-$K/Makefile" /run/programs/
        printf '%s\n' 'scripts prepare0:' "	cp /run/programs/fixdep scripts/basic/" "	cp /run/programs/modpost scripts/mod/" \
            "	cp /run/programs/Makefile Makefile" >"/usr/src/linux-headers-$K/Makefile"
        (cd / && run env ROOTDIR=. etc/kernel.d/post-install/10-dkms linux6.1 "$K")
        no_failure
        grep -q 'compiling the programs' /run/out
        status_is "single/1.0, $K: installed"
        is_installed 1.0 "$K" $place
        # How Void's trigger parses a line of "dkms status".
        IFS=' ,:/' read -r name version release _ state _ <<<"$(dkms status single)"
        same "$name $version $release $state" "single 1.0 $K installed"

        step "$shell: and if they cannot be made"
        rm "/usr/src/linux-headers-$K/scripts/basic/fixdep"
        printf 'scripts prepare0:\n\tfalse\n' >"/usr/src/linux-headers-$K/Makefile"
        (cd / && code 1 run env ROOTDIR=. etc/kernel.d/post-install/10-dkms linux6.1 "$K")
        grep -q "scripts prepare0' failed" /run/out

        step "$shell: the kernel is removed"
        (cd / && run env ROOTDIR=. etc/kernel.d/pre-remove/10-dkms linux6.1 "$K")
        no_failure
        status_is 'single/1.0: added'
        same "$(installed single "$K")" ''
        no_kernel "$K"
        rm -r "/lib/modules/$K" /run/programs
        dkms remove single/1.0 --all >/run/out
        rm -r /usr/src/single-1.0
        umount /bin/sh
    done
}

gentoo() {
    local place=kernel/drivers/misc/single.ko
    printf '%s\n' 'ID=gentoo' >/etc/os-release
    install_kit gentoo
    # installkernel runs the plugins in the order of their names.
    printf '%s\n' '#!/bin/sh' 'record-initramfs "$1"' >/usr/lib/kernel/preinst.d/52-dracut.install
    chmod +x /usr/lib/kernel/preinst.d/52-dracut.install
    installkernel() { for plugin in /usr/lib/kernel/preinst.d/*.install; do "$plugin" "$1" "$2" || return; done; }
    mount --bind "$(type -P dash)" /bin/sh
    cp -r "$(source_of 1.0)" /usr/src/
    dkms add single/1.0 >/run/out

    step 'a kernel without sources, then with them: before the initramfs'
    kernel "$K"
    run installkernel "$K" /usr/src/linux/arch/x86/boot/bzImage
    no_failure
    grep -q 'sys-kernel' /run/out
    headers "$K"
    rm -f /run/order
    run installkernel "$K" /usr/src/linux/arch/x86/boot/bzImage
    no_failure
    status_is "single/1.0, $K: installed"
    is_installed 1.0 "$K" $place
    same "$(in_order)" "initramfs $K 1"

    if long; then
        step 'a module that does not build stops the installation only if it should'
        cp -r "$(source_of 1.1 'error here')" /usr/src/
        dkms add single/1.1 >/run/out
        kernel "$NEW"
        headers "$NEW"
        run installkernel "$NEW" bzImage
        grep -q 'make ended with exit code 2' /run/out
        echo 'hook_failure=fail' >>/etc/dkms/framework.conf
        code 11 run installkernel "$NEW" bzImage
        dkms remove single/1.1 --all >/run/out
    fi

    step 'kernel-install, for USE=systemd'
    run /usr/lib/kernel/install.d/40-dkms.install remove "$K"
    status_is 'single/1.0: added'
}

missing() {
    local file
    # says TEXT COMMAND...: the command prints the text, and ends with this code.
    says() { local text=$1 want=$2; shift 2; code "$want" run "$@"; grep -qF -- "$text" /run/out || { cat /run/out; echo "not printed: $text"; exit 98; } >&2; }
    cp -r "$(source_of 1.0)" /usr/src/
    printf '%s\n' 'ID=debian' >/etc/os-release
    dkms add single/1.0 >/run/out

    step 'no kernel'
    says 'has no kernel with headers; install linux-headers-amd64' 0 dkms autoinstall --all-kernels
    says 'install a kernel: linux-image-amd64' 2 dkms ready
    printf '%s\n' 'ID=alpine' >/etc/os-release
    says 'has no kernel with headers; install linux-lts-dev' 0 dkms autoinstall --all-kernels
    says 'install a kernel: linux-lts' 2 dkms ready

    step 'headers of a kernel that is not installed'
    printf '%s\n' 'ID=debian' >/etc/os-release
    headers "$K"
    says "install linux-image-$K" 1 dkms ready -k "$K"

    step 'a kernel and tools of two distributions'
    mkdir -p /lib/modules/6.9.4-200.fc40.x86_64/kernel
    says 'a kernel of Fedora, not of debian' 21 dkms install single/1.0 -k 6.9.4-200.fc40.x86_64
    printf '%s\n' 'ID=fedora' >/etc/os-release
    test -e /etc/debian_version
    says 'install kernel-devel-6.9.4-200.fc40.x86_64' 21 dkms install single/1.0 -k 6.9.4-200.fc40.x86_64
    make -s -f /packaging/install.mk install-redhat BINARY=/run/in/dkms >/run/out 2>&1
    says 'install kernel-devel-6.9.4-200.fc40.x86_64,' 0 /usr/lib/dkms/dkms_autoinstaller start 6.9.4-200.fc40.x86_64
    rm -r /lib/modules/6.9.4-200.fc40.x86_64

    if ! long; then return; fi
    step 'no depmod'
    kernel "$K"
    for file in /usr/sbin/depmod /sbin/depmod /usr/bin/depmod /bin/depmod; do rm -f "$file"; done
    says 'the package kmod has it' 6 dkms install single/1.0 -k "$K"
    same "$(installed single "$K")" ''
    not grep single "/lib/modules/$K/modules.dep"
}

step "$1"
take_kernels
"$1"
echo "$1: all as it should be"
