# BUILD_DEPENDS in autoinstall: order, failures, loops, unknown names; one depmod for all.
#: image
#: step dependent-after-its-dependency 0
fixture depa-1.0 depb-1.0 single-1.0
dkms add depb/1.0; dkms add depa/1.0; dkms add single/1.0
dkms autoinstall -k "$K"
same "$(dkms status | grep -c installed)" 3
#: step again-nothing-to-do 0
spy make
dkms autoinstall -k "$K"
same "$(spied make)" 0
#: step symvers-kept 0
grep -q depa_value "/var/lib/dkms/depa/kernel-$K-$A/module/Module.symvers"
#: step one-depmod 0 ours
dkms unbuild depb/1.0 -k "$K"; dkms unbuild depa/1.0 -k "$K"; dkms unbuild single/1.0 -k "$K"
echo depmod=program >>/etc/dkms/framework.conf
spy depmod
dkms autoinstall -k "$K"
same "$(spied depmod)" 1
#: step failing-dependency 11
fixture failmake-1.0 needsfail-1.0 
dkms add needsfail/1.0; dkms add failmake/1.0
dkms remove single/1.0 --all
dkms add single/1.0
dkms autoinstall -k "$K"
#: step others-went-on 0
same "$(dkms status single)" "single/1.0, $K, $A: installed"
dkms remove needsfail/1.0 --all; dkms remove failmake/1.0 --all
#: step unknown-dependency-is-deferred 0
fixture unknowndep-1.0
dkms add unknowndep/1.0
dkms autoinstall -k "$K"
#: step loop 11
dkms remove unknowndep/1.0 --all
fixture loopa-1.0 loopb-1.0
dkms add loopa/1.0; dkms add loopb/1.0
dkms autoinstall -k "$K"
#: step loop-is-not-built 0
same "$(dkms status loopa; dkms status loopb)" $'loopa/1.0: added\nloopb/1.0: added'
