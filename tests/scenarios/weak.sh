# weak-modules on a system of Red Hat's family, with a stand-in that links everything into every other kernel: what a
# kernel would not load is not left linked.
#: kernel 6.12
#: step linked-where-it-loads 0 ours
fixture single-1.0
printf 'ID=rhel\nVERSION_ID=9\n' >/etc/os-release
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
grep -q "/lib/modules/$K612/weak-updates/single.ko was taken back: .*disagrees about version of symbol module_layout" /run/err
#: step not-where-nobody-knows 0 ours
test ! -e /lib/modules/9.9.9-headless/weak-updates
grep -q '/lib/modules/9.9.9-headless/weak-updates/single.ko was taken back: .*no Module.symvers' /run/err
#: step verify-and-status-know-the-link 0 ours
dkms status | grep -qx "single, 1.0, $K.copy, $A: installed-weak from $K"
dkms verify -k "$K.copy" | grep -qx "single/1.0, $K.copy, $A: single would load"
