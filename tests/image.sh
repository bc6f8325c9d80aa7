#!/bin/bash
# Inside the private root of image::CASE: uses the output of mkimage and mksysext with the tools of their
# users.
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eu
not() { ! "$@"; } # a "!" alone never ends the script
step() { echo "-- $*"; }
unset SOURCE_DATE_EPOCH
export TMPDIR=/tmp
V4L=v4l2loopback/0.12.7
json() { python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"; }
# skopeo without a policy of this machine, and without a network.
skopeo() { command skopeo --insecure-policy "$@"; }
build() { # PACKAGE...
    for p in "$@"; do dkms add "$p" >/dev/null; dkms build "$p" -k "$K" >/dev/null; done
}
# A module that names firmware; its source contains one of the files.
with_firmware() {
    fixture single-1.0
    echo 'MODULE_FIRMWARE("vendor/a.bin"); MODULE_FIRMWARE("missing.bin"); MODULE_FIRMWARE("../../etc/shadow");' >>/usr/src/single-1.0/single.c
    mkdir -p /usr/src/single-1.0/firmware/vendor
    echo firmware >/usr/src/single-1.0/firmware/vendor/a.bin
}
unpack() { # FILE NAME: the image's root is /run/NAME/rootfs
    mkdir -p "/run/$2-oci"
    tar -C "/run/$2-oci" -xf "$1"
    umoci unpack --image "/run/$2-oci:$K" "/run/$2" >/dev/null
}

kmm_image() {
    with_firmware
    build "$V4L" single/1.0
    step 'one file, twice the same'
    # Modules that dkms installed on this machine are not the kernel's.
    dkms install single/1.0 -k "$K" >/dev/null
    dkms mkimage "$V4L" single/1.0 -k "$K" -o /run/a.tar
    sleep 1
    (umask 077; cd /run; TMPDIR=/var/tmp dkms mkimage single/1.0 "$V4L" -k "$K" -o b.tar --image v4l2loopback)
    cmp /run/a.tar /run/b.tar
    SOURCE_DATE_EPOCH=1 dkms mkimage "$V4L" single/1.0 -k "$K" -o /run/c.tar
    not cmp -s /run/a.tar /run/c.tar
    same "$(tar --utc -tvf /run/c.tar | grep -v 1970-01-01)" ''

    step 'skopeo reads it as an OCI archive and as a docker archive'
    digest=$(skopeo inspect oci-archive:/run/a.tar | json 'd["Digest"]')
    same "$(skopeo inspect oci-archive:/run/a.tar | json 'd["Architecture"], len(d["Layers"])')" 'amd64 2'
    same "$(skopeo inspect docker-archive:/run/a.tar | json 'len(d["Layers"])')" 2
    same "$(skopeo inspect --config docker-archive:/run/a.tar | json 'd["os"]')" linux
    skopeo copy -q "docker-archive:/run/a.tar:v4l2loopback:$K" dir:/run/docker
    skopeo copy -q oci-archive:/run/a.tar dir:/run/dir
    same "$(skopeo inspect dir:/run/dir | json 'd["Digest"]')" "$digest"
    skopeo copy -q dir:/run/dir oci:/run/again:x
    same "$(skopeo inspect oci:/run/again:x | json 'd["Digest"]')" "$digest"
    if type -P docker-registry >/dev/null && type -P ip >/dev/null; then
        step 'the digest survives a push'
        ip link set lo up
        mkdir /run/registry
        printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /run/registry}}\nhttp: {addr: "127.0.0.1:5000"}\n' >/run/registry.yml
        docker-registry serve /run/registry.yml >/run/registry.log 2>&1 &
        registry=$!
        for _ in {1..50}; do (: </dev/tcp/127.0.0.1/5000) 2>/dev/null && break; sleep 0.2; done
        skopeo copy -q --dest-tls-verify=false oci-archive:/run/a.tar "docker://127.0.0.1:5000/kmods/v4l2:$K"
        same "$(skopeo inspect --tls-verify=false "docker://127.0.0.1:5000/kmods/v4l2:$K" | json 'd["Digest"]')" "$digest"
        kill "$registry"
    else
        echo 'skipped: there is no docker-registry or ip, so the push to a registry was not tried'
    fi

    step 'umoci unpacks it, and modprobe finds the module and those of the kernel that it needs'
    unpack /run/a.tar image
    root=/run/image/rootfs
    same "$(readlink "$root/opt/lib/modules/$K/host")" "/lib/modules/$K"
    modprobe -n -v -S "$K" -d "$root/opt" v4l2loopback >/run/insmod
    same "$(sed 's/.*modules//' /run/insmod | sed 's/ *$//')" "/$K/host/kernel/drivers/media/mc/mc.ko
