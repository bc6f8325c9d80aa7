#!/bin/sh
# Debian: /usr/lib/kernel/install.d/40-dkms.install, called by kernel-install(8) as: COMMAND KERNEL [...].
# The kernel hooks do the work. If an administrator has deleted one of them, it is disabled here too.
case $1 in
add) hook=/etc/kernel/postinst.d/dkms ;;
remove) hook=/etc/kernel/prerm.d/dkms ;;
*) exit 0 ;;
esac
[ -x "$hook" ] || exit 0
# hold is called below, once, because its exit code counts there.
DKMS_HOLD_LATER=1 "$hook" "$2"
code=$?
if [ "$1" = add ] && command -v dkms >/dev/null; then
    # 77: hold_kernel=yes, and required modules are missing. kernel-install creates no entry for this kernel.
    dkms kernel_hold -k "$2" >&2
    [ $? -ne 77 ] || exit 77
fi
exit "$code"
