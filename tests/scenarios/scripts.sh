# The six scripts: their order, their working directory, the effect of a failure; overrides in /etc/dkms.
#: step all-six 0
fixture scripts-1.0
# They note down in /run that they ran; Debian's dkms takes this for a variable of no meaning.
echo 'CONFINE_WRITE="/run"' >/etc/dkms/scripts.conf
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
#: step what-scripts-see 0
chmod +x /usr/src/scripts-1.0/note.sh
dkms remove scripts/1.0 --all
cat >/usr/src/scripts-1.0/note.sh <<'S'
#!/bin/sh
echo "$1 kernelver=$kernelver arch=$arch module=$module module_version=$module_version" >>/run/seen
S
# As from a script that set them for itself.
kernelver=stale arch=stale module=stale module_version=stale dkms install scripts/1.0 -k "$K"
sed -n '/^p[a-z]*_\(build\|install\) /p' /run/seen >/run/seen.sorted
same "$(cat /run/seen.sorted)" "$(for s in pre_build post_build pre_install post_install; do echo "$s kernelver=$K arch=$A module=scripts module_version=1.0"; done)"
#: step add-and-remove-see-nothing-stale 0 ours
dkms remove scripts/1.0 --all
rm /run/seen
kernelver=stale arch=stale module=stale module_version=stale dkms add scripts/1.0
kernelver=stale arch=stale module=stale module_version=stale dkms install scripts/1.0 -k "$K"
kernelver=stale arch=stale module=stale module_version=stale dkms remove scripts/1.0 --all
same "$(grep post_add /run/seen)" "post_add kernelver= arch= module=scripts module_version=1.0"
same "$(grep post_remove /run/seen)" "post_remove kernelver=$K arch=$A module=scripts module_version=1.0"
dkms install scripts/1.0 -k "$K"
#: step build-scripts-are-lines-of-shell 0 ours
dkms remove scripts/1.0 --all
printf '#!/bin/sh\nprintf "<%%s>" "$@" >>/run/arguments\n' >/usr/src/scripts-1.0/note.sh
sed -i '/^P[A-Z]*_\(ADD\|BUILD\|INSTALL\|REMOVE\)/d' /usr/src/scripts-1.0/dkms.conf
cat >>/usr/src/scripts-1.0/dkms.conf <<'C'
PRE_BUILD="note.sh 'two words' --with='x y' && echo more >>/run/arguments; echo last >>/run/arguments"
POST_BUILD="note.sh $dkms_tree/scripts/1.0/build/scripts.[c]"
POST_INSTALL="note.sh 'not quoted' $dkms_tree/scripts/1.0/source/scripts.[c] && no shell"
C
dkms install scripts/1.0 -k "$K"
same "$(cat /run/arguments)" "<two words><--with=x y>more
last
</var/lib/dkms/scripts/1.0/build/scripts.c><'not><quoted'></var/lib/dkms/scripts/1.0/source/scripts.c><&&><no><shell>"
#: step a-script-outside-is-not-run 0 ours
dkms remove scripts/1.0 --all
printf '#!/bin/sh\ntouch /run/outside\n' >/opt/outside.sh
chmod +x /opt/outside.sh
for script in PRE_BUILD POST_BUILD PRE_INSTALL POST_INSTALL; do
    sed -i '/^P[A-Z]*_\(BUILD\|INSTALL\)/d' /usr/src/scripts-1.0/dkms.conf
    echo "$script=/opt/outside.sh" >>/usr/src/scripts-1.0/dkms.conf
    dkms install scripts/1.0 -k "$K"
    dkms remove scripts/1.0 --all
    test ! -e /run/outside
done
#: step a-script-that-cannot-start-failed 101 ours
sed -i '/^P[A-Z]*_\(BUILD\|INSTALL\)/d' /usr/src/scripts-1.0/dkms.conf
printf '#!/no/such/interpreter\n' >/usr/src/scripts-1.0/note.sh
echo PRE_INSTALL=note.sh >>/usr/src/scripts-1.0/dkms.conf
dkms install scripts/1.0 -k "$K"
#: step unless-forced 0 ours
dkms install scripts/1.0 -k "$K" --force
#: step a-failing-post-add-is-passed-on 7 ours
dkms remove scripts/1.0 --all
printf '#!/bin/sh\nexit 7\n' >/usr/src/scripts-1.0/note.sh
echo POST_ADD=note.sh >>/usr/src/scripts-1.0/dkms.conf
dkms add scripts/1.0
#: step the-compiler-in-installation-scripts 0
dkms remove scripts/1.0 --all || true
sed -i '/^P[A-Z]*_\(ADD\|BUILD\|INSTALL\|REMOVE\)/d' /usr/src/scripts-1.0/dkms.conf
printf '#!/bin/sh\necho "$1 $CC" >>/run/compiler\n' >/usr/src/scripts-1.0/note.sh
chmod +x /usr/src/scripts-1.0/note.sh
printf '%s="note.sh %s"\n' PRE_INSTALL before POST_INSTALL after >>/usr/src/scripts-1.0/dkms.conf
dkms install scripts/1.0 -k "$K"
same "$(cat /run/compiler)" "before gcc-12
after gcc-12"
#: step a-script-that-is-not-known-any-more-is-reported 0 ours
# As dkms 3.x leaves a build: without a record, so POST_REMOVE is only in dkms.conf.
rm "/var/lib/dkms/scripts/1.0/$K/$A/.manifest.json"
rm /usr/src/scripts-1.0/dkms.conf
dkms uninstall scripts/1.0 -k "$K" 2>&1 | grep -q 'if scripts/1.0 has a POST_REMOVE script, it is not run: '
same "$(installed scripts)" ""
