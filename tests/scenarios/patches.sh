# Patches: selected by kernel, and overridden by the administrator.
#: kernel 6.12
#: step both-on-6.1 0
fixture patched-1.0
dkms install patched/1.0 -k "$K"
same "$(modinfo -F description "/lib/modules/$K/updates/dkms/patched.ko")" "first patch"
same "$(modinfo -F second "/lib/modules/$K/updates/dkms/patched.ko")" "for 6.1"
#: step one-on-6.12 0
dkms install patched/1.0 -k "$K612"
file=$(installed patched "$K612")
same "$(modinfo -F second "/lib/modules/$K612/$file")" ""
#: step source-is-untouched 0
grep -q UNPATCHED /usr/src/patched-1.0/patched.c
#: step administrator-overrides 0 ours
mkdir -p /etc/dkms/patched/patches
sed 's/first patch/administrator/' /usr/src/patched-1.0/patches/description.patch >/etc/dkms/patched/patches/description.patch
dkms build patched/1.0 -k "$K612" --force
same "$(modinfo -F description "/var/lib/dkms/patched/1.0/$K612/$A/module/patched.ko"*)" "administrator"
