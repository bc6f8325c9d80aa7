# The sample dkms.conf files in /examples: lint finds nothing, they build for both kernels, and they do what they describe.
#: image
#: kernel 6.12
#: step they-are-clean 0 ours
for dir in /examples/[0-9]*; do
    same "$(dkms lint "$dir")" "$dir/dkms.conf is clean"
    same "$(dkms lint "$dir" -k "$K612")" "$dir/dkms.conf is clean"
done
#: step everything-is-everything 0 ours
# Each directive that is not of old, with a line about it above the first of its name.
conf=/examples/6-everything/dkms.conf
for name in PACKAGE_NAME PACKAGE_VERSION AUTOINSTALL NO_WEAK_MODULES STRIP {BUILT,DEST}_MODULE_{NAME,LOCATION} \
    BUILD_DEPENDS{,_REBUILD} BUILD_EXCLUSIVE_{KERNEL,KERNEL_MIN,KERNEL_MAX,ARCH,CONFIG} MAKE{,_MATCH} PATCH{,_MATCH} \
    POST_{ADD,BUILD,INSTALL,REMOVE} PRE_{BUILD,INSTALL}; do
    grep -Eq "^$name(\[0\]|\[1\])?=" "$conf" || { echo "$name is not there"; exit 1; }
done
same "$(grep -B1 -E '^[A-Z_]+(\[0\])?=' "$conf" | grep -c '^$')" 0
#: step smallest 0
cp -r /examples /root/examples
dkms install /root/examples/1-smallest -k "$K"
same "$(installed hello)" updates/dkms/hello.ko
test -f /usr/src/hello-1.0/hello.c
#: step for-the-other-kernel 0
dkms install hello/1.0 -k "$K612"
same "$(installed hello "$K612")" updates/dkms/hello.ko
#: step several-modules 0
dkms install /root/examples/2-several-modules -k "$K"
dkms install greet/1.0 -k "$K612"
for k in "$K" "$K612"; do
    same "$(installed greet "$k") $(installed greet_user "$k")" "updates/dkms/greet.ko updates/dkms/greet_user.ko"
done
same "$(modinfo -F depends "/lib/modules/$K/updates/dkms/greet_user.ko")" greet
#: step several-kernels 0
dkms install /root/examples/3-several-kernels -k "$K"
dkms install shelf/1.0 -k "$K612"
for k in "$K" "$K612"; do modinfo -F description "/lib/modules/$k/updates/dkms/shelf.ko"; done >/run/about
same "$(</run/about)" 'dkms example: for older kernels
dkms example: for newer kernels'
#: step depends 0
dkms install /root/examples/4-depends -k "$K"
dkms install greet-guest/1.0 -k "$K612"
for k in "$K" "$K612"; do same "$(installed guest "$k")" updates/dkms/guest.ko; done
same "$(modinfo -F depends "/lib/modules/$K/updates/dkms/guest.ko")" greet
#: step exclusive-one-left-out 0
dkms install /root/examples/5-exclusive -k "$K"
same "$(installed gate) $(installed gate_new)" "updates/dkms/gate.ko "
#: step exclusive-both 0
dkms install gate/1.0 -k "$K612"
same "$(installed gate "$K612") $(installed gate_new "$K612")" "updates/dkms/gate.ko updates/dkms/gate_new.ko"
#: step everything 0
dkms install /root/examples/6-everything -k "$K"
dkms install orchestra/2.1 -k "$K612"
for k in "$K" "$K612"; do
    same "$(installed orchestra "$k") $(installed orchestra_violin "$k")" "updates/dkms/orchestra.ko updates/dkms/orchestra_violin.ko"
done
grep -q 'in tune for 6.1' "/lib/modules/$K/updates/dkms/orchestra_violin.ko"
#: step its-scripts-spoke 0 ours
grep -q '^orchestra: building' "/var/lib/dkms/orchestra/2.1/$K/$A/log/make.log"
grep -q '^orchestra: built' "/var/lib/dkms/orchestra/2.1/$K/$A/log/make.log"
grep -q 'KCFLAGS=-DORCHESTRA_LTS' "/var/lib/dkms/orchestra/2.1/$K/$A/log/make.log"
#: step all-would-load 0 ours
dkms verify -k "$K"
#: step and-all-go 0
dkms status | sed 's/[,:].*//' | sort -u | while read -r package; do dkms remove "$package" --all; done
same "$(dkms status)" ''
