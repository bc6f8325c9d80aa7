# shellcheck shell=bash
# Sourced by the scripts of distributions::*, inside a private root with the layers vm-6.1-old and vm-6.1:
# functions for the tests of all package managers. Kernels are Debian's, in packages that are split and named
# like those of the distribution.
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eu

step() { echo "-- $*"; }
not() { ! "$@"; } # a "!" alone never ends the script
long() { [[ -n ${DKMS_TEST_LONG-} ]]; }
# Shows the end of its output when a script ends early.
trap 'code=$?; ((code == 0)) || { echo "exit $code in line $LINENO"; tail -n 30 /run/out 2>/dev/null; } >&2' EXIT

# kernel_of NAME: the release of the kernel of layer vm-NAME.
kernel_of() { local word; for word in $VM_KERNELS; do [[ $word != "$1="* ]] || echo "${word#*=}"; done; }
OLD=$(kernel_of 6.1-old) NEW=$(kernel_of 6.1)

# take_kernels: moves the files of kernel packages to /srv/KERNEL/{modules,headers,vmlinuz}, so that
# the machine has no kernel. A few modules are enough. The parts of headers that all flavours share stay.
take_kernels() {
    local kernel link
    for kernel in "$OLD" "$NEW"; do
        mkdir -p "/srv/$kernel/modules/kernel"
        cp -r "/usr/lib/modules/$kernel/kernel/lib" "/srv/$kernel/modules/kernel/"
        cp "/usr/lib/modules/$kernel"/modules.{order,builtin,builtin.modinfo} "/srv/$kernel/modules/"
        cp -r "/usr/src/linux-headers-$kernel" "/srv/$kernel/headers"
        for link in scripts tools; do
            ln -sfn "$(readlink -f "/usr/src/linux-headers-$kernel/$link")" "/srv/$kernel/headers/$link"
        done
        cp "/boot/vmlinuz-$kernel" "/srv/$kernel/vmlinuz"
        rm -rf "/usr/lib/modules/$kernel" "/usr/src/linux-headers-$kernel" /boot/*"-$kernel"
    done
}

# name_kernels OLD NEW: gives both kernels the names of this distribution, as if they
# were compiled with them.
name_kernels() {
    local headers
    mv "/srv/$OLD" "/srv/$1"
    mv "/srv/$NEW" "/srv/$2"
    OLD=$1 NEW=$2
    for kernel in "$OLD" "$NEW"; do
        headers=/srv/$kernel/headers
        echo "$kernel" >"$headers/include/config/kernel.release"
        echo "#define UTS_RELEASE \"$kernel\"" >"$headers/include/generated/utsrelease.h"
        sed -i "s/^override KERNELRELEASE.*/override KERNELRELEASE = $kernel/" "$headers/.kernelvariables"
    done
}

