#!/bin/bash
# Fills build/ with the input of the end-to-end tests: kernel headers, one kernel image, Debian's dkms and
# every *-dkms package of the configured Debian archive.
#
#   tests/fetch.sh [--no-tools | --tools-only] [--no-vm] [--vm-debian] [--vm-arm64] [--vm-riscv64]
#                  [--with-image-6.12] [--msrv] [--clang] [--non-free] [--demo]
#
# Installs only a few build tools. Packages are downloaded and unpacked below build/layers/NAME/root, and the
# tests lay them over the machine's root. A second run downloads only what changed. Layout:
#   build/layers/{headers-6.1,headers-6.12,image-6.1,dkms-debian}/{root,kernel,stamp}
#   build/layers/{dnf-plugins,boot-tools}   a plugin of dnf; tools of grub and systemd for boot menus
#   build/layers/vm-{6.1,6.1-old,6.12,tools}   for tests/vm: cloud kernels with their headers; firmware, shim
#   build/layers/vm-debian      the disk of a small Debian for secure_boot::enroll_and_rotate (--vm-debian)
#   build/layers/{headers,kbuild}-arm64   headers of an arm64 kernel, and the arm64 programs for them
#   build/layers/vm-arm64       its image, and an arm64 userland in /srv/arm64, for vm::judge_arm64
#                               (--vm-arm64)
#   build/layers/{headers,kbuild,tools,vm}-riscv64   the same for riscv64, with the compiler of Debian 13
#                                                    (--vm-riscv64, 200 MB)
#   build/layers/promtool       Prometheus' checker of metrics and queries
#   build/corpus/PKG            a *-dkms package, unpacked   (build/layers/packages links here)
#   build/msrv                  rustc and cargo of the oldest supported version (--msrv)
# --clang installs clang, lld and llvm as well, for clang::*.
# --non-free adds the packages of contrib and non-free to the corpus (400 MB), for the long packages::* tests.
# --demo fetches only what `make demo` needs: a compiler, the headers of one kernel, one package.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
build=${DKMS_TEST_BUILD:-$here/build}
layers=$build/layers
debs=$build/debs

tools=yes image612=no msrv=no vm=yes debian=no clang=no arm64=no riscv64=no nonfree=no demo=no
for arg in "$@"; do
    case $arg in
        --no-tools) tools=no ;;
        --tools-only) tools=only ;;
        --no-vm) vm=no ;;
        --vm-debian) debian=yes ;;
        --vm-arm64) arm64=yes ;;
        --vm-riscv64) riscv64=yes ;;
        --with-image-6.12) image612=yes ;;
        --msrv) msrv=yes ;;
        --clang) clang=yes ;;
        --non-free) nonfree=yes ;;
        --demo) demo=yes ;;
        -h | --help) sed -n '2,24s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "fetch.sh: unknown option $arg (see --help)" >&2; exit 2 ;;
    esac
done

say() { printf 'fetch: %s\n' "$*"; }

# The version apt would install, or nothing.
candidate() { awk -v name="$1" '$1 == name { print $2; exit }' "$candidates"; }

# Lists the candidate versions of all packages, because each `apt-cache policy` takes a second.
list_candidates() {
    apt-cache dumpavail | awk '$1 == "Package:" { name = $2 } $1 == "Version:" { print name, $2 }' >"$candidates"
}

# The newest package whose whole name matches the regular expression.
newest() {
    local name
    while read -r name; do
        if [[ -n $(candidate "$name") ]]; then
            echo "$name"
            return
        fi
    done < <(apt-cache pkgnames | grep -xE -- "$1" | sort -rV)
}

# The direct dependencies of a package whose names match.
depends_on() { apt-cache depends "$1" | awk '$1 == "Depends:" { print $2 }' | grep -E -- "$2" || true; }

