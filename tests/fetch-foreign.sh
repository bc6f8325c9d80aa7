# shellcheck shell=bash disable=SC2154 # fetch.sh sets the variables
# Part of fetch.sh: packages of other architectures and of Debian 13, from lists of their own. Those of this
# machine stay as they are.

# The archive of Debian that apt uses here.
debian_archive() { apt-get indextargets --format "\$(ORIGIN) \$(REPO_URI)" 'Created-By: Packages' | sed -n 's/^Debian //p' | grep -v security | head -n 1; }

# other_lists DIR ARCH [SUITE]: the options for apt in `apt`, with lists of this architecture, of this release
# or SUITE.
other_lists() {
    local dir=$1 options="[arch=$2 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" archive
    mkdir -p "$dir"/{lists/partial,cache/archives/partial}
    : >"$dir/status"
    if [[ -n ${3-} ]]; then
        archive=$(debian_archive)
        printf '%s' "${archive:+deb $options $archive $3 main}" >"$dir/sources"
    else
        apt-get indextargets --format "\$(ORIGIN) deb $options \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' |
            sed -n 's/^Debian //p' >"$dir/sources"
    fi
    apt=(-qq -o APT::Sandbox::User=root -o "APT::Architecture=$2" -o "APT::Architectures=$2" -o Dir::Etc::SourceList="$dir/sources"
        -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$dir/lists" -o Dir::State::Status="$dir/status" -o Dir::Cache="$dir/cache"
        -o Acquire::Languages=none)
    [[ -s $dir/sources ]] && apt-get "${apt[@]}" update
}
other_candidate() { apt-cache "${apt[@]}" policy "$1" | awk '$1 == "Candidate:" { print $2 }'; }

