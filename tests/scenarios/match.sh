# match: the packages of the template kernel are installed for the other kernel.
#: kernel 6.12
#: step nothing-to-match 0
dkms match --templatekernel "$K" -k "$K612"
#: step same-set 0
fixture single-1.0 ver-1.9
dkms install single/1.0 -k "$K"
dkms add ver/1.9
dkms match --templatekernel "$K" -k "$K612"
same "$(dkms status single | grep -c ': installed')" 2
same "$(dkms status ver)" "ver/1.9: added"
#: step uninstall-everywhere 0
dkms uninstall single/1.0 --all
same "$(dkms status single | grep -c ': built')" 2
#: step unbuild-everywhere 0
dkms unbuild single/1.0 --all
same "$(dkms status single)" "single/1.0: added"
#: step remove-one-kernel 0
dkms install single/1.0 -k "$K"
dkms build single/1.0 -k "$K612"
dkms remove single/1.0 -k "$K"
same "$(dkms status single)" "single/1.0, $K612, $A: built"
#: step remove-the-last-kernel 0
dkms remove single/1.0 -k "$K612"
same "$(dkms status single)" ""
#: step remove-not-built-kernel -
dkms add single/1.0
dkms remove single/1.0 -k "$K"
#: step uninstall-not-installed -
dkms add single/1.0 || true
dkms uninstall single/1.0 -k "$K"
#: step status-of-nothing 0
same "$(dkms status -m nowhere)" ""