# Download one package (kept in build/debs), print the file's path.
download() {
    local name=$1 version file
    version=${2:-$(candidate "$name")}
    file=$(find "$debs" -maxdepth 1 -name "${name}_${version//:/%3a}_*.deb" | head -n 1)
    if [[ -z $file ]]; then
        (cd "$debs" && apt-get -qq -o APT::Sandbox::User=root download "$name=$version") >&2
        file=$(find "$debs" -maxdepth 1 -name "${name}_${version//:/%3a}_*.deb" | head -n 1)
    fi
    printf '%s\n' "$file"
}

# The machine's /lib is a link into /usr; a layer with a real /lib would hide it.
merge_usr() {
    local root=$1 top
    for top in bin sbin lib lib32 lib64; do
        [[ -d $root/$top && ! -L $root/$top ]] || continue
        mkdir -p "$root/usr/$top"
        cp -alf "$root/$top/." "$root/usr/$top/"
        rm -rf "${root:?}/$top"
    done
}

# layer NAME KERNEL PACKAGE...: unpack packages into one layer, unless these very versions are there.
layer() {
    local name=$1 kernel=$2 want='' package file
    shift 2
    local dir=$layers/$name
    for package in "$@"; do want+="$package=$(candidate "$package")"$'\n'; done
    if [[ -f $dir/stamp && $(<"$dir/stamp")$'\n' == "$want" ]]; then
        say "$name: up to date"
        return
    fi
    say "$name: $*"
    rm -rf "$dir"
    mkdir -p "$dir/root"
    for package in "$@"; do
        file=$(download "$package")
        dpkg -x "$file" "$dir/root"
    done
    merge_usr "$dir/root"
    # depmod looks below BASE/lib/modules, and the modules are in usr/lib/modules.
    if [[ -d $dir/root/usr/lib/modules/$kernel/kernel ]]; then depmod -b "$dir/root/usr" "$kernel"; fi
    printf '%s' "$kernel" >"$dir/kernel"
    printf '%s' "$want" >"$dir/stamp"
}

# COMMAND PACKAGE: the package is installed if the command is missing.
demo_tools() {
    cat <<'LIST'
gcc gcc
gcc-12 gcc-12
make make
patch patch
modinfo kmod
xz xz-utils
python3 python3
LIST
}

all_tools() {
    cat <<'LIST'
gcc gcc
gcc-12 gcc-12
make make
patch patch
kmod kmod
xz xz-utils
zstd zstd
lz4 lz4
bzip2 bzip2
gzip gzip
openssl openssl
cpio cpio
file file
unshare util-linux
valgrind valgrind
pahole pahole
aarch64-linux-gnu-gcc-12 gcc-12-aarch64-linux-gnu
qemu-aarch64 qemu-user
shellcheck shellcheck
python3 python3
pgrep procps
setpriv util-linux
mandoc mandoc
dh_testdir debhelper
man man-db
groff groff-base
qemu-system-x86_64 qemu-system-x86
mcopy mtools
mkfs.vfat dosfstools
qemu-img qemu-utils
mmdebstrap mmdebstrap
mke2fs e2fsprogs
zsh zsh
fish fish
dh debhelper
dh_dkms dh-dkms
rpmbuild rpm
rpmlint rpmlint
createrepo_c createrepo-c
dnf dnf
zypper zypper
pacman pacman-package-manager
makepkg makepkg
bsdtar libarchive-tools
fakeroot fakeroot
xorriso xorriso
docker-registry docker-registry
softhsm2-util softhsm2
ip iproute2
jq jq
skopeo skopeo
umoci umoci
chromium chromium
chromedriver chromium-driver
busybox busybox-static
mksquashfs squashfs-tools
mkfs.erofs erofs-utils
LIST
}