# unpack DIR PACKAGE...: those of `apt`, into an empty directory.
unpack() {
    local root=$1 package file version
    shift
    rm -rf "$root"
    mkdir -p "$root"
    for package in "$@"; do
        version=$(other_candidate "$package")
        file=$debs/${package}_${version//:/%3a}_
        if [[ ! -e $file$arch.deb && ! -e ${file}all.deb ]]; then (cd "$debs" && apt-get "${apt[@]}" download "$package=$version") >&2; fi
        for file in "$file$arch.deb" "${file}all.deb"; do
            if [[ -e $file ]]; then dpkg -x "$file" "$root"; fi
        done
    done
    merge_usr "$root"
}

# Records the content of the layers of an architecture.
stamp_layers() { # KERNEL LAYER...
    local kernel=$1 layer
    shift
    for layer in "$@"; do
        [[ -d $layers/$layer/root ]] || continue
        printf '%s' "$kernel" >"$layers/$layer/kernel"
        printf '%s=%s\n' "$kernel" "$(other_candidate "linux-headers-$kernel")" >"$layers/$layer/stamp"
    done
}

# The userland of a guest.
guest=(busybox-static kmod libkmod2 libzstd1 liblzma5 libc6)

# An arm64 kernel. The cloud flavour is the smallest.
arm64_layers() {
    local dir=$layers/.arm64 arch=arm64 apt kernel
    kernel=$(cat "$layers/headers-arm64/kernel" 2>/dev/null || true)
    if [[ -n $(find "$layers/kbuild-arm64/kernel" -mtime -7 2>/dev/null) && ( $arm64 == no || -e $layers/vm-arm64/kernel ) ]]; then
        say "arm64: up to date ($kernel)"
        return
    fi
    if ! other_lists "$dir" arm64; then say 'arm64: not available'; return; fi
    kernel=$(apt-cache "${apt[@]}" pkgnames linux-headers-6.1.0- | sed -n 's/^linux-headers-//p' | grep -xE '6\.1\.0-[0-9]+-cloud-arm64' | sort -V | tail -n 1)
    say "arm64: $kernel"
    unpack "$layers/headers-arm64/root" "linux-headers-$kernel" "linux-headers-${kernel%-cloud-arm64}-common"
    unpack "$layers/kbuild-arm64/root" linux-kbuild-6.1
    if [[ $arm64 == yes ]]; then
        unpack "$layers/vm-arm64/root" "linux-image-$kernel"
        depmod -b "$layers/vm-arm64/root/usr" "$kernel"
        unpack "$layers/vm-arm64/root/srv/arm64" "${guest[@]}" libssl3
    fi
    stamp_layers "$kernel" headers-arm64 kbuild-arm64 vm-arm64
    rm -rf "$dir"
}

# A riscv64 kernel of Debian 13 (before, Debian had none), and what compiles for it: gcc 14 and pahole of that
# release, which run with its own libraries.
riscv64_layers() {
    local dir=$layers/.riscv64 arch=riscv64 apt kernel program
    kernel=$(cat "$layers/vm-riscv64/kernel" 2>/dev/null || true)
    if [[ -n $(find "$layers/tools-riscv64/kernel" -mtime -7 2>/dev/null) ]]; then say "riscv64: up to date ($kernel)"; return; fi
    if ! other_lists "$dir" riscv64 trixie; then say 'riscv64: not available'; return; fi
    kernel=$(apt-cache "${apt[@]}" pkgnames linux-headers-6 | sed -n 's/^linux-headers-//p' | grep -xE '6\.[0-9.]+\+deb13-riscv64' | sort -V | tail -n 1)
    say "riscv64: $kernel"
    unpack "$layers/headers-riscv64/root" "linux-headers-$kernel" "linux-headers-${kernel%-riscv64}-common"
    unpack "$layers/kbuild-riscv64/root" "linux-kbuild-${kernel%-riscv64}" libc6 libelf1t64 libssl3t64 libzstd1 zlib1g
    unpack "$layers/vm-riscv64/root" "linux-image-$kernel"
    depmod -b "$layers/vm-riscv64/root/usr" "$kernel"
    unpack "$layers/vm-riscv64/root/srv/riscv64" "${guest[@]}" libssl3t64 zlib1g
    stamp_layers "$kernel" headers-riscv64 kbuild-riscv64 vm-riscv64
    arch=$(dpkg --print-architecture)
    other_lists "$dir" "$arch" trixie
    local tools=$layers/tools-riscv64/root
    rm -rf "$tools"
    unpack "$tools/usr/lib/debian-13" gcc-14-riscv64-linux-gnu cpp-14-riscv64-linux-gnu binutils-riscv64-linux-gnu binutils-common \
        libgcc-14-dev-riscv64-cross libc6 libgmp10 libmpfr6 libmpc3 libisl23 zlib1g libzstd1 libsframe1 libjansson4 libstdc++6 libgcc-s1 \
        pahole libdw1t64 libelf1t64 libbpf1 liblzma5 libbz2-1.0
    with_own_libraries "$tools" debian-13
    mkdir -p "$tools/usr/bin"
    for program in "$tools"/usr/lib/debian-13/usr/bin/{riscv64-linux-gnu-*,pahole}; do
        ln -s "../lib/debian-13/usr/bin/${program##*/}" "$tools/usr/bin/"
    done
    printf '%s' "$kernel" >"$layers/tools-riscv64/kernel"
    printf '%s=%s\n' "$kernel" "$(other_candidate pahole)" >"$layers/tools-riscv64/stamp"
    rm -rf "$dir"
}

# with_own_libraries ROOT NAME: the programs of a system in ROOT/usr/lib/NAME run with the libraries there,
# when ROOT is laid over the root of this machine.
with_own_libraries() {
    local top=$1/usr/lib/$2 lib program real
    lib=/usr/lib/$2/usr/lib/x86_64-linux-gnu
    find "$top/usr/bin" "$top/usr/lib" "$top/usr/libexec" -type f -perm -u+x ! -name '*.so*' -print0 | while IFS= read -r -d '' program; do
        [[ $(head -c 4 "$program" | tail -c 3) == ELF ]] || continue
        real=${program#"$1"}.real
        mv "$program" "$program.real"
        # shellcheck disable=SC2016 # for the script
        printf '#!/bin/sh\nexec %s/ld-linux-x86-64.so.2 --argv0 "$0" --library-path %s %s "$@"\n' "$lib" "$lib" "$real" >"$program"
        chmod +x "$program"
    done
}
