#!/bin/bash
# Inside the private root of clang::NAME: `clang.sh NAME`. The headers of Debian's kernel become those of a
# kernel that the installed clang compiled: its configuration names clang and lld, without options that only
# gcc knows.
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eu
src=/usr/src/linux-headers-$K
version=$(clang --version | head -n 1)
major=$(sed -n 's/.*clang version \([0-9]*\).*/\1/p' <<<"$version")
[[ $major ]]

# compiled_by TEXT: the configuration with this CONFIG_CC_VERSION_TEXT
compiled_by() {
    # Debian's headers choose gcc here.
    sed -i '/^CC = /d' "$src/.kernelvariables"
    sed -i -e "s/^\(CONFIG_CC_VERSION_TEXT=\"\?\)[^\"]*/\1$1/" \
        -e 's/^CONFIG_CC_IS_GCC=y/CONFIG_CC_IS_CLANG=y/' -e 's/^CONFIG_LD_IS_BFD=y/CONFIG_LD_IS_LLD=y/' \
        -e "s/^CONFIG_GCC_VERSION=.*/CONFIG_GCC_VERSION=0/" -e "s/^CONFIG_CLANG_VERSION=.*/CONFIG_CLANG_VERSION=${major}0000/" \
        -e '/^CONFIG_RETHUNK=/d' -e '/^CONFIG_GCC_PLUGINS/d' -e '/^CONFIG_FTRACE_MCOUNT_USE_CC=/d' \
        -e '/^CONFIG_INIT_STACK_ALL_ZERO=/d' \
        -e 's/^\(CONFIG_CC_IMPLICIT_FALLTHROUGH=.*\)=5/\1/' "$src/.config" "$src/include/config/auto.conf"
    sed -i -e 's/^#define CONFIG_CC_IS_GCC /#define CONFIG_CC_IS_CLANG /' \
        -e "s/^#define CONFIG_CLANG_VERSION .*/#define CONFIG_CLANG_VERSION ${major}0000/" "$src/include/generated/autoconf.h"
}
# The package, whose MAKE line calls make twice; each make reports its LLVM and its compiler.
package() {
    fixture single-1.0
    # shellcheck disable=SC2016
    echo '$(info kbuild: LLVM=$(LLVM) CC=$(CC))' >>/usr/src/single-1.0/Kbuild
    # shellcheck disable=SC2016
    printf '%s\n' 'MAKE="make -C $kernel_source_dir M=$dkms_tree/$module/$module_version/build clean; make -C $kernel_source_dir M=$dkms_tree/$module/$module_version/build modules"' \
        >>/usr/src/single-1.0/dkms.conf
}
log=/var/lib/dkms/single/1.0/$K/$A/log/make.log
# built_with VALUE COMPILER: each make of the line had this LLVM, and the module is clang's.
built_with() {
    local lines
    lines=$(grep '^kbuild:' "$log" | sort | uniq -c | awk '{ print ($1 >= 2) ? "several" : "one", $3, $4 }')
    same "$lines" "several LLVM=$1 CC=$2"
    [[ $(readelf -p .comment "/var/lib/dkms/single/1.0/$K/$A/module/single.ko") == *"clang version $major"* ]]
}
# hide PROGRAM...: makes it look as if it were not installed
hide() { local p; for p in "$@"; do rm -f "/usr/bin/$p" "/usr/local/bin/$p"; done; }
tools=(clang ld.lld llvm-ar llvm-nm llvm-objcopy)

every_make() {
    compiled_by "$version"
    package
    dkms install single/1.0 -k "$K"
    built_with 1 clang
    same "$(installed single)" updates/dkms/single.ko
    # dkms config and the log have the line as one would type it.
    dkms config single/1.0 -k "$K" | grep -q '"make": "LLVM=1 make '
    grep -q '^# command: LLVM=1 make ' "$log"
}
versioned() {
    hide "${tools[@]}" llvm-strip
    compiled_by "Ubuntu clang version $major.1.3 (1ubuntu1)"
    package
    dkms build single/1.0 -k "$K"
    built_with "-$major" "clang-$major"
}
another_version() { # the one without a version in its name, if the kernel's own is not installed
    compiled_by "clang version 99.1.0"
    package
    dkms build single/1.0 -k "$K"
    built_with 1 clang
}
scripts_too() { # PRE_BUILD, which may call make, has LLVM and the compiler's name
    hide "${tools[@]}"
    compiled_by "Debian clang version $major.0.6"
    package
    echo 'PRE_BUILD="pre.sh"' >>/usr/src/single-1.0/dkms.conf
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "script: $LLVM $CC $KERNEL_CC $LD"\n' >/usr/src/single-1.0/pre.sh
    chmod +x /usr/src/single-1.0/pre.sh
    dkms build single/1.0 -k "$K"
    grep -qx "script: -$major clang-$major clang-$major ld.lld-$major" "$log"
}
hint() {
    hide "${tools[@]}"
    for p in "${tools[@]}"; do hide "$p-$major"; done
    compiled_by "Debian clang version $major.0.6"
    package
    code 10 dkms build single/1.0 -k "$K" 2>/run/out
    cat /run/out
    grep -q "this kernel was compiled with clang $major" /run/out
    grep -q "(packages: clang-$major lld-$major llvm-$major)" /run/out
}
# A kernel for arm64: clang compiles for it without a cross compiler of gcc.
other_architecture() {
    local plain
    K=$(cd /usr/src && echo linux-headers-*-arm64)
    K=${K#linux-headers-} A=aarch64
    src=/usr/src/linux-headers-$K log=/var/lib/dkms/single/1.0/$K/$A/log/make.log
    rm -f /usr/bin/aarch64-linux-gnu-*
    compiled_by "$version"
    package
    echo 'STRIP=yes' >>/usr/src/single-1.0/dkms.conf
    dkms install single/1.0 -k "$K"
    built_with 1 clang
    grep -q '^# command: LLVM=1 ARCH=arm64 make ' "$log"
    plain=/var/lib/dkms/single/1.0/$K/$A/module/single.ko
    same "$(readelf -h "$plain" | sed -n 's/ *Machine: *//p')" AArch64
    [[ $(readelf -SW "$plain") != *debug_info* ]]
    dkms verify single/1.0 -k "$K"
    dkms config single/1.0 -k "$K" --fingerprint | grep -qE '^compiler=clang'
    dkms unbuild single/1.0 -k "$K"
    hide "${tools[@]}" "${tools[@]/%/-$major}"
    code 10 dkms build single/1.0 -k "$K" --no-cache >/run/said 2>&1 || { cat /run/said; return 1; }
    grep -q 'install the package clang' /run/said || { cat /run/said; return 1; }
}
gcc_kernel() { # nothing of this for a kernel that gcc compiled
    package
    dkms build single/1.0 -k "$K"
    [[ $(grep -c '^kbuild: LLVM= ' "$log") -ge 2 ]]
    if grep -q 'LLVM=[^ ]' "$log"; then exit 1; fi
}
"$1"
