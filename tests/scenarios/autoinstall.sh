# autoinstall, and the kernel_* actions the package hooks use.
#: image
#: kernel 6.12
#: step nothing-there 0
dkms autoinstall -k "$K"
#: step headers-missing-nothing-to-do 0
dkms autoinstall -k "$K612"
#: step newest-version-only 0
fixture ver-1.9 ver-1.10 noauto-1.0
dkms add ver/1.9; dkms add ver/1.10; dkms add noauto/1.0
dkms autoinstall -k "$K"
same "$(dkms status ver | grep installed)" "ver/1.10, $K, $A: installed"
same "$(dkms status noauto)" "noauto/1.0: added"
#: step broken-entry-stops-nobody 0
fixture single-1.0 crlf-1.0
dkms add single/1.0; dkms add crlf/1.0
rm -rf /usr/src/crlf-1.0
dkms autoinstall -k "$K"
same "$(dkms status single)" "single/1.0, $K, $A: installed"
#: step failure-stops-nobody 11
fixture failmake-1.0
dkms add failmake/1.0
dkms unbuild single/1.0 -k "$K"
dkms autoinstall -k "$K"
#: step failure-stopped-nobody 0
same "$(dkms status single)" "single/1.0, $K, $A: installed"
dkms remove failmake/1.0 --all
#: step several-kernels-are-one-too-many 4
dkms autoinstall -k "$K" -k "$K612"
#: step no-autoinstall-file 0
dkms unbuild single/1.0 -k "$K"
touch /etc/dkms/no-autoinstall
dkms autoinstall -k "$K"
#: step kernel-postinst 0 ours
rm -f /etc/dkms/no-autoinstall
dkms kernel_postinst -k "$K612"
same "$(dkms status single | grep -c "$K612.*installed")" 1
#: step kernel-prerm 0 ours
dkms kernel_prerm -k "$K612"
same "$(dkms status | grep -c "$K612" || true)" 0
test ! -e "/lib/modules/$K612/updates"
#: step kernel-preinst 0 ours
dkms kernel_postinst -k "$K"
dkms kernel_preinst -k "$K"
#: step kernel-prerm-needs-one 4 ours
dkms kernel_prerm -k "$K" -k "$K612"
#: step hook-postinst 0
run-parts --arg="$K612" --arg="/boot/vmlinuz-$K612" --regex '^dkms$' /etc/kernel/postinst.d
#: step hook-prerm 0
run-parts --arg="$K612" --arg="/boot/vmlinuz-$K612" --regex '^dkms$' /etc/kernel/prerm.d
#: step common-postinst 0
fixture ver-1.9
dkms remove ver/1.9 --all || true
/usr/lib/dkms/common.postinst ver 1.9 /usr/share/ver "" ""
