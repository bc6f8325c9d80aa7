# The index of a kernel's modules that dkms writes is the one that depmod writes.
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
#: step a-damaged-cache-is-not-used 0 ours
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
