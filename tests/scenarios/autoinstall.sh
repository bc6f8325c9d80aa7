# autoinstall, and the kernel_* actions that the hooks of packages call.
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
#: step broken-entry-does-not-stop-others 0
fixture single-1.0 crlf-1.0
dkms add single/1.0; dkms add crlf/1.0
rm -rf /usr/src/crlf-1.0
dkms autoinstall -k "$K"
same "$(dkms status single)" "single/1.0, $K, $A: installed"
#: step failure-does-not-stop-others 11
rm -rf /var/lib/dkms/crlf
dkms remove noauto/1.0 --all
fixture failmake-1.0
dkms add failmake/1.0
dkms unbuild single/1.0 -k "$K" || true
dkms autoinstall -k "$K"
#: step others-are-installed 0
same "$(dkms status single)" "single/1.0, $K, $A: installed"
dkms remove failmake/1.0 --all
#: step several-kernels-are-one-too-many 4
dkms autoinstall -k "$K" -k "$K612"
#: step no-autoinstall-file 0
dkms unbuild single/1.0 -k "$K" || true
touch /etc/dkms/no-autoinstall
dkms autoinstall -k "$K"
#: step hook-postinst 0
rm -f /etc/dkms/no-autoinstall
run-parts --arg="$K612" --arg="/boot/vmlinuz-$K612" --regex '^dkms$' /etc/kernel/postinst.d
#: step hook-prerm 0
run-parts --arg="$K612" --arg="/boot/vmlinuz-$K612" --regex '^dkms$' /etc/kernel/prerm.d
#: step common-postinst 0
fixture crlf-1.0
/usr/lib/dkms/common.postinst crlf 1.0 /usr/share/crlf "" ""
same "$(dkms status crlf)" "crlf/1.0, $K, $A: installed
crlf/1.0, $K612, $A: installed"
#: step common-postinst-again 0
/usr/lib/dkms/common.postinst crlf 1.0 /usr/share/crlf "" 1.0
