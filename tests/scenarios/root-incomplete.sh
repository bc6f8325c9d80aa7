# --root and a chroot without a kernel, headers, programs or a usable os-release: the error names what is missing and the
# package that contains it there, and nothing is left half-done.
#: step prepare 0 ours
cat >/run/incomplete.sh <<'END'
# An image with sources and without anything else; OS-RELEASE in printf's format.
image() { # NAME OS-RELEASE [KERNEL]
    rm -rf "/img/$1"
    mkdir -p "/img/$1"/{etc,usr/lib/modules,usr/src,var/lib}
    ln -s usr/lib "/img/$1/lib"
    # shellcheck disable=SC2059
    printf "$2" >"/img/$1/etc/os-release"
    cp -r /e2e/fixtures/single-1.0 "/img/$1/usr/src/"
    [[ -z ${3-} ]] || { mkdir -p "/img/$1/usr/lib/modules/$3/kernel" && touch "/img/$1/usr/lib/modules/$3"/modules.{order,builtin}; }
}
# attempt CODE TEXT COMMAND...: it ends so, at once, and says TEXT; nothing is installed or left unfinished.
attempt() {
    local want=$1 text=$2 got=0
    shift 2
    timeout 30 "$@" >/run/out 2>&1 </dev/null || got=$?
    [[ $got == "$want" ]] || { echo "expected code $want, got $got: $*" >&2; cat /run/out >&2; return 99; }
    [[ -z $text ]] || grep -qF -- "$text" /run/out || { echo "not said: $text: $*" >&2; cat /run/out >&2; return 96; }
    same "$(find /img/*/usr/lib/modules /img/*/var/lib/dkms -name '*.ko*' -o -path '*/.journal/*' -o -path '*/.building/*' 2>/dev/null)" ''
}
END
#: step packages-are-named-as-there 0 ours
. /run/incomplete.sh
# os-release, the usual kernel and its headers, a kernel, the package with its headers.
while IFS='|' read -r os kernel headers release missing; do
    image x "$os"
    both="$kernel and $headers"
    [[ $kernel != "$headers" ]] || both=$kernel
    attempt 4 "install $both first" dkms --root /img/x install single/1.0
    attempt 2 "install a kernel: $kernel" dkms --root /img/x ready
    grep -qF 'no kernel in /lib/modules of /img/x' /run/out
    image x "$os" "$release"
    attempt 21 "install $missing, or" dkms --root /img/x install single/1.0
    attempt 1 "install $missing, or" dkms --root /img/x ready