/$K/host/kernel/drivers/media/v4l2-core/videodev.ko
/$K/updates/v4l2loopback.ko"
    modprobe -n -v -S "$K" -d "$root/opt" single | grep -q "/$K/updates/single.ko"
    not grep -rq 'host/updates' "$root/opt/lib/modules/$K/modules.dep"
    same "$(cd "$root/firmware" && find . -type f)" ./vendor/a.bin
    same "$(find "$root" -newermt '2 seconds ago' -name '*.ko')" ''

    step 'what the init container of KMM runs'
    chroot "$root" /bin/sh -c "
mkdir -p /tmp/opt/lib/modules/$K;
cp -R /opt/lib/modules/$K/* /tmp/opt/lib/modules/$K;

mkdir -p /tmp/firmware;
cp -R /firmware/* /tmp/firmware;
"
    modprobe -n -v -S "$K" -d "$root/tmp/opt" v4l2loopback | sed 's,/tmp/opt/,/opt/,' | cmp - /run/insmod
    same "$(<"$root/tmp/firmware/vendor/a.bin")" firmware

    step 'the resource Module'
    # shellcheck disable=SC2016  # for dkms
    image='quay.io/me/kmods:1-${KERNEL_FULL_VERSION}'
    dkms mkimage single/1.0 -k "$K" -o /run/d.tar --image "$image" --kmm >/run/module.yaml 2>/run/messages
    same "$(</run/messages)" 'Wrote /run/d.tar'
    same "$(</run/module.yaml)" "---
apiVersion: \"kmm.sigs.x-k8s.io/v1beta1\"
kind: \"Module\"
metadata:
  name: \"single\"
spec:
  moduleLoader:
    container:
      kernelMappings:
        - containerImage: \"quay.io/me/kmods:1-$K\"
          literal: \"$K\"
      modprobe:
        dirName: \"/opt\"
        firmwarePath: \"/firmware\"
        moduleName: \"single\"
  selector:
    kubernetes.io/arch: \"amd64\""
    dkms mkimage "$V4L" single/1.0 -k "$K" --image "$image" --kmm --json >/run/module.json 2>/dev/null
    same "$(json '[m["metadata"]["name"] for m in d["items"]]' </run/module.json)" "['single', 'v4l2loopback']"
    [[ -f /var/lib/dkms/v4l2loopback/0.12.7/image/v4l2loopback-0.12.7-kernel$K-x86_64.oci.tar ]]
}

base_image() {
    build "$V4L"
    dkms mkimage "$V4L" -k "$K" -o /run/first.tar
    step 'on the layers of another image: an archive, and a directory'
    mkdir /run/layout
    tar -C /run/layout -xf /run/first.tar
    mv /bin/busybox /run/busybox
    dkms mkimage "$V4L" -k "$K" --base /run/first.tar --prefix /srv -o /run/second.tar
    dkms mkimage "$V4L" -k "$K" --base /run/layout --prefix /srv -o /run/third.tar
    cmp /run/second.tar /run/third.tar
    first=$(skopeo inspect oci-archive:/run/first.tar | json '" ".join(d["Layers"])')
    second=$(skopeo inspect oci-archive:/run/second.tar | json '" ".join(d["Layers"])')
    [[ $second == "$first "* ]] || { echo "$second"; return 1; }
    skopeo copy -q docker-archive:/run/second.tar dir:/run/docker
    unpack /run/second.tar second
    modprobe -n -S "$K" -d /run/second/rootfs/srv v4l2loopback
    modprobe -n -S "$K" -d /run/second/rootfs/opt v4l2loopback
    chroot /run/second/rootfs /bin/sh -c 'mkdir -p /tmp/x; cp -R /srv /tmp/x'

    step 'bases that are none'
    refused() { # WORDS BASE
        code 7 dkms mkimage "$V4L" -k "$K" --base "$2" -o /run/none.tar >/run/refused 2>&1 || { cat /run/refused; return 1; }
        grep -q "$1" /run/refused || { cat /run/refused; return 1; }
        not ls /run/none.tar 2>/dev/null
    }
    echo text >/run/text
    refused 'not a tar archive' /run/text
    mkdir /run/empty
    refused 'not an OCI layout' /run/empty
    umoci init --layout /run/scratch
    umoci new --image /run/scratch:latest
    refused 'it has no /bin/sh' /run/scratch
    cp -r /run/layout /run/damaged
    blob=$(find /run/damaged/blobs -size +100k | head -n 1)
    printf x | dd of="$blob" bs=1 seek=5000 conv=notrunc status=none
    refused 'is damaged' /run/damaged
    cp -r /run/layout /run/arm
    sed -i 's/"amd64"/"arm64"/' /run/arm/index.json
    refused 'no image for amd64' /run/arm
    cp -r /run/layout /run/climbs
    sed -i 's,sha256:[0-9a-f]*,sha256:../../../etc/passwd,' /run/climbs/index.json
    refused 'is not the SHA-256' /run/climbs
}

bad_input() {
    fixture single-1.0
    cp -r /usr/src/single-1.0 /usr/src/Odd+-1.0
    sed -i 's/"single"/"Odd+"/;t' /usr/src/Odd+-1.0/dkms.conf
    sed -i 's/^BUILT_MODULE_NAME.*/BUILT_MODULE_NAME[0]="single"/' /usr/src/Odd+-1.0/dkms.conf
    build single/1.0 "$V4L"
    mkdir /run/out
    refused() { # CODE WORDS ARGUMENT...
        local want=$1 words=$2
        shift 2
        code "$want" dkms "$@" >/run/refused 2>&1 || { cat /run/refused; return 1; }
        grep -q -e "$words" /run/refused || { cat /run/refused; return 1; }
        same "$(ls -A /run/out)" ''
    }
    for action in 'mkimage -o /run/out/a.tar' 'mksysext -o /run/out/a'; do
        # shellcheck disable=SC2086  # words
        refused 3 'not in the dkms tree' $action nothing/1 -k "$K"
        # shellcheck disable=SC2086
        refused 6 'nothing is built\|is not built\|build' $action single/1.0 -k 1.2.3
        # shellcheck disable=SC2086
        refused 1 '' $action -k "$K"
    done
    step 'names'
    refused 2 'not a valid image name' mkimage single/1.0 -k "$K" -o /run/out/a.tar --image 'quay.io/Me/x'
    refused 2 'needs the name by which' mkimage single/1.0 -k "$K" -o /run/out/a.tar --kmm
    refused 2 'not a valid directory in an image' mkimage single/1.0 -k "$K" -o /run/out/a.tar --prefix /../x
    refused 2 'only one file' mkimage single/1.0 -k "$K" -k 6.9 -o /run/out/a.tar
    refused 2 'two images would be named' mkimage single/1.0 -k "$K" -k 6.9 --image x:latest
    refused 2 'write directory, squashfs or erofs' mksysext single/1.0 -k "$K" -o /run/out/a --format ext9
    refused 2 'must end in .raw' mksysext single/1.0 -k "$K" -o /run/out/a --format squashfs
    refused 2 'not a valid ID in' mksysext single/1.0 -k "$K" -o /run/out/a --os 'a b'
    refused 2 'is for mkimage and mksysext, not for' mkdeb single/1.0 -o /run/out/a
    build Odd+/1.0
    refused 2 'give the image a name: --image' mkimage Odd+/1.0 -k "$K" -o /run/out/a.tar
    refused 2 "both have a module 'single'" mkimage Odd+/1.0 single/1.0 -k "$K" -o /run/out/a.tar --image x

    step 'a module of the kernel that is not here'
    mount -t tmpfs none "/lib/modules/$K/kernel"
    refused 13 "needs the module 'videodev'" mkimage "$V4L" -k "$K" -o /run/out/a.tar
    refused 13 "needs the module 'videodev'" mksysext "$V4L" -k "$K" -o /run/out/a
    umount "/lib/modules/$K/kernel"

    step 'no programs for the image, or none that run without libraries'
    mv /bin/busybox /run/busybox
    refused 10 'no static busybox' mkimage single/1.0 -k "$K" -o /run/out/a.tar
    cp /bin/ls /bin/busybox
    refused 10 'needs shared libraries' mkimage single/1.0 -k "$K" -o /run/out/a.tar
    rm /bin/busybox
    mv /run/busybox /bin/busybox
    mv /sbin/depmod /run/depmod
    refused 10 "no program 'depmod'" mkimage single/1.0 -k "$K" -o /run/out/a.tar
    mv /run/depmod /sbin/depmod

    step 'nothing is replaced without --force'
    mkdir /run/old
    echo old >/run/old/a.tar
    mkdir /run/old/dir
    code 9 dkms mkimage single/1.0 -k "$K" -o /run/old/a.tar
    code 9 dkms mksysext single/1.0 -k "$K" -o /run/old/dir
    same "$(</run/old/a.tar)" old
    dkms mkimage single/1.0 -k "$K" -o /run/old/a.tar --force
    dkms mksysext single/1.0 -k "$K" -o /run/old/dir --force
    tar -tf /run/old/a.tar | grep -qx oci-layout
    [[ -d /run/old/dir/usr ]]
    same "$(ls -A /run/old)" $'a.tar\ndir'
    dkms mkimage single/1.0 -k "$K" -o /run/out/a.tar --dry-run | grep -q /run/out/a.tar
    same "$(ls -A /run/out /tmp)" "$(printf '/run/out:\n\n/tmp:\n'; ls -A /tmp)"
    not ls /tmp/dkms-mkimage* 2>/dev/null
}