# complete_headers KERNEL: copies the needed files that Debian's flavors share into the headers.
# Then the headers work in any directory.
complete_headers() {
    local headers=/srv/$1/headers common part
    common=$(sed -n 's,^include \(.*\)/Makefile$,\1,p' "$headers/Makefile")
    for part in Makefile arch/x86/{include,Makefile,Makefile_32.cpu,Kbuild} include/linux/{atomic,byteorder,sched} \
        include/{asm-generic,vdso,video} include/uapi/{linux,asm-generic,video}; do
        [[ -e $common/$part ]] || continue
        mkdir -p "$(dirname "$headers/common/$part")"
        cp -r "$common/$part" "$headers/common/$part"
    done
    cp "$common"/include/linux/*.h "$headers/common/include/linux/"
    for part in scripts tools; do
        common=$(readlink -f "$headers/$part")
        rm "$headers/$part"
        cp -rL "$common" "$headers/$part"
    done
    ln -s ../scripts "$headers/common/scripts"
    echo 'include $(dir $(realpath $(lastword $(MAKEFILE_LIST))))common/Makefile' >"$headers/Makefile"
}

# source_of VERSION [LINE]: prints a folder with the sources of the module single of this version, with one
# more line of C.
source_of() {
    local dir=/srv/source/single-$1
    if [[ ! -d $dir ]]; then
        mkdir -p /srv/source
        cp -r /e2e/fixtures/single-1.0 "$dir"
        sed -i "s/\"1.0\"/\"$1\"/" "$dir/dkms.conf" "$dir/single.c"
        if (($# > 1)); then printf '%s\n' "$2" >>"$dir/single.c"; fi
    fi
    echo "$dir"
}

# status_is LINE...: "dkms status" prints these lines, except for the architecture.
status_is() {
    local want
    want=$(printf '%s\n' "$@" | sort)
    same "$(dkms status 2>&1 | sed 's/, x86_64:/:/' | sort)" "$want"
}
nothing_is_registered() { same "$(dkms status)" ''; }

# is_installed VERSION KERNEL PLACE: this version is in place and in the index.
is_installed() {
    same "$(installed single "$2")" "$3"
    same "$(modinfo -F version "/lib/modules/$2/$3")" "$1"
    grep -q "^$3:" "/lib/modules/$2/modules.dep"
}

# A stand-in for the programs that make an initramfs: it records, for the kernel, which modules of dkms
# modprobe finds. Its last word is the kernel.
cat >/usr/sbin/record-initramfs <<'S'
#!/bin/bash
kernel=${*: -1}
echo "initramfs $kernel $(modprobe -S "$kernel" --show-depends single 2>/dev/null | wc -l)" >>/run/order
S
chmod +x /usr/sbin/record-initramfs
# The order of events since the last call: the distribution's "depmod K", and "initramfs K N" with N modules
# in it.
events() { sort -u /run/order 2>/dev/null | cat; rm -f /run/order; }
in_order() { cat /run/order 2>/dev/null || true; rm -f /run/order; }

# waiting_source VERSION: a source whose build waits until it is interrupted.
waiting_source() {
    printf '#!/bin/sh\nexec sleep 61\n' >"$(source_of "$1")/wait.sh"
    chmod +x "/srv/source/single-$1/wait.sh"
    echo 'PRE_BUILD="wait.sh"' >"/etc/dkms/single-$1.conf"
}

# interrupt PATTERN COMMAND...: the command gets SIGINT, as the whole group of a terminal does, when a process
# runs whose command line matches. Prints its output to /run/out.
interrupt() {
    local pattern=$1 pid waited=0 code=0
    shift
    setsid env --default-signal=INT "$@" >/run/out 2>&1 &
    pid=$!
    until pgrep -f "$pattern" >/dev/null; do
        kill -0 "$pid" 2>/dev/null || { echo "ended before $pattern ran" >&2; return 97; }
        sleep 0.1
        ((++waited < 600)) || { echo "never saw $pattern" >&2; return 96; }
    done
    kill -INT -- "-$pid"
    wait "$pid" || code=$?
    echo "exit $code" >>/run/out
    # No process keeps running.
    not pgrep -f "$pattern"
}

# The state that preflight must not change. dnf always refreshes a cache for its completion,
# and every reader of rpm's database touches one of its files.
system_state() {
    find /etc /root/.rpmdb /usr/src /lib/modules /var/lib/dkms /var/cache /var/lib/{rpm,dnf,pacman} /var/log -xdev ! -path '*/.locks*' ! -path '/var/cache/dnf*' ! -name rpmdb.sqlite-shm \
        -printf '%p %s %T@\n' 2>/dev/null | grep -v '^/var/cache/dkms' | sort
}

# preflight_answers MANAGER PACKAGE...: dkms preflight builds for the kernel that the package manager offers
# next, with headers from these packages, and changes nothing.
preflight_answers() {
    local manager=$1 want
    shift
    want=$(printf "'%s', " "$@")
    system_state >/run/before
    dkms preflight --json >/run/json || { cat /run/json; return 1; }
    same "$(python3 -c 'import json; d = json.load(open("/run/json"))
for k in d["kernels"]: print(d["answer"], d["manager"], k["kernel"], k["headers"], *((p["package"], p["state"]) for p in k["packages"]))')" \
        "yes $manager $NEW [${want%, }] ('single', 'builds')"
    system_state | diff /run/before -
    same "$(find /tmp -name 'dkms-preflight*')" ''
    long || return 0
    # As an unprivileged user: for a given kernel, and for one that no repository has.
    mkdir -m 777 /run/user
    # In Debian, rpm's database is in the home of its user.
    [[ ! -d /root/.rpmdb ]] || cp -r /root/.rpmdb /run/user/
    chmod -R a+rwX /run/user
    (cd /run/user && TMPDIR=/run/user HOME=/run/user setpriv --reuid 1000 --regid 1000 --clear-groups dkms preflight "$NEW") >/run/out 2>&1
    grep -q "^Kernel $NEW would get its modules" /run/out
    code 2 dkms preflight "${NEW/6/9}" >/run/out 2>&1
    grep -q "Kernel ${NEW/6/9} cannot be checked" /run/out
}