done <<'TABLE'
ID=debian\n|linux-image-amd64|linux-headers-amd64|6.1.0-99-amd64|linux-headers-6.1.0-99-amd64
ID=ubuntu\nID_LIKE=debian\n|linux-image-generic|linux-headers-generic|6.8.0-31-generic|linux-headers-6.8.0-31-generic
ID=fedora\n|kernel|kernel-devel|6.9.4-200.fc40.x86_64|kernel-devel-6.9.4-200.fc40.x86_64
ID=opensuse-leap\nID_LIKE="suse opensuse"\n|kernel-default|kernel-default-devel|6.4.0-150600.23.7-default|kernel-default-devel
ID=arch\n|linux|linux-headers|6.10.1-arch1-1|linux-headers
ID=alpine\n|linux-lts|linux-lts-dev|6.12.40-0-lts|linux-lts-dev
ID=void\n|linux|linux-headers|6.12.40_1|linux6.12-headers
ID=gentoo\n|sys-kernel/gentoo-kernel|sys-kernel/gentoo-kernel|6.6.30-gentoo-dist|the sources of that kernel (sys-kernel/*-sources, prepared)
TABLE
attempt 21 'install the sources of that kernel' dkms --root /img/x autoinstall
attempt 0 'single/1.0: added' dkms --root /img/x status
#: step of-two-distributions-os-release-decides 0 ours
. /run/incomplete.sh
image x 'ID=fedora\n' 6.9.4-200.fc40.x86_64
echo 12.5 >/img/x/etc/debian_version
mkdir -p /img/x/var/lib/{dpkg,rpm,pacman}
touch /img/x/var/lib/{dpkg/status,rpm/rpmdb.sqlite} /img/x/etc/arch-release
attempt 21 'install kernel-devel-6.9.4-200.fc40.x86_64, or' dkms --root /img/x install single/1.0
# A kernel of the other one.
image x 'ID=fedora\n' 6.1.0-99-amd64
attempt 21 '(a kernel of Debian, not of fedora)' dkms --root /img/x install single/1.0
#: step os-release-that-cannot-be-used 0 ours
# Actions that only look go on.
. /run/incomplete.sh
file=/img/x/etc/os-release
while read -r text make; do
    image x '' "$K"
    rm $file
    eval "$make"
    attempt 4 "${text//_/ }" dkms --root /img/x install single/1.0
    attempt 0 '' dkms --root /img/x status
    same "$(find /img/x/var/lib/dkms -mindepth 1 2>/dev/null)" ''
done <<'TABLE'
there_is_no_os-release_in_/img/x/etc_or_/img/x/usr/lib true
there_is_no_os-release ln -s ../usr/lib/os-release $file
there_is_no_os-release ln -s os-release $file
there_is_no_os-release mkdir $file
there_is_no_os-release mkfifo $file
there_is_no_os-release mknod $file c 1 5
larger_than_1048576_bytes truncate -s 3M $file
TABLE
# The second place is as good, and bytes that are no text do no harm.
image x '' "$K"
rm $file
mkfifo $file
printf 'ID=debian\nNAME=\377\n' >/img/x/usr/lib/os-release
attempt 21 "install linux-headers-$K, or" dkms --root /img/x install single/1.0
#: step not-a-system 0 ours
. /run/incomplete.sh
rm -rf /img/*
mkdir /img/empty
echo >/img/file
attempt 2 'there is no such directory' dkms --root /img/file install single/1.0
attempt 4 'there is no os-release in /img/empty/etc' dkms --root /img/empty autoinstall
attempt 2 'no kernel in /lib/modules of /img/empty' dkms --root /img/empty ready
attempt 0 '' dkms --root /img/empty status
for place in etc/dkms usr/src var/lib/dkms lib/modules; do
    image x 'ID=debian\n' "$K"
    rm -rf "/img/x/$place"
    mkfifo "/img/x/$place"
    attempt 1 "cannot use /img/x/$place: not a directory" dkms --root /img/x install single/1.0
done
#: step headers-of-no-kernel 0 ours
# There is a kernel, and headers of another one; then a link leads to those.
. /run/incomplete.sh
image x 'ID=debian\n' 6.1.0-1-amd64
mkdir "/img/x/usr/lib/modules/$K"
cp -a "/usr/lib/modules/$K"/{build,source} "/img/x/usr/lib/modules/$K/"
cp -a /usr/src/linux-headers-* /img/x/usr/src/
attempt 21 "there are headers for $K: -k names a kernel" dkms --root /img/x install single/1.0
rm -r "/img/x/usr/lib/modules/$K"
ln -s "/usr/src/linux-headers-$K" /img/x/usr/lib/modules/6.1.0-1-amd64/build
cp -a /usr/lib/linux-kbuild-* /img/x/usr/lib/
got=0
dkms --root /img/x install single/1.0 >/run/out 2>&1 || got=$?
same "$got" 7
grep -q "single.ko is built for kernel $K, not for 6.1.0-1-amd64, because /lib/modules/6.1.0-1-amd64/build has its headers" /run/out
grep -q 'install linux-headers-6.1.0-1-amd64: ' /run/out
same "$(find /img/x/usr/lib/modules -name '*.ko*')" ''
#: step without-programs 0 ours
. /run/incomplete.sh
image x 'ID=gentoo\n'
mkdir -p "/img/x/usr/lib/modules/$K/kernel" /run/hidden
touch "/img/x/usr/lib/modules/$K"/modules.{order,builtin}
cp -a "/usr/lib/modules/$K"/{build,source} "/img/x/usr/lib/modules/$K/"
cp -a /usr/src/linux-headers-* /img/x/usr/src/
cp -a /usr/lib/linux-kbuild-* /img/x/usr/lib/
mv /usr/bin/make /run/hidden/
attempt 10 'install the package dev-build/make' dkms --root /img/x install single/1.0
mv /run/hidden/make /usr/bin/
# The installation is rolled back if it cannot be indexed.
touch "/img/x/usr/lib/modules/$K/modules.dep"
mv /usr/sbin/depmod /run/hidden/
got=0
dkms --root /img/x install single/1.0 >/run/out 2>&1 || got=$?
grep -q 'the package sys-apps/kmod has it' /run/out
same "$(find /img/x/usr/lib/modules -name '*.ko*'; dkms --root /img/x status)" "single/1.0, $K, $A: built"
same "$got" 6
mv /run/hidden/depmod /usr/sbin/
#: step in-a-chroot 0 ours
. /run/incomplete.sh
image x 'ID=alpine\n'
mkdir /img/x/proc
mount -t proc proc /img/x/proc
cp "$(readlink -f "$(command -v dkms)")" /img/x/dkms-here
for lib in $(ldd /img/x/dkms-here | grep -o '/[^ ]*'); do cp --parents -L "$lib" /img/x/; done
attempt 21 'install linux-lts and linux-lts-dev first' chroot /img/x /dkms-here install single/1.0
attempt 2 'install a kernel: linux-lts' chroot /img/x /dkms-here ready
attempt 0 '' chroot /img/x /dkms-here status
mkdir -p /img/x/usr/lib/modules/6.12.40-0-lts/kernel
touch /img/x/usr/lib/modules/6.12.40-0-lts/modules.{order,builtin}
attempt 21 'install linux-lts-dev, or' chroot /img/x /dkms-here install single/1.0
rm /img/x/etc/os-release
mkfifo /img/x/etc/os-release
attempt 4 '/etc/os-release: it is a named pipe' chroot /img/x /dkms-here install single/1.0
umount /img/x/proc
#: step a-tree-that-cannot-be-read-is-not-empty 0 ours
. /run/incomplete.sh
touch /run/no-tree
for action in status pending report; do attempt 1 'cannot list /run/no-tree: Not a directory' dkms --dkmstree /run/no-tree "$action"; done
