#!/bin/bash
# Kill an install and an uninstall (with an original module in the way) at every system call that changes something,
# let the next command recover, and compare: every time the state must be that before or that after.
#
#   tests/crash.sh          needs root, strace and build/layers (tests/fetch.sh)
set -u
cd "$(dirname "$0")/.." || exit 1
build=${DKMS_TEST_BUILD:-$PWD/build}
bin=${DKMS_BIN:-$PWD/target/release/dkms}

(($(id -u) == 0)) || { echo 'skipped: needs root'; exit 0; }
command -v strace >/dev/null || { echo 'skipped: no strace here'; exit 0; }
[[ -d $build/layers/headers-6.1/root ]] || { echo 'skipped: no headers, run tests/fetch.sh'; exit 0; }
[[ -x $bin ]] || { echo "no dkms at $bin: make build"; exit 1; }

if [[ ${1-} != inside ]]; then
    DKMS_TEST_BUILD=$build DKMS_BIN=$bin exec unshare -m -- "$0" inside
fi

# A private view of what dkms changes; the machine's own stays untouched.
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /mnt
cp "$bin" /mnt/dkms
mkdir -p /mnt/{empty,layers,upper,work,root}
# "/" and a folder in it cannot be layers of one overlay, so the layer becomes one of its own first.
mount -t overlay -o "ro,lowerdir=/mnt/empty:$build/layers/headers-6.1/root" layers /mnt/layers
mount -t overlay -o lowerdir=/mnt/layers:/,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root
mount --rbind /proc /mnt/root/proc
mount --rbind /dev /mnt/root/dev
mkdir -p /mnt/root/e2e /mnt/root/save
cp -r tests/fixtures/single-1.0 /mnt/root/e2e/
kernel=$(<"$build/layers/headers-6.1/kernel")
rm -rf /mnt/root/var/lib/dkms /mnt/root/etc/dkms
mkdir -p /mnt/root/var/lib/dkms
cp /mnt/dkms /mnt/root/usr/sbin/dkms
for other in /mnt/root/usr/lib/modules/*; do
    [[ ${other##*/} == "$kernel" ]] || rm -rf "$other"
done
cat >/mnt/root/e2e/run <<'SCRIPT'
set -u
k=$1 lib=/usr/lib/modules/$1 tree=/var/lib/dkms
calls=rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,mkdir,mkdirat,write,fsync
calls+=,fdatasync,copy_file_range,fchmod,utimensat,chmod
cp -r /e2e/single-1.0 /usr/src/
dkms generate_mok >/dev/null
dkms build single/1.0 -k "$k" >/dev/null || exit 1
# The kernel's own module of that name, an older version.
mkdir -p /root/original "$lib/kernel/drivers/misc"
cp -r /e2e/single-1.0/. /root/original
sed -i 's/MODULE_VERSION("1.0")/MODULE_VERSION("0.5")/' /root/original/single.c
make -s -C "$lib/build" M=/root/original >/dev/null 2>&1
cp /root/original/single.ko "$lib/kernel/drivers/misc/"
touch "$lib/modules.dep" && depmod -a "$k"

state() {
    (cd "$lib" && find . \( -name '*.ko*' -o -name '.*dkms*' \) -not -path './build/*' -exec sha256sum {} + | sort
     ls -d updates extra 2>/dev/null; sort modules.dep)
    (cd "$tree" && find . \( -name .lock -o -name .journal \) -prune -o -not -name '.manifest.json' -printf '%p %y %l\n' | sort)
    ls "$tree/.journal"
    dkms status
}
save() { rm -rf /save/*; cp -a "$lib" /save/lib; cp -a "$tree" /save/tree; }
restore() { rm -rf "$lib" "${tree:?}"; cp -a /save/lib "$lib"; cp -a /save/tree "$tree"; }

points=0 wrong=0
try() { # COMMAND: from the state that is there now
    local before after total n now
    save
    before=$(state)
    $1 >/dev/null 2>&1
    after=$(state)
    restore
    strace -qq -o /root/calls -e "trace=$calls" $1 >/dev/null 2>&1
    total=$(grep -c '(' /root/calls)
    restore
    for ((n = 1; n <= total; n++)); do
        strace -qq -o /dev/null -e "trace=$calls" -e "inject=$calls:signal=KILL:when=$n" $1 >/dev/null 2>&1
        dkms generate_mok >/root/recovery 2>&1
        now=$(state)
        if [[ $now != "$before" && $now != "$after" ]]; then
            wrong=$((wrong + 1))
            echo "killed at call $n of '$1': neither before nor after"
            diff <(echo "$before") <(echo "$now") | head -n 20
            cat /root/recovery
        fi
        restore
    done
    points=$((points + total))
    echo "$1: $total points"
}
try "dkms install single/1.0 -k $k"
dkms install single/1.0 -k "$k" >/dev/null
try "dkms uninstall single/1.0 -k $k"
echo "$points crash points, $wrong wrong"
((wrong == 0 && points > 50))
SCRIPT
exec chroot /mnt/root /bin/bash /e2e/run "$kernel" 2> >(grep -v ' Killed ' >&2)