install_tools() {
    local want=() command package
    while read -r command package; do
        command -v "$command" >/dev/null || want+=("$package")
    done < <(if [[ $demo == yes ]]; then demo_tools; else all_tools; fi)
    # Recommended by gcc, and needed to link anything.
    [[ -e /usr/include/stdio.h ]] || want+=(libc6-dev)
    # The headers' objtool needs it.
    ldconfig -p | grep -q 'libelf\.so\.1 ' || want+=(libelf1)
    if [[ $demo == no ]]; then other_tools; fi
    if ((${#want[@]})); then
        say "installing ${want[*]}"
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${want[@]}" >/dev/null
    fi
}

# Packages without a command in the path: adds them to `want`.
other_tools() {
    if [[ $clang == yes ]]; then want+=(clang lld llvm); fi
    if [[ $arm64 == yes ]]; then want+=(qemu-system-arm); fi
    if [[ $riscv64 == yes ]]; then want+=(qemu-system-misc opensbi gcc-12-riscv64-linux-gnu libc6-riscv64-cross); fi
    # Without it, gcc-12-aarch64-linux-gnu has no libraries for programs that qemu-user runs.
    [[ -e /usr/aarch64-linux-gnu/lib/libc.so.6 ]] || want+=(libc6-arm64-cross)
    [[ -e /usr/share/bash-completion/bash_completion ]] || want+=(bash-completion)
    # OpenSSL needs these to use keys in tokens.
    if ! compgen -G '/usr/lib/*/engines-3/pkcs11.so' >/dev/null; then want+=(libengine-pkcs11-openssl); fi
}

headers_61() {
    local headers kbuild
    headers=$(newest 'linux-headers-6\.1\.[0-9]+-[0-9]+-amd64')
    kernel=${headers#linux-headers-}
    kbuild=$(depends_on "$headers" '^linux-kbuild-')
    layer headers-6.1 "$kernel" "$headers" "linux-headers-${kernel%-amd64}-common" "$kbuild"
}

kernel_layers() {
    local headers kernel kbuild image
    headers_61
    image=linux-image-$kernel
    [[ -n $(candidate "$image") ]] || image=$image-unsigned
    layer image-6.1 "$kernel" "$image"
    # The command of dnf that preflight uses; the package cannot be installed beside zypper.
    layer dnf-plugins '' dnf-plugins-core
    # These make and read the menus of boot loaders.
    layer boot-tools '' grub-common grub2-common systemd-boot systemd-boot-efi

    headers=$(newest 'linux-headers-6\.12\.[0-9]+\+deb12-amd64')
    [[ -n $headers ]] || { say 'headers-6.12: this archive has none'; return; }
    kernel=${headers#linux-headers-}
    kbuild=$(depends_on "$headers" '^linux-kbuild-')
    layer headers-6.12 "$kernel" "$headers" "linux-headers-${kernel%-amd64}-common" "$kbuild"
    if [[ $image612 == yes ]]; then layer image-6.12 "$kernel" "linux-image-$kernel"; fi
}

# vm_kernel NAME KERNEL: an image that boots and its headers. The cloud flavour is a third of the other's
# size, and the image and the headers must be of one flavour.
vm_kernel() {
    local headers=linux-headers-$2 kbuild
    kbuild=$(depends_on "$headers" '^linux-kbuild-')
    layer "$1" "$2" "linux-image-$2" "$headers" "linux-headers-${2%-cloud-amd64}-common" "$kbuild"
}

# The cloud kernels that match the regular expression and have image and headers here, newest first.
cloud_kernels() {
    local kernel
    while read -r kernel; do
        if [[ -n $(candidate "linux-headers-$kernel") && -n $(candidate "linux-image-$kernel") ]]; then echo "$kernel"; fi
    done < <(apt-cache pkgnames linux-headers- | sed -n 's/^linux-headers-//p' | grep -xE -- "$1-cloud-amd64" | sort -rV)
}

vm_layers() {
    local kernels
    layer vm-tools '' busybox-static ovmf shim-signed shim-helpers-amd64-signed grub-efi-amd64-signed mokutil libefivar1 libkeyutils1
    mapfile -t kernels < <(cloud_kernels '6\.1\.[0-9]+-[0-9]+')
    if ((${#kernels[@]})); then vm_kernel vm-6.1 "${kernels[0]}"; else say 'vm-6.1: this archive has none'; fi
    # The farther from the newest, the more of its symbols have another checksum.
    if ((${#kernels[@]} > 1)); then vm_kernel vm-6.1-old "${kernels[-1]}"; else say 'vm-6.1-old: this archive has none'; fi
    mapfile -t kernels < <(cloud_kernels '6\.12\.[0-9]+\+deb12')
    if ((${#kernels[@]})); then vm_kernel vm-6.12 "${kernels[0]}"; else say 'vm-6.12: this archive has none'; fi
}

# The disk of a small Debian with two kernels, the newest and the oldest of 6.1, their headers, and what
# building needs.
debian_disk() {
    local dir=$layers/vm-debian suite kernels package packages versions='' root
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    mapfile -t kernels < <(cloud_kernels '6\.1\.[0-9]+-[0-9]+')
    if ((${#kernels[@]} < 2)); then say 'vm-debian: this archive has not two kernels for it'; return; fi
    if ! command -v mmdebstrap >/dev/null || [[ $(id -u) != 0 ]]; then say 'vm-debian: needs mmdebstrap and root'; return; fi
    kernels=("${kernels[0]}" "${kernels[-1]}")
    packages=(kmod mokutil make gcc libc6-dev cpio initramfs-tools zstd)
    for package in "${kernels[@]}"; do packages+=("linux-image-$package" "linux-headers-$package"); done
    for package in "${packages[@]}"; do versions+="$package=$(candidate "$package")"$'\n'; done
    if [[ -f $dir/stamp && $(<"$dir/stamp")$'\n' == "$versions" ]]; then say 'vm-debian: up to date'; return; fi
    say "vm-debian: $suite with ${packages[*]}"
    rm -rf "$dir"
    root=$dir/debian
    mkdir -p "$dir/root/srv/debian"
    # From the archive that apt uses here.
    apt-get indextargets --format "\$(ORIGIN) deb \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' \
        | sed -n 's/^Debian deb/deb/p' >"$dir/sources"
    if ! mmdebstrap --quiet --mode=root --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' "$suite" "$root" - <"$dir/sources"; then
        say 'vm-debian: could not be made'
        rm -rf "$root"
        return
    fi
    mke2fs -q -t ext4 -O ^has_journal -d "$root" "$dir/root/srv/debian/root.ext4" 2G >/dev/null
    cp "$root/boot/vmlinuz-${kernels[0]}" "$dir/root/srv/debian/vmlinuz"
    cp "$root/boot/initrd.img-${kernels[0]}" "$dir/root/srv/debian/initrd.img"
    printf '%s\n' "${kernels[@]}" >"$dir/root/srv/debian/kernels"
    rm -rf "$root" "$dir/sources"
    printf '%s' "${kernels[0]}" >"$dir/kernel"
    printf '%s' "$versions" >"$dir/stamp"
}

# packages [NAME...]: those, by default all.
packages() {
    local package version dir file names=("$@")
    ((${#names[@]})) || mapfile -t names < <(apt-cache search -n -- '-dkms$' | cut -d' ' -f1 | grep -vx dh-dkms)
    mkdir -p "$build/corpus"
    ln -sfn ../corpus "$layers/packages"
    while read -r package version; do
        dir=$build/corpus/$package
        if [[ -f $dir/.version && $(<"$dir/.version") == "$version" ]]; then continue; fi
        say "corpus: $package $version"
        rm -rf "$dir"
        mkdir -p "$dir"
        file=$(download "$package")
        dpkg -x "$file" "$dir"
        merge_usr "$dir"
        printf '%s' "$version" >"$dir/.version"
    done < <(apt-cache policy "${names[@]}" | awk '/^[^ ]/ { name = $1; sub(/:$/, "", name) } $1 == "Candidate:" { print name, $2 }')
    say "corpus: $(find "$build/corpus" -mindepth 1 -maxdepth 1 -type d | wc -l) packages"
}

# The packages of contrib and non-free, from lists of their own: this machine's apt stays as it is.
non_free_packages() {
    local dir=$layers/.non-free apt package version file names
    mkdir -p "$dir"/{lists/partial,cache/archives/partial} "$build/corpus"
    apt-get indextargets --format "\$(ORIGIN) deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \$(REPO_URI) \$(RELEASE) contrib non-free" \
        'Created-By: Packages' | sed -n 's/^Debian //p' | sort -u >"$dir/sources"
    : >"$dir/status"
    apt=(-qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$dir/sources" -o Dir::Etc::SourceParts=-
        -o Dir::State::Lists="$dir/lists" -o Dir::State::Status="$dir/status" -o Dir::Cache="$dir/cache" -o Acquire::Languages=none)
    if [[ ! -s $dir/sources ]] || ! apt-get "${apt[@]}" update; then say 'non-free: not available'; return; fi
    mapfile -t names < <(apt-cache "${apt[@]}" pkgnames | grep -e '-dkms$' | grep -vx dh-dkms)
    while read -r package version; do
        if [[ -f $build/corpus/$package/.version && $(<"$build/corpus/$package/.version") == "$version" ]]; then continue; fi
        say "corpus: $package $version"
        rm -rf "$build/corpus/$package"
        mkdir -p "$build/corpus/$package"
        (cd "$dir" && rm -f ./*.deb && apt-get "${apt[@]}" download "$package=$version")
        for file in "$dir"/*.deb; do dpkg -x "$file" "$build/corpus/$package"; done
        merge_usr "$build/corpus/$package"
        printf '%s' "$version" >"$build/corpus/$package/.version"
    done < <(apt-cache "${apt[@]}" policy "${names[@]}" | awk '/^[^ ]/ { name = $1; sub(/:$/, "", name) } $1 == "Candidate:" && $2 != "(none)" { print name, $2 }')
    rm -rf "$dir"
}

# The depmod of Debian 13, which writes the index as newer versions of kmod do: build/layers/depmod-34/depmod,
# with the libraries and the loader of that release beside it.
depmod_34() {
    local dir=$layers/depmod-34 arch apt
    if [[ -x $dir/depmod && -n $(find "$dir/stamp" -mtime -7 2>/dev/null) ]]; then say 'depmod-34: up to date'; return; fi
    arch=$(dpkg --print-architecture)
    mkdir -p "$dir"
    if ! other_lists "$dir/.apt" "$arch" trixie || ! unpack "$dir/root" kmod libkmod2 libc6 liblzma5 libzstd1 libssl3t64 zlib1g; then
        say 'depmod-34: not available'
        rm -rf "$dir/.apt"
        return
    fi
    rm -rf "$dir/.apt"
    cat >"$dir/depmod" <<'END'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
lib=$root/usr/lib/x86_64-linux-gnu
exec "$lib/ld-linux-x86-64.so.2" --argv0 depmod --library-path "$lib" "$root/usr/bin/kmod" "$@"
END
    chmod +x "$dir/depmod"
    "$dir/depmod" --version | head -n 1 >"$dir/stamp"
    say "depmod-34: $(<"$dir/stamp")"
}

# promtool checks metrics and queries. It is one static program; the package's dependencies are not needed
# (download: 19 MB).
promtool() {
    local dir=$layers/promtool version file
    version=$(candidate prometheus)
    if [[ -z $version ]]; then say 'promtool: this archive has none'; return; fi
    if [[ -x $dir/promtool && $(cat "$dir/stamp" 2>/dev/null) == "$version" ]]; then say 'promtool: up to date'; return; fi
    say "promtool: prometheus $version"
    file=$(download prometheus)
    rm -rf "$dir"
    mkdir -p "$dir"
    dpkg --fsys-tarfile "$file" | tar -x -C "$dir" --strip-components=3 ./usr/bin/promtool
    rm "$file"
    printf '%s' "$version" >"$dir/stamp"
}

# The oldest supported Rust, as Debian packages it next to the newer one.
msrv_toolchain() {
    local oldest=1.85.0 dir=$build/msrv version package file
    version=$(apt-cache madison rustc-web | awk -F'|' -v v="$oldest" 'index($2, v) { gsub(/ /, "", $2); print $2; exit }')
    if [[ -z $version ]]; then say "msrv: this archive has no rustc-web $oldest: skipped"; return; fi
    if [[ -f $dir/stamp && $(<"$dir/stamp") == "$version" ]]; then say 'msrv: up to date'; return; fi
    rm -rf "$dir"
    mkdir -p "$dir/root"
    say "msrv: rustc-web $version"
    for package in rustc-web cargo-web libstd-rust-web-dev libstd-rust-web-"${oldest%.*}"; do
        apt-cache madison "$package" | grep -qF "$version" || continue
        file=$(download "$package" "$version")
        dpkg -x "$file" "$dir/root"
    done
    # The compiler's libraries that the machine lacks (libLLVM, libgit2 ...).
    local round level=("rustc-web=$version" "cargo-web=$version" libstd-rust-web-"${oldest%.*}=$version")
    for round in 1 2 3 4 5 6; do
        local missing
        missing=$(missing_libraries "$dir/root")
        [[ -n $missing && ${#level[@]} != 0 ]] || break
        say "msrv: round $round, still missing: $missing"
        # The libraries that the last round's packages depend on.
        mapfile -t level < <(apt-cache depends "${level[@]}" | awk '$1 == "Depends:" && $2 ~ /^lib/ { print $2 }' | sort -u |
            grep -vxE 'lib(c6|gcc-s1|c6-dev|stdc\+\+6)')
        for package in "${level[@]}"; do
            [[ -n $(candidate "$package") ]] || continue
            dpkg -x "$(download "$package")" "$dir/root"
        done
        # Some have them in /lib.
        merge_usr "$dir/root"
    done
    printf '%s' "$version" >"$dir/stamp"
}

missing_libraries() {
    local lib=$1/usr/lib/x86_64-linux-gnu program
    for program in "$1"/usr/bin/rustc "$1"/usr/bin/cargo; do
        LD_LIBRARY_PATH=$lib ldd "$program" 2>/dev/null | awk '/not found/ { print $1 }'
    done | sort -u | tr '\n' ' '
}

# shellcheck source=tests/fetch-foreign.sh
. "$here/tests/fetch-foreign.sh"

command -v apt-get >/dev/null || { say 'no apt-get here: the end-to-end tests will be skipped'; exit 0; }
mkdir -p "$layers" "$debs"
# Two runs at once would unpack over each other.
exec 9>"$build/.fetch.lock"
flock 9
candidates=$build/.candidates
list_candidates
if [[ -z $(candidate linux-headers-amd64) || -z $(find /var/lib/apt/lists -name '*_Packages*' -mtime -1 2>/dev/null | head -n 1) ]]; then
    apt-get -qq update || say 'apt-get update failed; going on with the lists that are here'
    list_candidates
fi
if [[ $tools != no && $(id -u) == 0 ]]; then install_tools; fi
if [[ $tools == only ]]; then exit 0; fi
if [[ $demo == yes ]]; then
    headers_61
    packages v4l2loopback-dkms
    exit 0
fi
kernel_layers
if [[ $vm == yes ]]; then vm_layers; fi
if [[ $debian == yes ]]; then debian_disk; fi
arm64_layers
if [[ $riscv64 == yes ]]; then riscv64_layers; fi
layer dkms-debian '' dkms
depmod_34
promtool
packages
if [[ $nonfree == yes ]]; then non_free_packages; fi
if [[ $msrv == yes ]]; then msrv_toolchain; fi
say "done, $(du -sh "$build" | cut -f1) in ${build##*/}/"
