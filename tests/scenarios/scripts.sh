# The six scripts: order, working directory, what their failure does; overrides in /etc/dkms.
#: step all-six 0
fixture scripts-1.0
dkms install scripts/1.0 -k "$K"
dkms remove scripts/1.0 --all
same "$(cut -d' ' -f1 /run/hooks.log | tr '\n' ' ')" "post_add pre_build post_build pre_install post_install post_remove "
#: step where-they-run 0
same "$(sed -n '2p' /run/hooks.log)" "pre_build /var/lib/dkms/scripts/1.0/build"
same "$(sed -n '3p' /run/hooks.log)" "post_build /var/lib/dkms/scripts/1.0/build"
#: step where-the-others-run 0
grep -E '^(post_add|pre_install|post_install|post_remove) ' /run/hooks.log | cut -d' ' -f2 |
    sed 's,^/var/lib/dkms/scripts/1.0/source,/usr/src/scripts-1.0,' | sort -u >/run/where
same "$(cat /run/where)" "/usr/src/scripts-1.0"
#: step pre-build-code-passed-on 42
echo 42 >/run/fail-pre_build
dkms build scripts/1.0 -k "$K"
#: step pre-install-aborts 101
rm /run/fail-pre_build
echo 3 >/run/fail-pre_install
dkms install scripts/1.0 -k "$K"
#: step nothing-installed 0
same "$(installed scripts)" ""
same "$(dkms status)" "scripts/1.0, $K, $A: built"
#: step forced-over-pre-install 0
dkms install scripts/1.0 -k "$K" --force
#: step post-scripts-only-warn 0
rm -f /run/fail-*
echo 3 >/run/fail-post_install
echo 3 >/run/fail-post_remove
dkms uninstall scripts/1.0 -k "$K"
dkms install scripts/1.0 -k "$K"
#: step administrator-script-wins 0 ours
rm -f /run/fail-*
mkdir -p /etc/dkms/scripts
printf '#!/bin/sh\necho "admin $1" >>/run/admin.log\n' >/etc/dkms/scripts/note.sh
chmod +x /etc/dkms/scripts/note.sh
dkms build scripts/1.0 -k "$K" --force
grep -q 'admin pre_build' /run/admin.log
#: step not-executable-is-skipped 0
rm -rf /etc/dkms/scripts
chmod -x /usr/src/scripts-1.0/note.sh
rm -f /run/hooks.log
dkms remove scripts/1.0 --all
dkms install scripts/1.0 -k "$K"
test ! -e /run/hooks.log
