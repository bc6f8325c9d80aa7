#!/bin/sh
# Fedora, RHEL and derivatives: /usr/lib/kernel/install.d/40-dkms.install, called by kernel-install(8) as: COMMAND KERNEL [...].
case $1 in
add)
    autoinstaller=/usr/lib/dkms/dkms_autoinstaller
    [ -x "$autoinstaller" ] || exit 0
    exec "$autoinstaller" start "$2"
    ;;
remove)
    command -v dkms >/dev/null || exit 0
    exec dkms kernel_prerm -k "$2"
    ;;
esac
exit 0
