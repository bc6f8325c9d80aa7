#!/bin/bash
# The inside of one private root. Started as process 1 of its own mount and PID namespaces:
#
#   root-setup.sh TESTS_DIR LAYER...     (first layer wins)
#
# Lays the layers and the machine's own files (read-only) under a memory file system, so that nothing
# here is ever written to. Says "ready" and waits: when its standard input closes, all of it is gone.
# With E2E_RUN it runs that instead; with E2E_DKMS that binary is dkms in there.
set -euo pipefail
tests=$1
shift

# /mnt is private to this namespace; nothing is left on the machine.
mount -t tmpfs -o mode=755 e2e /mnt
mkdir -p /mnt/{empty1,empty2,layers,mask,upper,work,root}

# One file system cannot hold two overlapping layers ("/" and a folder in it), so the layers are
# first joined into an overlay of their own.
joined=/mnt/empty1:/mnt/empty2
for layer in "$@"; do joined+=:$layer; done
mount -t overlay -o "ro,lowerdir=$joined" layers /mnt/layers

# What the machine itself may have of kernels and dkms must not show: whiteouts. Nor may LLVM's plug-in, which every nm of
# a build would load (6 % of its time).
for path in /usr/src /usr/lib/modules /boot /var/lib/dkms /var/cache/dkms /etc/dkms /usr/sbin/dkms /usr/lib/dkms \
    /usr/share/dkms /usr/lib/kernel/install.d/40-dkms.install /etc/kernel/{postinst,header_postinst,preinst,prerm}.d/dkms \
    /var/lib/shim-signed /etc/modprobe.d/dkms.conf /.dockerenv /usr/lib/linux-kbuild-* \
    /usr/lib/bfd-plugins/LLVM*; do
    mkdir -p "/mnt/mask${path%/*}"
    mknod "/mnt/mask$path" c 0 0
done

mount -t overlay -o lowerdir=/mnt/layers:/mnt/mask:/,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root
cd /mnt/root
mkdir -p usr/src usr/lib/modules boot var/lib/dkms etc/dkms e2e examples packaging docs proc sys dev tmp run root
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 run run
mount --bind "$tests" e2e
mount -o remount,bind,ro e2e
for folder in examples packaging docs; do
    mount --bind "$tests/../$folder" "$folder"
    mount -o remount,bind,ro "$folder"
done
mkdir -p run/lock
if [[ -n ${E2E_DKMS-} ]]; then
    rm -f usr/sbin/dkms
    cp "$E2E_DKMS" usr/sbin/dkms
fi
# Not chroot: who is in one gets no user namespace.
pivot_root . .
umount -l .
# shellcheck disable=SC2016  # for the inner shell
exec /bin/bash -c "${E2E_RUN:-cd /; echo ready; read -r _ || true}"
