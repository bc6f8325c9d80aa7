# The index of modules that dkms writes equals the one that depmod writes.
#: image
#: step the-same-as-depmod-after-each-change 0 ours
fixture single-1.0 multi-1.0
# Compares every file with the one that depmod writes now.
cat >/usr/local/bin/is-depmods <<'EOF'
rm -rf /run/ours
mkdir /run/ours
cp "/lib/modules/$1"/modules.* /run/ours
depmod "$1"
for file in /run/ours/*; do cmp "$file" "/lib/modules/$1/${file##*/}" || exit 1; done
EOF
dkms install single/1.0 -k "$K" --verbose >/run/out
code 1 grep -q 'depmod writes the index' /run/out
sh /usr/local/bin/is-depmods "$K"
dkms install multi/1.0 -k "$K"
sh /usr/local/bin/is-depmods "$K"
dkms uninstall single/1.0 -k "$K"
sh /usr/local/bin/is-depmods "$K"
test -f "/var/lib/dkms/.index/$K-$A"
#: step fsck-finds-a-wrong-index-and-writes-it-again 0 ours
dkms fsck
sed -i 's/^updates.dkms.alpha.ko:/& kernel\/drivers\/net\/dummy.ko/' "/lib/modules/$K/modules.dep"
rm "/lib/modules/$K/modules.softdep"
before=$(ls -l --time-style=full-iso /var/lib/dkms/.index "/lib/modules/$K")
code 1 dkms fsck >/run/out
grep -q "/lib/modules/$K/modules.dep: is not what depmod would write.*(the same for modules.softdep)$" /run/out
same "$(ls -l --time-style=full-iso /var/lib/dkms/.index "/lib/modules/$K")" "$before"
code 1 dkms fsck --json | grep -q '"index-differs"'
dkms fsck --repair
sh /usr/local/bin/is-depmods "$K"
dkms fsck
# A module that was removed without depmod.
rm "/lib/modules/$K/kernel/drivers/net/dummy.ko"
code 1 dkms fsck
dkms fsck --repair
sh /usr/local/bin/is-depmods "$K"
# A kernel whose index dkms has not written is not read.
rm "/var/lib/dkms/.index/$K-$A"
echo >>"/lib/modules/$K/modules.dep"
dkms fsck
depmod "$K"
#: step a-damaged-cache-is-not-used 0 ours
dkms uninstall multi/1.0 -k "$K"
sed -i '3s/./X/' "/var/lib/dkms/.index/$K-$A"
dkms install single/1.0 -k "$K"
sh /usr/local/bin/is-depmods "$K"
#: step a-link-in-place-of-the-cache-is-not-followed 0 ours
rm -r /var/lib/dkms/.index
mkdir /root/elsewhere
ln -s /root/elsewhere /var/lib/dkms/.index
dkms uninstall single/1.0 -k "$K" --verbose >/run/out
grep -q 'depmod writes the index: .*\.index' /run/out
sh /usr/local/bin/is-depmods "$K"
same "$(ls -A /root/elsewhere)" ''
