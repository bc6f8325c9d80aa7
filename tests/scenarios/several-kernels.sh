# Several kernels in one command: parallel builds, one transaction, one depmod for each kernel.
#: image
#: kernel 6.12
#: step install-for-two 0 ours
fixture multi-1.0
dkms install multi/1.0 -k "$K" -k "$K612"
same "$(dkms status)" "multi/1.0, $K, $A: installed
multi/1.0, $K612, $A: installed"
same "$(modinfo -F vermagic "/lib/modules/$K612/updates/dkms/alpha.ko" | cut -d' ' -f1)" "$K612"
#: step each-saw-the-usual-build-directory 0 ours
for k in "$K" "$K612"; do grep -q 'M=/var/lib/dkms/multi/1.0/build' "/var/lib/dkms/multi/1.0/$k/$A/log/make.log"; done
test ! -e /var/lib/dkms/multi/1.0/build
same "$(find /var/lib/dkms/multi/1.0 -mindepth 1 -maxdepth 1 -printf "%f " | tr " " "\n" | sort | xargs)" "$K $K612 source"
#: step depmod-once-each 0 ours
: >"/lib/modules/$K612/modules.dep"
echo depmod=program >>/etc/dkms/framework.conf
spy depmod
dkms uninstall multi/1.0 -k "$K612" -k "$K"
same "$(spied depmod)" 2
#: step one-of-two-fails 10 ours
fixture single-1.0
sed -i "1i #if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)\n#error not for this one\n#endif" /usr/src/single-1.0/single.c
sed -i '1i #include <linux/version.h>' /usr/src/single-1.0/single.c
dkms install single/1.0 -k "$K" -k "$K612"
#: step the-other-is-installed-and-the-log-kept 0 ours
same "$(dkms status single)" "single/1.0, $K, $A: installed"
grep -q 'not for this one' "/var/lib/dkms/single/1.0/.log/make-$K612-$A.log"
grep -q 'not for this one' /var/lib/dkms/single/1.0/build/make.log
test ! -e "/var/lib/dkms/single/1.0/.build-$K612-$A"
#: step autoinstall-for-all 0 ours
dkms remove single/1.0 --all
dkms remove multi/1.0 --all
rm -r /usr/src/single-1.0
fixture single-1.0 depa-1.0 depb-1.0
dkms add single/1.0; dkms add depa/1.0; dkms add depb/1.0
dkms autoinstall --all-kernels
same "$(dkms status | grep -c ': installed$')" 6
dkms autoinstall --all-kernels | grep -c 'has all it needs' | grep -qx 2
#: step all-kernels-and-one-kernel 2 ours
dkms autoinstall --all-kernels -k "$K"
#: step all-kernels-is-for-autoinstall 2 ours
dkms install single/1.0 --all-kernels
#: step remove-is-complete 0 ours
dkms remove depb/1.0 --all
test ! -e /var/lib/dkms/depb
same "$(installed depb; installed depb "$K612")" ""
#: step a-make-that-wants-its-own-jobs 0 ours
fixture single-1.0
dkms unbuild single/1.0 -k "$K"
dkms install single/1.0 -k "$K" --directive "MAKE=make -j7 -C /lib/modules/$K/build M=/var/lib/dkms/single/1.0/build"
grep -q '^# command: make KERNELRELEASE=.* -C ' "/var/lib/dkms/single/1.0/$K/$A/log/make.log"
! grep -q 'resetting jobserver' "/var/lib/dkms/single/1.0/$K/$A/log/make.log"
#: step depmod-fails 6 ours
dkms uninstall single/1.0 -k "$K"
cp -a "/lib/modules/$K" /root/before
mv "$(type -P depmod)" /root/depmod
printf '#!/bin/sh\n: >/lib/modules/%s/modules.dep\nexit 1\n' "$K" >/usr/local/sbin/depmod; chmod +x /usr/local/sbin/depmod
dkms install single/1.0 -k "$K"
#: step everything-is-as-before 0 ours
same "$(dkms status single -k "$K")" "single/1.0, $K, $A: built"
diff -r --no-dereference /root/before "/lib/modules/$K"
#: step depmod-lies 6 ours
printf '#!/bin/sh\n: >/lib/modules/%s/modules.dep\n' "$K" >/usr/local/sbin/depmod
dkms install single/1.0 -k "$K"
#: step the-index-is-there 0 ours
diff -r --no-dereference /root/before "/lib/modules/$K"
#: step autoinstall-names-each-kernel-with-failures 11 ours
mv /root/depmod /usr/local/sbin/depmod
fixture failmake-1.0
dkms add failmake/1.0
dkms autoinstall --all-kernels 2>/run/said || code=$?
grep -q "failed for kernel $K ($A), .* failed for kernel $K612 ($A)" /run/said
exit "$code"
