#!/bin/bash
# Inside the private root of images::CASE: dkms in systems that another one prepares, where none of the
# kernels runs.
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eu
not() { ! "$@"; } # a "!" alone never ends the script
step() { echo "-- $*"; }
unset SOURCE_DATE_EPOCH container
S=single/1.0

# A chroot with the kernels, sources and programs of this root, but with its own trees: /img.
image() { # KERNEL...
    rm -rf /img
    mkdir -p /img/{etc/dkms,usr,var/lib/dkms,var/cache,dev,proc,sys,tmp,run,root,e2e}
    cp -a /etc/{alternatives,ld.so.cache,os-release,passwd,group} /img/etc/
    for link in bin sbin lib lib64; do cp -a "/$link" /img/; done
    local kernel
    mount --bind /usr /img/usr
    mount -t tmpfs modules /img/usr/lib/modules
    for kernel in "$@"; do
        mkdir -p "/img/usr/lib/modules/$kernel/kernel"
        [[ ! -e /lib/modules/$kernel/build ]] || cp -a "/lib/modules/$kernel/build" "/img/usr/lib/modules/$kernel/"
        cp -a "/lib/modules/$kernel"/modules.{order,builtin} "/img/usr/lib/modules/$kernel/" 2>/dev/null || true
    done
    for kernel in "$@"; do depmod -b /img/usr "$kernel" 2>/dev/null; done
    mount --bind /proc /img/proc
    mount --bind /dev /img/dev
}
no_image() { umount /img/usr/lib/modules /img/usr /img/proc /img/dev; rm -rf /img; }
inside() { chroot /img "$@" >/run/out 2>&1; }
says() { grep -qF -- "$1" /run/out || { cat /run/out; echo "not said: $1"; return 1; }; }
modules() { (cd /img/usr/lib/modules && find . -name 'single.ko*' | sort | tr '\n' ' '); }

# The kernels that dkms builds for.
kernels() {
    step 'one kernel: that one'
    image "$K"
    inside dkms install "$S"
    says "Using kernel $K, the only one in /lib/modules"
    same "$(modules)" "./$K/updates/dkms/single.ko "
    inside dkms ready
    says "ready"
    # In a chroot, this machine loads the module without a signature. Other machines may refuse it.
    says 'a machine with Secure Boot loads it only if it is signed'
    same "$(grep -F single/1.0 /run/out)" "$(dkms --root /img ready 2>&1 | grep -F single/1.0)"
    same "$(inside dkms install "$S" --json && grep -c kernels-of-image /run/out)" 1
    inside dkms uninstall "$S"
    says "Using kernel $K"
    same "$(modules)" ''
    # Process 1 may be in the image, too.
    unshare --pid --fork --mount --root=/img --mount-proc dkms install "$S" >/run/out 2>&1
    says "Using kernel $K, the only one in /lib/modules"
    inside dkms uninstall "$S"
    not grep -q 'Using' <(chroot /img dkms status)
    no_image

    step 'several: the newest, or all with autoinstall_all_kernels; the same with --root'
    image "$K" "$K612"
    inside dkms install "$S" --dry-run
    says "Using kernel $K612, the newest of 2 in /lib/modules"
    not grep -q "$K " <(grep -v Using /run/out)
    dkms --root /img install "$S" --dry-run >/run/out
    says "Using kernel $K612, the newest of 2 in /lib/modules"
    inside dkms match --templatekernel "$K"
    says "Using kernel $K612"
    inside dkms install "$S" -k "$K" --dry-run
    not grep -q Using /run/out
    echo autoinstall_all_kernels=yes >/img/etc/dkms/framework.conf
    dkms --root /img install "$S" --dry-run >/run/out
    says "Using the kernels in /lib/modules: $K, $K612"
    inside dkms add "$S"
    inside dkms autoinstall
    says "Using the kernels in /lib/modules: $K, $K612"
    same "$(modules)" "./$K/updates/dkms/single.ko ./$K612/updates/dkms/single.ko "
    inside dkms ready
    no_image
}

