#!/bin/sh
# Fedora, RHEL and derivatives: /usr/lib/kernel/install.d/40-dkms.install, called by kernel-install(8) as:
# COMMAND KERNEL [...].
case $1 in
add)
    autoinstaller=/usr/lib/dkms/dkms_autoinstaller
    [ -x "$autoinstaller" ] || exit 0
    "$autoinstaller" start "$2"
    code=$?
    # 77: hold_kernel=yes, and required modules are missing. kernel-install creates no entry for this kernel.
    dkms kernel_hold -k "$2" >&2
    [ $? -ne 77 ] || exit 77
    exit "$code"
    ;;
remove)
    command -v dkms >/dev/null || exit 0
    exec dkms kernel_prerm -k "$2"
    ;;
esac
exit 0
