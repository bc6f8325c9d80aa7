#!/bin/sh
# Alpine Linux: the trigger of the package dkms, for directories in /usr/src. apk passes those that changed.
# A package of a module removes it in its pre-deinstall script: dkms remove -m NAME -v VERSION --all
for dir in "$@"; do
    if [ -f "$dir/dkms.conf" ]; then printf '%s\n' "$dir/dkms.conf"; fi
done | /usr/lib/dkms/package_files install
# apk would mark the package as broken if its trigger failed.
exit 0