# The error names the missing part and its package, and the exit status is not 0.
missing() {
    step 'no kernel: adding works, building does not'
    image
    inside dkms add "$S"
    for action in build install autoinstall; do
        [[ $action == autoinstall ]] && operand='' || operand=$S
        # shellcheck disable=SC2086 # no operand
        code 21 inside dkms $action $operand
        says 'there is no kernel in /lib/modules'
        says 'install linux-image-amd64 and linux-headers-amd64 first'
    done
    code 2 inside dkms ready
    no_image
    step 'a kernel without headers, and headers of another one'
    image "$K" 6.99.0-9-amd64
    code 21 inside dkms install "$S"
    says 'Using kernel 6.99.0-9-amd64, the newest of 2'
    says 'linux-headers-6.99.0-9-amd64'
    says "there are headers for $K"
    code 21 inside dkms autoinstall
    code 1 inside dkms ready
    says 'whose headers are missing'
    # Only headers, as in a stage that compiles.
    rm -r /img/usr/lib/modules/6.99.0-9-amd64 "/img/usr/lib/modules/$K"/{kernel,modules.*}
    inside dkms build "$S"
    says "Using kernel $K, the only one"
    no_image
    step 'without depmod'
    image "$K"
    mkdir /img/none
    mount --bind /img/none /img/usr/sbin
    cp /usr/sbin/dkms /img/none/
    if inside dkms install "$S" --no-cache; then echo 'installed without depmod'; return 1; fi
    says depmod
    says 'the package kmod has it'
    same "$(modules)" ''
    umount /img/usr/sbin
    no_image
}

# Keys: none unless requested.
keys() {
    image "$K"
    step 'a chroot: none, also without /proc, and where the root of process 1 may not be seen'
    inside dkms install "$S"
    says 'not signed'
    umount /img/proc
    inside dkms build "$S" --force
    same "$(find /img/var/lib/dkms -name 'mok.*')" ''
    mount --bind /proc /img/proc
    same "$(modinfo -F signer "/img/usr/lib/modules/$K/updates/dkms/single.ko")" ''
    step 'a pair from a secret'
    mkdir -p /img/run/secrets
    dkms generate_mok --dkmstree /run/keys >/dev/null
    cp /run/keys/mok.key /img/run/secrets/key
    cp /run/keys/mok.pub /img/run/secrets/certificate
    secret=(--mok-signing-key /run/secrets/key --mok-certificate /run/secrets/certificate)
    inside dkms build "$S" --force "${secret[@]}"
    inside dkms install "$S" --force "${secret[@]}"
    same "$(modinfo -F signer "/img/usr/lib/modules/$K/updates/dkms/single.ko")" 'DKMS module signing key'
    not grep -rqF "$(sed -n 2p /run/keys/mok.key)" /img/var /img/usr/lib/modules /img/etc
    inside dkms ready
    no_image

    step 'a container: none, but one that exists is used'
    for sign in containerenv container-manager environment; do
        case $sign in
        containerenv) touch /run/.containerenv ;;
        container-manager) mkdir -p /run/host && touch /run/host/container-manager ;;
        environment) export container=oci ;;
        esac
        # The running kernel is not installed, but another one is.
        dkms install "$S" --dry-run >/run/out
        says 'Using kernel'
        not grep -q 'signing key' /run/out
        rm -rf /run/.containerenv /run/host
        unset container
    done
    touch /run/.containerenv
    dkms install "$S" >/run/out 2>&1
    says 'none is created in a container'
    same "$(find /var/lib/dkms -name 'mok.*')" ''
    dkms generate_mok >/dev/null
    dkms build "$S" --force >/run/out 2>&1
    says 'signed by DKMS module signing key'
    rm -r /var/lib/dkms/mok.* /run/.containerenv
    step 'no container: the running kernel is meant, and it is not installed'
    dkms remove "$S" --all >/dev/null
    code 21 dkms install "$S" >/run/out 2>&1
    not grep -q Using /run/out
}

