# SOURCE_DATE_EPOCH: two images made in the same way have the same bytes in the dkms tree and in the kernel's modules. Only
# ours: 3.0.10 records the time in make.log.
#: step two-images 0 ours
export SOURCE_DATE_EPOCH=1700000000
fixture single-1.0 multi-1.0
# A signing key in an image would be the same in all copies of it. It is an input here.
dkms generate_mok
mkdir /run/key && cp /var/lib/dkms/mok.* /run/key/
image() { # image NAME: installs from nothing, as an image build does, and keeps what there is
    rm -rf /var/lib/dkms /var/cache/dkms /lib/modules/"$K"/updates
    mkdir /var/lib/dkms && cp /run/key/* /var/lib/dkms/
    cp -r /usr/src/single-1.0 "/run/source-$1" && rm -r /usr/src/single-1.0 && mv "/run/source-$1" /usr/src/single-1.0
    sleep 1.1
    dkms add single/1.0
    # make prints what it does in parallel in any order.
    dkms autoinstall -k "$K" -j1
    dkms install multi/1.0 -k "$K" -j1
    mkdir "/run/$1"
    cp -a /var/lib/dkms "/run/$1/tree" && cp -a "/lib/modules/$K/updates" "/run/$1/updates"
}
image first
image second
diff -r --no-dereference /run/first /run/second
# Modes and names of what is in no file.
names() { (cd "/run/$1" && find . -printf '%y %m %p %l\n' | sort); }
same "$(names first)" "$(names second)"
#: step from-a-cache-outside 0 ours
# A mounted cache is not part of the image. What comes from there leaves the same records.
export SOURCE_DATE_EPOCH=1700000000
names() { (cd "/run/$1" && find . -printf '%y %m %p %l\n' | sort); }
mkdir -p /var/cache/dkms && mount -t tmpfs -o mode=755 cache /var/cache/dkms
for n in third fourth; do
    rm -rf /var/lib/dkms /lib/modules/"$K"/updates
    mkdir /var/lib/dkms && cp /run/key/* /var/lib/dkms/
    dkms add single/1.0
    dkms autoinstall -k "$K" -j1 >"/run/$n.out"
    dkms install multi/1.0 -k "$K" -j1 >>"/run/$n.out"
    mkdir "/run/$n"
    cp -a /var/lib/dkms "/run/$n/tree" && cp -a "/lib/modules/$K/updates" "/run/$n/updates"
    diff -r --no-dereference /run/first "/run/$n"
    same "$(names first)" "$(names "$n")"
done
same "$(grep -c '^Took .* from the cache' /run/third.out)" 0
same "$(grep -c '^Took .* from the cache' /run/fourth.out)" 2
# Another time, and another log.
dkms unbuild single/1.0 -k "$K"
SOURCE_DATE_EPOCH=1700000001 dkms install single/1.0 -k "$K" -j1 | grep -q '^Built single/1.0'
umount /var/cache/dkms
dkms remove single/1.0 --all
dkms add single/1.0
dkms install single/1.0 -k "$K" -j1
#: step nothing-unfinished-is-left-in-it 0 ours
same "$(find /var/lib/dkms/.journal /var/lib/dkms/.building -mindepth 1 2>/dev/null)" ''
same "$(find /var/lib/dkms/.lock -size +0 -type f)" ''
#: step status-and-fsck-are-content 0 ours
same "$(dkms status single/1.0)" "single/1.0, $K, $A: installed"
dkms fsck
#: step change-behind-its-back-is-seen 0 ours
file=/lib/modules/$K/updates/dkms/single.ko
cp -p "$file" /run/single.ko
printf x >>"$file"
same "$(dkms status single/1.0)" "single/1.0, $K, $A: installed (Differences between built and installed modules)"
code 1 dkms fsck >/dev/null 2>&1
# The same size and times.
cp -p /run/single.ko "$file"
size=$(stat -c %s "$file")
printf '\377' | dd of="$file" bs=1 seek=$((size - 100)) conv=notrunc status=none
touch -r /run/single.ko "$file"
same "$(dkms status single/1.0)" "single/1.0, $K, $A: installed (Differences between built and installed modules)"
cp -p /run/single.ko "$file"
dkms remove single/1.0 --all
test ! -e "$file"
