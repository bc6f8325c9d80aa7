#!/bin/bash
# The judge: what `dkms verify` says of a module is held against real kernels that load it or refuse, in virtual machines
# (qemu's software emulation). Which modules in which boots: tests/vm/cases.toml.
#
#   tests/vm.sh              the cheap boots; needs root, qemu-system-x86, mtools, gcc and build/layers (tests/fetch.sh)
#   tests/vm.sh --all        all boots, those through shim too, and then tests/secure-boot.sh
#   tests/vm.sh --observe    what the kernels do, without dkms; with --all or the names of boots
#   tests/vm.sh --mutations N [--seed S] [--doubtful D] [KERNEL...]
#                            N damaged modules, and D of those that could do anything (see vm/mutations.py)
set -u
# shellcheck source=tests/private.sh
. "$(dirname "$0")/private.sh"
needs qemu-system-x86_64 mcopy mkfs.vfat python3 gcc make cpio kmod zstd openssl

# The kernels that are here; 6.1 is the least.
names='vm-tools' VM_KERNELS=''
for name in vm-6.1 vm-6.1-old vm-6.12; do
    if [[ $name == vm-6.1 || -f $build/layers/$name/stamp ]]; then names+=" $name"; fi
    if [[ -f $build/layers/$name/stamp ]]; then VM_KERNELS+="${name#vm-}=$(<"$build/layers/$name/kernel") "; fi
done
export VM_KERNELS

if [[ ${1:-} == --mutations ]]; then
    shift
    private "$names" python3 /e2e/vm/mutations.py "$@"
    exit
fi

# In a shell of its own, since it ends that when it skips.
(private "$names" python3 /e2e/vm/judge.py "$@") || exit
if [[ " $* " == *' --all '* && " $* " != *' --observe '* ]]; then tests/secure-boot.sh; fi
