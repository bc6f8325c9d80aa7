# kernel_postinst, kernel_preinst, kernel_prerm, which hooks call when kernels are installed and removed. 3.0.10 has none
# of them.
#: image
#: kernel 6.12
#: step prepare 0
fixture ver-1.9 single-1.0
dkms add ver/1.9
dkms add single/1.0
dkms install ver/1.9 -k "$K"
#: step kernel-postinst 0 ours
dkms kernel_postinst -k "$K612"
same "$(dkms status single | grep -c "$K612.*installed")" 1
#: step kernel-prerm 0 ours
dkms kernel_prerm -k "$K612"
same "$(dkms status | grep -c "$K612" || true)" 0
test ! -e "/lib/modules/$K612/updates"
#: step kernel-preinst 0 ours
echo depmod=program >>/etc/dkms/framework.conf
spy depmod
dkms kernel_postinst -k "$K"
same "$(spied depmod)" 1
dkms kernel_preinst -k "$K"
same "$(dkms status | grep -c "$K,.*: \(built\|installed\)" || true)" 0
#: step kernel-prerm-needs-one 4 ours
dkms kernel_prerm -k "$K" -k "$K612"
#: step kernel-postinst-without-headers - ours
dkms kernel_postinst -k 5.4.0-none
#: step kernel-prerm-of-unknown-kernel 0 ours
dkms kernel_prerm -k 5.4.0-none
#: step one-that-fails-is-said 0 ours
fixture failmake-1.0
dkms add failmake/1.0
dkms kernel_postinst -k "$K" 2>/run/said
same "$(tail -n 2 /run/said)" "dkms: warning: kernel $K will start without failmake/1.0, unless that is fixed; its installation goes on
  'dkms pending -k $K' shows what is missing; hook_failure=fail in framework.conf stops here instead"
same "$(dkms status single/1.0 -k "$K")" "single/1.0, $K, $A: installed"
dkms pending -k "$K" >/run/said || true
grep -q '^failmake/1.0' /run/said
#: step and-recorded-for-autoinstall 11 ours
dkms autoinstall -k "$K"
#: step a-required-one-stops-it 11 ours
echo 'required_modules="zfs failmake"' >>/etc/dkms/framework.conf
dkms kernel_postinst -k "$K"
#: step no-other-one 0 ours
sed -i 's/zfs failmake/zfs/' /etc/dkms/framework.conf
dkms kernel_postinst -k "$K"
#: step nor-any-where-that-is-wanted 11 ours
echo 'hook_failure=fail' >>/etc/dkms/framework.conf
dkms kernel_postinst -k "$K"
#: step a-word-not-known 8 ours
echo 'hook_failure=maybe' >>/etc/dkms/framework.conf
dkms kernel_postinst -k "$K"
