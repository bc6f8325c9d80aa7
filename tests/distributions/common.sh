# shellcheck shell=bash
# Sourced by the scripts of distributions::*, inside a private root with the layers vm-6.1-old and vm-6.1: what the tests of
# all package managers share. A kernel is Debian's, in packages that are cut and named as the distribution's.
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

# take_kernels: moves what packages of kernels consist of to /srv/KERNEL/{modules,headers,vmlinuz}, so that the machine has no
# kernel. A few modules are enough. The parts of headers that all flavours share stay.
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

# source_of VERSION [LINE]: prints a folder with the sources of the module single of this version, with one more line of C.
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

# status_is LINE...: what "dkms status" prints, with the architecture left out.
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

# A stand-in for the programs that make an initramfs: it records, for the kernel, which modules of dkms modprobe finds.
# Its last word is the kernel.
cat >/usr/sbin/record-initramfs <<'S'
#!/bin/bash
kernel=${*: -1}
echo "initramfs $kernel $(modprobe -S "$kernel" --show-depends single 2>/dev/null | wc -l)" >>/run/order
S
chmod +x /usr/sbin/record-initramfs
# The order of events since the last call: "depmod K" of the distribution itself, "initramfs K N", N modules in it.
events() { sort -u /run/order 2>/dev/null | cat; rm -f /run/order; }
in_order() { cat /run/order 2>/dev/null || true; rm -f /run/order; }

# interrupt PATTERN COMMAND...: the command gets SIGINT, as the whole group of a terminal does, when a process runs whose
# command line matches. Prints its output to /run/out.
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
    # Nothing keeps running.
    not pgrep -f "$pattern"
}
