# BUILD_EXCLUSIVE_*: exit code 77 if it excludes the package; one excluded module is left out; autoinstall skips it.
#: kernel 6.12
#: step whole-package 77
fixture exclwhole-1.0
dkms build exclwhole/1.0 -k "$K"
#: step whole-package-install 77
dkms install exclwhole/1.0 -k "$K"
#: step by-config 77
fixture exclconfig-1.0
dkms build exclconfig/1.0 -k "$K"
#: step autoinstall-skips 0
fixture single-1.0
dkms add single/1.0
dkms autoinstall -k "$K"
same "$(dkms status single)" "single/1.0, $K, $A: installed"
#: step one-module-left-out 0
fixture exclpart-1.0
dkms install exclpart/1.0 -k "$K"
same "$(installed dropme)" ""
same "$(installed keepme)" "updates/dkms/keepme.ko"
#: step both-on-newer 0
dkms install exclpart/1.0 -k "$K612"
test -n "$(installed dropme "$K612")" -a -n "$(installed keepme "$K612")"
#: step gone-cleanly 0
dkms remove exclpart/1.0 --all
same "$(installed keepme)$(installed keepme "$K612")" ""