sysext_formats() {
    with_firmware
    build single/1.0
    dkms mksysext single/1.0 -k "$K" -o /run/dir/hello --load
    same "$(</run/dir/hello/usr/lib/modules-load.d/dkms-hello.conf)" single
    same "$(</run/dir/hello/usr/lib/firmware/vendor/a.bin)" firmware
    same "$(find /run/dir/hello -name 'modules.*' -type f)" ''
    for format in squashfs erofs; do
        step "$format"
        mkdir -p "/run/$format/"{1,2,mnt}
        dkms mksysext single/1.0 -k "$K" -o "/run/$format/1/hello.raw" --format "$format" --load
        sleep 1
        (umask 077; dkms mksysext single/1.0 -k "$K" -o "/run/$format/2/hello.raw" --format "$format" --load)
        cmp "/run/$format"/{1,2}/hello.raw
        mount -o loop,ro "/run/$format/1/hello.raw" "/run/$format/mnt"
        diff -r /run/dir/hello "/run/$format/mnt"
        list() { (cd "$1" && find . -printf '%P %M %U %G %Ts\n' | sort); }
        diff <(list /run/dir/hello) <(list "/run/$format/mnt")
        umount "/run/$format/mnt"
    done
    step 'for other systems'
    release() { cat /run/"$1"/usr/lib/extension-release.d/extension-release."$1"; }
    dkms mksysext single/1.0 -k "$K" -o /run/any --os _any
    same "$(release any)" $'ID=_any\nARCHITECTURE=x86-64\nEXTENSION_RELOAD_MANAGER=1'
    dkms mksysext single/1.0 -k "$K" -o /run/flat --os flatcar --sysext-level 1.0
    same "$(release flat | head -n 2)" $'ID=flatcar\nSYSEXT_LEVEL=1.0'
    dkms mksysext single/1.0 -k "$K" -o /run/fed --os fedora:42
    same "$(release fed | head -n 2)" $'ID=fedora\nVERSION_ID=42'
    step 'the service'
    mkdir -p /usr/lib/dkms
    cp /run/dir/hello/usr/lib/dkms/sysext-index /usr/lib/dkms/
    same "$(systemd-analyze verify --man=no /run/dir/hello/usr/lib/systemd/system/dkms-sysext.service 2>&1 | grep dkms-sysext)" ''
}