# A block of docs/images.md, by the second word of its first line.
block() { sed -n "/^\`\`\`[a-z]* $1\$/,/^\`\`\`\$/p" /docs/images.md | sed '1d;$d'; }
# buildah without a policy of this machine and with its storage in memory.
buildah() { command buildah --root /run/storage --runroot /run/storage-run --storage-driver vfs "$@"; }
# The files that a layer above the base has: names, modes, times, contents.
files_of() { # IMAGE
    local container
    container=$(buildah from "$1")
    (cd "$(buildah mount "$container")" && find usr/lib/modules var/lib/dkms -printf '%p %M %T@ %l\n' | sort && find usr/lib/modules var/lib/dkms -type f -exec sha256sum {} + | sort)
    buildah rm "$container" >/dev/null
}

# The recipe of docs/images.md, on a base with the programs and headers of this root.
containerfile() {
    local volumes=() path
    mkdir -p /run/base/{etc/dkms,usr/{bin,sbin,include,share,src,libexec},"usr/lib/modules/$K/kernel",usr/lib64,var/lib/dkms,var/tmp,tmp,proc,sys,dev,run,root} /run/context
    cp -a /etc/{alternatives,ld.so.cache,passwd,group} /run/base/etc/
    cp -L /etc/os-release /run/base/etc/
    for path in bin sbin lib lib64; do cp -a "/$path" /run/base/; done
    cp -a "/usr/lib/modules/$K/build" "/run/base/usr/lib/modules/$K/"
    depmod -b /run/base/usr "$K" 2>/dev/null
    for path in /usr/{bin,sbin,include,share,libexec,lib64,lib/x86_64-linux-gnu,lib/gcc} /usr/lib/linux-kbuild-6.1 /usr/src/linux-headers-*; do
        mkdir -p "/run/base$path"
        volumes+=(--volume "$path:$path:ro")
    done
    printf 'FROM scratch\nADD base.tar /\n' >/run/base.containerfile
    tar -C /run/base --sort=name -cf /run/context/base.tar .
    buildah build -q --isolation chroot -f /run/base.containerfile -t localhost/base /run/context >/run/out 2>&1
    cp -r /examples/1-smallest /run/context/hello
    dkms generate_mok --dkmstree /run/context >/run/out
    block module >/run/context/Containerfile
    step 'twice, with a key from a secret'
    cd /run/context
    for name in one two; do
        buildah build --isolation chroot "${volumes[@]}" --timestamp 0 --build-arg SOURCE_DATE_EPOCH=1700000000 \
            --secret id=mok.key,src=mok.key --secret id=mok.pub,src=mok.pub -t "$name" . >/run/out 2>&1
        says "Using kernel $K, the only one in /lib/modules"
        says "Kernel $K is ready to be booted"
        files_of "$name" >"/run/$name.files"
        if [[ $name == one ]]; then sleep 1; fi
    done
    diff /run/one.files /run/two.files
    grep -q "updates/dkms/hello.ko" /run/one.files
    not grep -q 'mok\.' /run/one.files
    step 'a later layer changes what an earlier one installed, and has no key'
    printf 'FROM one\nRUN dkms build hello/1.0 --force && dkms install hello/1.0 --force && dkms ready\nRUN dkms uninstall hello/1.0\n' >later
    buildah build --isolation chroot "${volumes[@]}" -f later -t later . >/run/out 2>&1
    says 'depends on the machine'
    files_of later >/run/later.files
    not grep -q 'updates/dkms/hello.ko' /run/later.files
    not grep -q 'mok\.' /run/later.files
    step 'a build that fails fails the image'
    echo broken >>hello/hello.c
    not buildah build --isolation chroot "${volumes[@]}" --secret id=mok.key,src=mok.key --secret id=mok.pub,src=mok.pub -t bad . >/run/out 2>&1
}

fixture single-1.0
exec 3>&1
trap '{ echo "line $LINENO: $BASH_COMMAND"; cat /run/out; } >&3' ERR
set -E
"$1"
