# Several modules of one name in a kernel: all are archived, and all are restored. Only ours: 3.x never does this.
#: image
#: step several-are-archived 0 ours
fixture single-1.0
ko=$(foreign_module single-1.0 single)
mkdir -p "/lib/modules/$K/kernel/drivers/misc" "/lib/modules/$K/kernel/net/misc"
cp "$ko" "/lib/modules/$K/kernel/drivers/misc/single.ko"
cp "$ko" "/lib/modules/$K/kernel/net/misc/single.ko"
depmod "$K"
dkms install single/1.0 -k "$K"
same "$(installed single)" "updates/dkms/single.ko"
same "$(cd "/var/lib/dkms/single/original_module/$K/$A" && find . -name '*.ko' | sort)" "./collisions/kernel/drivers/misc/single.ko
./collisions/kernel/net/misc/single.ko"
same "$(cat "/var/lib/dkms/single/original_module/$K/$A/collisions/kernel/net/misc/single.ko.origin")" "/lib/modules/$K/kernel/net/misc/single.ko"
#: step another-version-takes-over 0 ours
fixture_as single-1.0 2.0
dkms install single/2.0 -k "$K"
same "$(installed single)" "updates/dkms/single.ko"
same "$(dkms status single/2.0)" "single/2.0, $K, $A: installed (Original modules exist)"
#: step all-come-back 0 ours
dkms uninstall single/2.0 -k "$K"
same "$(installed single)" "kernel/drivers/misc/single.ko
kernel/net/misc/single.ko"
test ! -e /var/lib/dkms/single/original_module
#: step a-taken-place-is-respected 0 ours
rm "/lib/modules/$K/kernel/net/misc/single.ko"
dkms install single/1.0 -k "$K" --force
same "$(installed single)" "updates/dkms/single.ko"
# The kernel's package puts a new one there.
cp "$(foreign_module ver-1.9 ver)" "/lib/modules/$K/kernel/drivers/misc/single.ko"
dkms uninstall single/1.0 -k "$K"
same "$(modinfo -F version "/lib/modules/$K/kernel/drivers/misc/single.ko")" "1.9"
test -s "/var/lib/dkms/single/original_module/$K/$A/single.ko"