# A small system on a separate file system, because the kernel stacks at most two overlays.
small_system() { # DIRECTORY
    mkdir -p "$1"
    mount -t tmpfs small "$1"
    # systemd-sysext merges in a separate mount namespace, from which only shared mounts propagate.
    mount --make-shared "$1"
    mkdir -p "$1"/usr/{bin,sbin,lib/systemd,lib64} "$1"/{proc,sys,dev,run,tmp,etc,var/lib/extensions,"usr/lib/modules/$K/kernel/drivers"}
    for link in bin sbin lib lib64; do ln -s "usr/$link" "$1/$link"; done
    for program in sh cat mkdir ln rm uname readlink mount umount unshare kmod; do
        cp "$(readlink -f "$(type -P "$program")")" "$1/usr/bin/$program"
        ldd "$1/usr/bin/$program" | grep -o '/[^ ]*' | while read -r library; do
            mkdir -p "$1$(dirname "$library")"
            cp "$library" "$1$library"
        done
    done
    for name in depmod modprobe; do ln -s ../bin/kmod "$1/usr/sbin/$name"; done
    cp /usr/lib/os-release "$1/usr/lib/"
    ln -s ../usr/lib/os-release "$1/etc/os-release"
    cp -r "/lib/modules/$K/kernel/drivers/media" "$1/usr/lib/modules/$K/kernel/drivers/"
    cp "/lib/modules/$K"/modules.{builtin,builtin.modinfo,order} "$1/usr/lib/modules/$K/"
    chroot "$1" depmod "$K"
    mount --bind /proc "$1/proc"
    mount --bind /sys "$1/sys"
}

