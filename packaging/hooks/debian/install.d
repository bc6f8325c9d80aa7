#!/bin/sh
# Debian: /usr/lib/kernel/install.d/40-dkms.install, called by kernel-install(8) as: COMMAND KERNEL [...].
# The kernel hooks do the work. If an administrator has deleted one of them, it is disabled here too.
case $1 in
add) hook=/etc/kernel/postinst.d/dkms ;;
remove) hook=/etc/kernel/prerm.d/dkms ;;
*) exit 0 ;;
esac
[ -x "$hook" ] || exit 0
exec "$hook" "$2"
