#!/bin/bash
# The recipes of docs/images.md as they stand there, with the archive's kernels: Containerfiles through
# buildah, mmdebstrap, debootstrap and mkosi.
#
#   tests/debian/recipes.sh [PART...]  base (which the next three need), module, bootc, kmm, mmdebstrap,
#                                      debootstrap, mkosi; default: all. Needs root, buildah, mmdebstrap,
#                                      debootstrap and apt's archive
#   DKMS_BIN=file                    the program under test (default: target/release/dkms)
#
# A long test (debian::recipes), not part of `make test`: it downloads kernels. Results are in build/recipes.
# shellcheck disable=SC2317 # the parts are called by name
set -euo pipefail
here=$(dirname "$0")
# shellcheck source=tests/debian/chroot.sh
. "$here/chroot.sh"
cd "$here/../.."
chroots_prepare
unset SOURCE_DATE_EPOCH
work=$build/recipes
context=$work/context
mkdir -p "$work" "$context"

# An overlay needs a file system that can be its upper layer.
driver=overlay
[[ $(stat -f -c %T "$work") != overlayfs ]] || driver=vfs

# A block of the page, by the second word of its first line.
block() { sed -n "/^\`\`\`[a-z]* $1\$/,/^\`\`\`\$/p" docs/images.md | sed '1d;$d'; }
buildah() { command buildah --root "$work/storage" --runroot "$work/run" --storage-driver "$driver" "$@"; }
# Builds a Containerfile of the page; the log is build/recipes/NAME.log.
image() { # NAME OPTION...
    local name=$1
    shift
    block "$name" >"$context/$name.containerfile"
    buildah build --isolation chroot -f "$context/$name.containerfile" -t "localhost/$name" "$@" "$context" >"$work/$name.log" 2>&1 ||
        { tail -n 25 "$work/$name.log"; fail "$name"; return 1; }
}
says() { grep -qF -- "$2" "$work/$1.log" || fail "$1 does not say: $2"; }
# Runs a command in the files of an image.
in_image() { # NAME COMMAND...
    local container code=0
    container=$(buildah from "localhost/$1")
    (cd "$(buildah mount "$container")" && "${@:2}") || code=$?
    buildah rm "$container" >/dev/null
    return "$code"
}
has_module() { [[ $(find usr/lib/modules opt/lib/modules -name 'hello.ko*' 2>/dev/null | wc -l) == 1 ]]; }
# The module exists and is in the index, dkms reports it as installed, and there is no key.
check_tree() { # DIRECTORY
    (
        cd "$1"
        has_module && grep -q 'hello.ko' usr/lib/modules/*/modules.dep
    ) && [[ $("$binary" --root "$1" status) == hello/1.0,*installed ]] && [[ -z $(find "$1/var/lib/dkms" -name 'mok.*') ]]
}

deb=$(our_deb recipes)
rm -rf "$context"
mkdir -p "$context"
cp "$deb" "$context/"
cp "$deb" "$context/dkms.deb"
cp -r examples/1-smallest "$context/hello"
"$binary" generate_mok --dkmstree "$context" >/dev/null
chroots_base
if ! buildah inspect --type image localhost/debian >/dev/null 2>&1; then
    say 'an image of Debian'
    # shellcheck disable=SC2016 # a URI for apt
    tar -C "$base" --exclude=./var/cache/apt/archives/'*.deb' -cf "$work/debian.tar" .
    printf 'FROM scratch\nADD debian.tar /\n' | buildah build -q -t localhost/debian -f - "$work" >/dev/null
    rm "$work/debian.tar"
fi

recipe_base() { image base --build-arg BASE=localhost/debian; }
recipe_module() {
    local name
    for name in one two; do
        image module --timestamp 0 --build-arg SOURCE_DATE_EPOCH=1700000000 \
            --secret "id=mok.key,src=$context/mok.key" --secret "id=mok.pub,src=$context/mok.pub" || return
        in_image module find usr/lib/modules var/lib/dkms \( -path '*/updates/*' -o -path 'var/*' -o -name 'modules.*' \) -type f -exec sha256sum {} + | sort >"$work/$name.files"
        sleep 1
    done
    diff "$work/one.files" "$work/two.files" || fail 'module: two builds differ'
    in_image module has_module || fail 'module: no module'
    says module 'Using kernel '
    says module 'signed by DKMS module signing key'
    says module 'is ready to be booted'
}
recipe_bootc() {
    image bootc || return
    says bootc 'is ready to be booted'
    # shellcheck disable=SC2016 # for the other shell
    in_image bootc bash -c 'ls usr/lib/modules/*/{vmlinuz,initramfs.img,updates/dkms/hello.ko} && [[ -z $(ls boot) ]]' >/dev/null || fail 'bootc: not that layout'
}
recipe_kmm() {
    local kernel
    kernel=$(in_image base ls usr/lib/modules | sort -V | tail -n 1)
    image kmm --build-arg BASE=localhost/debian --build-arg "KERNEL_FULL_VERSION=$kernel" || return
    says kmm "Using kernel $kernel, the only one"
    in_image kmm modprobe -n -v -d ./opt -S "$kernel" hello | grep -q 'hello.ko' || fail 'kmm: modprobe does not find the module'
}
recipe_mmdebstrap() {
    rm -rf "$work/mmdebstrap"
    mkdir "$work/mmdebstrap"
    block mmdebstrap | sed "s/ bookworm image.tar/ $suite image.tar/" >"$work/mmdebstrap.sh"
    (cd "$work/mmdebstrap" && cp -r "$context"/{hello,dkms.deb} . && bash -eu "$work/mmdebstrap.sh") >"$work/mmdebstrap.log" 2>&1 || { tail -n 25 "$work/mmdebstrap.log"; fail mmdebstrap; return; }
    says mmdebstrap 'the only one in /lib/modules'
    says mmdebstrap 'is ready to be booted'
    mkdir "$work/mmdebstrap/root"
    tar -C "$work/mmdebstrap/root" -xf "$work/mmdebstrap/image.tar"
    check_tree "$work/mmdebstrap/root" || fail 'mmdebstrap: no module, or a key'
    rm -rf "$work/mmdebstrap"
}
recipe_debootstrap() {
    rm -rf "$work/debootstrap"
    mkdir "$work/debootstrap"
    block debootstrap | sed "s/ bookworm image/ $suite image/" >"$work/debootstrap.sh"
    mkdir "$work/debootstrap/bin"
    ln -s "$binary" "$work/debootstrap/bin/dkms"
    # dkms --root has its cache of builds in /var/cache of the machine, which stays as it is.
    own_cache() { unshare --mount sh -c 'mount -t tmpfs cache /var/cache && exec "$@"' - "$@"; }
    (
        cd "$work/debootstrap"
        cp -r "$context/hello" .
        PATH=$PWD/bin:$PATH own_cache bash -eu "$work/debootstrap.sh"
    ) >"$work/debootstrap.log" 2>&1 || { tail -n 25 "$work/debootstrap.log"; fail debootstrap; return; }
    says debootstrap 'Using kernel '
    says debootstrap 'is ready to be booted'
    check_tree "$work/debootstrap/image" || fail 'debootstrap: no module, or a key'
    rm -rf "$work/debootstrap"
}
recipe_mkosi() {
    local dir=$work/mkosi
    if ! type -P mkosi systemd-nspawn >/dev/null; then
        echo 'skipped: no mkosi or systemd-nspawn here (mkosi)'
        return 0
    fi
    # nspawn needs a /run that is a file system of its own; without systemd, no unit can be asked for.
    own_run() { unshare --mount sh -c 'mount -t tmpfs run /run && exec "$@"' - "$@"; }
    # Whether nspawn can start anything here.
    if ! own_run systemd-nspawn --quiet --register=no --keep-unit --pipe -D "$base" --volatile=overlay true >"$work/mkosi.log" 2>&1; then
        echo "skipped: systemd-nspawn does not work here: $(tail -n 1 "$work/mkosi.log") (mkosi)"
        return 0
    fi
    rm -rf "$dir"
    # Not /var/tmp, which mkosi mounts over in the image.
    mkdir -p "$dir/mkosi.extra/usr/src" "$dir/mkosi.extra/opt"
    cp -r "$context/hello" "$dir/mkosi.extra/usr/src/hello-1.0"
    cp "$context/dkms.deb" "$dir/mkosi.extra/opt/"
    printf '[Distribution]\nDistribution=debian\nRelease=%s\nMirror=%s\n\n[Output]\nFormat=directory\nOutput=image\n\n[Content]\nPackages=linux-image-cloud-amd64,linux-headers-cloud-amd64,gcc,make,libc6-dev,patch,kmod\nWithNetwork=no\n' "$suite" "$mirror" >"$dir/mkosi.conf"
    block mkosi | sed '2s,$,\ndpkg --install /opt/dkms.deb,' >"$dir/mkosi.postinst"
    chmod +x "$dir/mkosi.postinst"
    (cd "$dir" && own_run mkosi --config mkosi.conf --nspawn-keep-unit build) >"$work/mkosi.log" 2>&1 || { tail -n 25 "$work/mkosi.log"; fail mkosi; return; }
    says mkosi 'is ready to be booted'
    check_tree "$dir/image" || fail 'mkosi: no module, or a key'
    rm -rf "$dir"
}

parts=("$@")
(($#)) || parts=(base module bootc kmm mmdebstrap debootstrap mkosi)
for part in "${parts[@]}"; do
    say "$part"
    "recipe_$part" || failed=1
done
((failed)) || rm -rf "$work"
say "$( ((failed)) && echo 'FAILED' || echo 'passed')"
exit "$failed"