# Whether modprobe finds a module in the small system.
finds() { # DIRECTORY MODULE
    chroot "$1" modprobe -n -S "$K" "$2" 2>/run/modprobe
}

sysext_index() {
    fixture single-1.0
    build "$V4L" single/1.0
    host=/srv/host
    small_system "$host"
    dkms mksysext "$V4L" -k "$K" -o "$host/var/lib/extensions/camera"
    dkms mksysext single/1.0 -k "$K" -o "$host/var/lib/extensions/hello"
    helper=/usr/lib/dkms/sysext-index
    before=$(chroot "$host" cat "/usr/lib/modules/$K/modules.dep" | sha256sum)

    step 'merged by systemd-sysext'
    systemd-sysext --root="$host" merge
    code 1 touch "$host/usr/x" 2>/run/touched
    grep -q 'Read-only file system' /run/touched
    not finds "$host" single
    not finds "$host" v4l2loopback
    finds "$host" videodev

    step 'both extensions and the modules of the kernel are found'
    chroot "$host" "$helper" start "$K"
    for module in single v4l2loopback videodev mc; do finds "$host" "$module"; done
    chroot "$host" modprobe -n -v -S "$K" v4l2loopback | sed 's/.*modules//' | tail -n 2 >/run/found
    grep -q "/updates/camera/v4l2loopback.ko" /run/found
    grep -q "/kernel/drivers/media/v4l2-core/videodev.ko" /run/found
    not ls "$host/run/dkms-sysext/$K/links" 2>/dev/null # it was the overlay
    # No other process sees the overlay.
    not findmnt "$host/usr/lib/modules/$K" >/dev/null
    bound=$(findmnt -rno TARGET | grep -c "$host/usr/lib/modules/$K/modules\.")
    echo "bound over the host's: $bound files"
    ((bound >= 9))
    chroot "$host" "$helper" start "$K"
    same "$(findmnt -rno TARGET | grep -c "$host/usr/lib/modules/$K/modules\.")" "$bound"
    finds "$host" single

    step 'a depmod that fails changes nothing'
    chroot "$host" "$helper" stop "$K"
    same "$(findmnt -rno TARGET | grep -c "$host/usr/lib/modules/$K/modules\.")" 0
    same "$(chroot "$host" cat "/usr/lib/modules/$K/modules.dep" | sha256sum)" "$before"
    printf '#!/bin/sh\nexit 1\n' >"$host/run/depmod"
    chmod +x "$host/run/depmod"
    mount --bind "$host/run/depmod" "$host/usr/bin/kmod"
    not chroot "$host" "$helper" start "$K" 2>/dev/null
    umount "$host/usr/bin/kmod"
    same "$(chroot "$host" cat "/usr/lib/modules/$K/modules.dep" | sha256sum)" "$before"
    finds "$host" videodev
    systemd-sysext --root="$host" unmerge
    finds "$host" videodev
    not finds "$host" single

    step 'without an overlay: where the system itself is on one'
    stacked=/srv/stacked
    mkdir -p "$stacked" /run/up && mount -t tmpfs up /run/up && mkdir /run/up/{u,w}
    mount -t overlay -o "lowerdir=$host,upperdir=/run/up/u,workdir=/run/up/w" stacked "$stacked"
    mount --make-shared "$stacked"
    mount --bind /proc "$stacked/proc"
    systemd-sysext --root="$stacked" merge
    chroot "$stacked" "$helper" start "$K"
    [[ -d $stacked/run/dkms-sysext/$K/links ]]
    for module in single v4l2loopback videodev mc; do finds "$stacked" "$module"; done
}

# systemd merges the extension, the service indexes it, and modules-load.d finds the module, in one boot.
sysext_boot() {
    K=${VM_KERNELS%% *}
    K=${K#*=}
    fixture single-1.0
    build single/1.0
    dkms mksysext single/1.0 -k "$K" -o /run/hello --load
    rm -r /usr/src/single-1.0
    python3 /e2e/vm/sysext.py "$K" /run/hello single
}

"$1"
