# BUILD_DEPENDS_REBUILD, and symbols of another package that MAKE does not mention. Only ours: 3.0.10 has neither.
#: image
#: step symbols-are-found 0 ours
fixture depa-1.0 depc-1.0
dkms add depa/1.0; dkms add depc/1.0
dkms autoinstall -k "$K"
same "$(dkms status)" "depa/1.0, $K, $A: installed
depc/1.0, $K, $A: installed"
same "$(cat "/var/lib/dkms/depc/1.0/$K/$A/.dep_depa")" "1.0"
modinfo -F depends "/lib/modules/$K/updates/dkms/depc.ko" | grep -q depa
#: step rebuilt-for-the-new-version 0 ours
fixture depa-2.0
sha256sum "/var/lib/dkms/depc/1.0/$K/$A/.manifest.json" >/root/before
echo depmod=program >>/etc/dkms/framework.conf
spy depmod
dkms install depa/2.0 -k "$K"
same "$(spied depmod)" 1
same "$(cat "/var/lib/dkms/depc/1.0/$K/$A/.dep_depa")" "2.0"
! sha256sum --status -c /root/before
same "$(dkms status depc)" "depc/1.0, $K, $A: installed"
same "$(dkms status depa | sort)" "depa/1.0, $K, $A: built
depa/2.0, $K, $A: installed"
#: step not-without-need 0 ours
spy make
dkms autoinstall -k "$K"
same "$(spied make)" 0
#: step not-for-another-package 0 ours
fixture single-1.0
sha256sum "/var/lib/dkms/depc/1.0/$K/$A/.manifest.json" >/root/before
dkms install single/1.0 -k "$K"
sha256sum --status -c /root/before
