# Our modules are compressed like the kernel's own modules.
#: image
#: step xz 0
fixture single-1.0
find "/lib/modules/$K/kernel" -type f ! -name dummy.ko -delete
find "/lib/modules/$K/kernel/drivers/net" -name 'dummy.ko' -exec xz --check=crc32 {} +
depmod "$K"
dkms install single/1.0 -k "$K"
same "$(installed single)" "updates/dkms/single.ko.xz"
#: step xz-as-the-kernel-wants-it 0
xz -lvv "/lib/modules/$K/updates/dkms/single.ko.xz" >/run/xz
grep -q CRC32 /run/xz
! grep -qE 'dict=([2-9]|[1-9][0-9])MiB' /run/xz
modinfo -F signer "/lib/modules/$K/updates/dkms/single.ko.xz" | grep -q .
#: step zst 0
dkms remove single/1.0 --all
find "/lib/modules/$K" -name '*.ko.xz' -exec unxz {} +
find "/lib/modules/$K/kernel/drivers/net" -name 'dummy.ko' -exec zstd -q --rm {} +
depmod "$K"
dkms install single/1.0 -k "$K"
same "$(installed single)" "updates/dkms/single.ko.zst"
modinfo -F version "/lib/modules/$K/updates/dkms/single.ko.zst" | grep -qx 1.0
#: step a-link-is-no-module 0
dkms remove single/1.0 --all
find "/lib/modules/$K" -name '*.ko.zst' -exec unzstd -q --rm {} +
ln -s /nowhere "/lib/modules/$K/kernel/drivers/net/trap.ko.xz"
depmod "$K" 2>/dev/null || true
dkms install single/1.0 -k "$K"
same "$(installed single)" "updates/dkms/single.ko"
