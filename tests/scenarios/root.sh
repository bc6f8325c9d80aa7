# --root: the same actions on the system in a directory, with its programs or those of the machine.
#: image
#: step two-systems 0 ours
# Of one the files alone are there, and it calls itself Fedora. The other has everything that a machine has.
mkdir -p /img/bare/{etc,usr/lib,var/lib} /img/full/{var/lib,boot,dev,proc,sys,tmp,run}
ln -s usr/lib /img/bare/lib
printf 'ID=fedora\nVERSION_ID=40\n' >/img/bare/etc/os-release
mv /usr/src /img/bare/usr/
mv /usr/lib/modules /img/bare/usr/lib/
cp -a /usr/lib/linux-kbuild-* /img/bare/usr/lib/
mkdir /usr/lib/modules /usr/src
mkdir /img/full/etc
cp -a /etc/{alternatives,ld.so.cache,os-release,passwd} /img/full/etc/
for link in bin sbin lib lib64; do cp -a "/$link" /img/full/; done
mkdir /img/full/usr
mount --bind /usr /img/full/usr
for tree in lib/modules src; do
    mount -t tmpfs tree "/img/full/usr/$tree"
    cp -a "/img/bare/usr/$tree/." "/img/full/usr/$tree/"
done
mkdir -p /home/somebody
cp -r /e2e/fixtures/single-1.0 /home/somebody/mine
cp -r /e2e/fixtures/{bashonly,multi,scripts}-1.0 /img/bare/usr/src/
same "$(dkms status; dkms --root /img/bare status; dkms --root /img/full status)" ''
test ! -e /img/bare/var/lib/dkms
#: step no-such-directory 2 ours
dkms --root /img/none status
#: step not-about-firmware 2 ours
dkms --root /img/bare mok
#: step one-half-of-a-pair 2 ours
dkms --root /img/bare build multi/1.0 --mok-signing-key /root/none
#: step with-the-machine-s-programs 0 ours
# Without a kernel named it is that system's, never the one that runs; the place is Fedora's.
dkms --root /img/bare install multi/1.0 >/run/out
grep -qx "Installed /lib/modules/$K/extra/alpha.ko" /run/out
test -f "/img/bare/usr/lib/modules/$K/extra/alpha.ko"
grep -q '^extra/alpha.ko:' "/img/bare/usr/lib/modules/$K/modules.dep"
same "$(readlink /img/bare/var/lib/dkms/multi/1.0/source)" /usr/src/multi-1.0
same "$(dkms --root /img/bare status)" "multi/1.0, $K, $A: installed"
same "$(dkms status; find /var/lib/dkms /usr/src /usr/lib/modules -mindepth 1)" ''
#: step scripts-and-bash 0 ours
dkms --root /img/bare install scripts/1.0
dkms --root /img/bare install bashonly/1.0
dkms --root /img/bare fsck
#: step whether-it-loads-is-another-machine-s-affair 2 ours
dkms --root /img/bare verify >/run/out
#: step why 0 ours
grep -q 'it is not known whether this kernel enforces signatures' /run/out
dkms --root /img/bare remove multi/1.0 --all
test ! -e "/img/bare/usr/lib/modules/$K/extra/alpha.ko"
#: step with-its-own-programs 0 ours
# A source directory and a key pair of the machine's, neither of which the system can see.
dkms generate_mok --dkmstree /root/keys
cd /home/somebody || exit 99
dkms --root /img/full install ./mine --mok-signing-key /root/keys/mok.key --mok-certificate /root/keys/mok.pub
same "$(dkms --root /img/full status)" "single/1.0, $K, $A: installed"
same "$(modinfo -F signer "/img/full/usr/lib/modules/$K/updates/dkms/single.ko")" 'DKMS module signing key'
test ! -e /img/full/var/lib/dkms/mok.key
same "$(ls -A /img/full/run /img/full/proc)" "/img/full/proc:

/img/full/run:"
same "$(dkms status; find /var/lib/dkms /usr/src /usr/lib/modules -mindepth 1)" ''
#: step from-one-to-the-other 0 ours
cd /home/somebody || exit 99
dkms --root /img/full mktarball single/1.0 --archive mine.tar.gz
dkms --root /img/bare ldtarball mine.tar.gz
same "$(dkms --root /img/bare status single)" "single/1.0, $K, $A: built"
#: step autoinstall-takes-its-newest 0 ours
mkdir -p /img/bare/usr/lib/modules/5.0/kernel
dkms --root /img/bare autoinstall
same "$(dkms --root /img/bare status single)" "single/1.0, $K, $A: installed"
#: step trees-elsewhere-and-not-there-yet 0 ours
mkdir -p /img/bare/etc/dkms
printf 'dkms_tree=/srv/dkms\nsource_tree=/srv/src\n' >/img/bare/etc/dkms/framework.conf
cp -r /e2e/fixtures/ver-1.10 /home/somebody/
dkms --root /img/bare add /home/somebody/ver-1.10
same "$(dkms --root /img/bare status)" 'ver/1.10: added'
test -f /img/bare/srv/src/ver-1.10/dkms.conf -a -d /img/bare/srv/dkms/ver/1.10
test ! -e /srv/dkms -a ! -e /srv/src
rm -r /img/bare/srv /img/bare/etc/dkms
#: step owner-without-root 0 ours
chown -R 65534:65534 /img/bare
somebody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
if somebody unshare --user --mount true; then
    somebody dkms --root /img/bare remove single/1.0 --all
    somebody dkms --root /img/bare build multi/1.0
    somebody dkms --root /img/bare install multi/1.0
    somebody dkms --root /img/bare install bashonly/1.0 --force
    same "$(find /img/bare ! -user 65534)" ''
    code 1 somebody dkms --root /img/full remove single/1.0 --all
fi
same "$(dkms --root /img/full status)" "single/1.0, $K, $A: installed"
#: step ready-misses-what-is-in-the-tree 1 ours
cp -r /e2e/fixtures/ver-1.9 /img/bare/usr/src/
dkms --root /img/bare add ver/1.9
dkms --root /img/bare ready -k "$K" >/run/out
#: step which 0 ours
grep -q '^  ver: ' /run/out || grep -q 'ver' /run/out
dkms --root /img/bare autoinstall -k "$K"
# Whether a machine enforces signatures is no question to an image.
dkms --root /img/bare ready -k "$K" >/run/out
grep -q 'depends on the machine: unsigned module' /run/out
#: step ready-in-a-chroot-as-with-root 0 ours
# The same questions inside: nothing of the image is running, and its kernel's name may be that of the running one.
ask() { local code=0; "$@" >/run/answer 2>/run/err || code=$?; echo "$code"; sed 's,/img/bare,/,; s,//,/,' /run/answer; }
mkdir -p /img/bare/proc
cp "$(readlink -f "$(command -v dkms)")" /img/bare/dkms-static
for lib in $(ldd /img/bare/dkms-static | grep -o '/[^ ]*'); do cp --parents -L "$lib" /img/bare/; done
mount -t proc proc /img/bare/proc
dkms --root /img/bare uninstall ver/1.9 -k "$K"
ask dkms --root /img/bare ready -k "$K" >/run/root-says
ask chroot /img/bare /dkms-static ready -k "$K" >/run/chroot-says
diff /run/root-says /run/chroot-says
same "$(head -n 1 /run/chroot-says)" 1
# Nothing is installed at all: not a yes.
dkms --root /img/bare remove ver/1.9 --all
dkms --root /img/bare add ver/1.9
same "$(ask chroot /img/bare /dkms-static ready -k "$K" | head -n 1)" 1
dkms --root /img/bare autoinstall -k "$K"
ask dkms --root /img/bare ready -k "$K" >/run/root-says
ask chroot /img/bare /dkms-static ready -k "$K" >/run/chroot-says
diff /run/root-says /run/chroot-says
umount /img/bare/proc
rm -r /img/bare/dkms-static
#: step without-a-kernel 4 ours
mkdir -p /img/nothing/etc
printf 'ID=debian\n' >/img/nothing/etc/os-release
dkms --root /img/nothing install single/1.0
