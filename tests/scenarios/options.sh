# Invalid words on the command line: exit codes 1, 2, 3, 4, 5 and 8.
#: step unknown-option 2
dkms status --no-such-option
#: step unknown-action 2 ours
dkms frobnicate
#: step no-action 2 ours
dkms
#: step two-actions 4
dkms add build -m single/1.0
#: step module-not-named 1
dkms add
#: step version-not-named 1
dkms build -m single -k "$K"
#: step all-with-kernel 2
dkms remove -m single/1.0 --all -k "$K"
#: step all-with-arch 3
dkms remove -m single/1.0 --all -a x86_64
#: step kernels-and-archs-do-not-pair 1
dkms build -m single/1.0 -k "$K" -k other -k third -a x86_64 -a i686
#: step both-only 8
dkms mktarball -m single/1.0 --binaries-only --source-only
#: step all-not-for-add 5
dkms add -m single/1.0 --all
#: step all-not-for-build 5
fixture single-1.0
dkms add single/1.0 >/dev/null
dkms build -m single/1.0 --all
#: step all-not-for-install 5
dkms install -m single/1.0 --all
#: step all-not-for-match 5
dkms match --templatekernel "$K" --all
#: step all-not-for-autoinstall 5
dkms autoinstall --all
#: step match-onto-itself 2
dkms match --templatekernel "$K" -k "$K"
#: step match-without-template 1
dkms match -k "$K"
#: step version 0
dkms --version | grep -qE '^dkms-[0-9]+\.'
#: step help 0
dkms --help | grep -q autoinstall
#: step equals-form 0
dkms status --module=single/1.0 --kernelver="$K" --arch=x86_64
#: step short-equals-form 0
dkms status -m=single/1.0 -k="$K"
#: step deprecated-options 0
dkms status --no-initrd --no-clean-kernel --no-prepare-kernel
#: step options-behind-operands 0
same "$(dkms status single/1.0 --verbose)" "single/1.0: added"
#: step rpm-archive-that-is-none 9
echo no rpm >/root/x.rpm
dkms install /root/x.rpm
#: step bad-directory 9
mkdir /root/empty-dir
dkms add /root/empty-dir
#: step archive-missing 2
dkms ldtarball --archive=/root/nowhere.tar.gz
