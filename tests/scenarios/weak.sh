# weak-modules on a system of Red Hat's family, with a stand-in that links each module into every other kernel: links to
# modules that a kernel would not load are removed.
#: kernel 6.12
#: step linked-where-it-loads 0 ours
fixture single-1.0
printf 'ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="9.4"\n' >/etc/os-release
copy=$K.copy
mkdir "/lib/modules/$copy"
ln -s "$(readlink -f "/lib/modules/$K/build")" "/lib/modules/$copy/build"
mkdir /lib/modules/9.9.9-headless
cat >/usr/sbin/weak-modules <<'W'
#!/bin/bash
# Reads paths of modules; the other words are not looked at.
while read -r module; do
    for kernel in /lib/modules/*/; do
        [[ $module == "$kernel"* ]] && continue
        mkdir -p "$kernel/weak-updates"
        ln -sfn "$module" "$kernel/weak-updates/${module##*/}"
    done
done
W
chmod +x /usr/sbin/weak-modules
dkms install single/1.0 -k "$K" 2>/run/err
same "$(installed single)" "extra/single.ko"
same "$(readlink "/lib/modules/$copy/weak-updates/single.ko")" "/lib/modules/$K/extra/single.ko"
#: step not-where-symbols-differ 0 ours
test ! -e "/lib/modules/$K612/weak-updates"
grep -q "/lib/modules/$K612/weak-updates/single.ko was removed again: .*disagrees about version of symbol module_layout" /run/err
#: step not-on-unknown-systems 0 ours
test ! -e /lib/modules/9.9.9-headless/weak-updates
grep -q '/lib/modules/9.9.9-headless/weak-updates/single.ko was removed again: .*no Module.symvers' /run/err
#: step verify-and-status-know-the-link 0 ours
dkms status | grep -qx "single, 1.0, $K.copy, $A: installed-weak from $K"
dkms verify -k "$K.copy" | grep -qx "single/1.0, $K.copy, $A: single would load"
#: step who-calls-what-and-who-does-not 0 ours
dkms remove single/1.0 --all
rm -rf "/lib/modules/$K.copy" /lib/modules/9.9.9-headless
# Both log how they were called, and their input.
for tool in /usr/sbin/weak-modules /usr/lib/module-init-tools/weak-modules2; do
    mkdir -p "${tool%/*}"
    printf '%s\n' '#!/bin/sh' "echo \"${tool##*/} \$*\" >>/run/weak.log; cat >>/run/weak.log" >"$tool"
    chmod +x "$tool"
done
# with_os_release LINE...: installs and removes with this os-release; /run/weak.log lists the programs that were called.
with_os_release() {
    printf '%s\n' "$@" >/etc/os-release
    dkms build single/1.0 -k "$K" --force
    rm -f /run/weak.log; touch /run/weak.log
    dkms install single/1.0 -k "$K"
    dkms uninstall single/1.0 -k "$K"
}
red="weak-modules --no-initramfs --add-modules
/lib/modules/$K/extra/single.ko
weak-modules --no-initramfs --remove-modules
/lib/modules/$K/extra/single.ko"
suse="weak-modules2 --add-kernel-modules $K
/lib/modules/$K/updates/single.ko
weak-modules2 --remove-kernel-modules $K
/lib/modules/$K/updates/single.ko"
for like in fedora 'centos fedora'; do
    with_os_release 'ID="rhel"' "ID_LIKE=\"$like\""; same "$(</run/weak.log)" "$red"
done
for id in centos rocky almalinux; do
    with_os_release "ID=\"$id\"" 'ID_LIKE="rhel centos fedora"'; same "$(</run/weak.log)" "$red"
done
with_os_release 'ID="ol"' 'ID_LIKE="fedora"'; same "$(</run/weak.log)" "$red"
with_os_release 'ID="sles"' 'ID_LIKE="suse"'; same "$(</run/weak.log)" "$suse"
with_os_release 'ID="opensuse-leap"' 'ID_LIKE="suse opensuse"'; same "$(</run/weak.log)" "$suse"
for id in fedora debian arch gentoo alpine mageia; do
    with_os_release "ID=$id"; same "$(</run/weak.log)" ''
done
#: step nor-when-the-package-says-so 0 ours
echo 'NO_WEAK_MODULES="yes"' >>/usr/src/single-1.0/dkms.conf
rm -f /run/weak.log
printf 'ID="rhel"\nID_LIKE="fedora"\n' >/etc/os-release
dkms install single/1.0 -k "$K"
test ! -e /run/weak.log
