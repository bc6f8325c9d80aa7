# The cache of builds: which builds are hits and which are not, and how an unusable cache is handled.
#: step remove-and-install-again 0 ours
fixture single-1.0 multi-1.0 scripts-1.0
cat >/run/functions <<'END'
origin() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["origin"])' "/var/lib/dkms/$1/1.0/$K/$A/.manifest.json"; }
# Builds a package that is not built, and says where the modules came from.
build() { dkms unbuild "$1/1.0" -k "$K" >/dev/null 2>&1 || true; dkms build "$@" -k "$K" >/run/out 2>&1 && origin "$1"; }
entries() { dkms cache --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["count"])'; }
END
. /run/functions
dkms install single/1.0 -k "$K"
same "$(origin single)" built
sha256sum "/lib/modules/$K/updates/dkms/single.ko" >/run/sum
dkms remove single/1.0 --all
dkms install single/1.0 -k "$K" >/run/out
grep -q '^Took single/1.0 for kernel .* from the cache' /run/out
same "$(origin single)" cache
sha256sum -c /run/sum
log=/var/lib/dkms/single/1.0/$K/$A/log/make.log
head -n1 "$log" | grep -q '^Not compiled: taken from the cache'
grep -q '^Building module' "$log"
dkms verify single
dkms unbuild single/1.0 -k "$K"
same "$(dkms build single/1.0 -k "$K" --json | grep -c '"origin":"cache"')" 1
#: step another-tree-has-its-own-cache 0 ours
. /run/functions
before=$(find /var/cache/dkms -ls)
other() { dkms "$@" --dkmstree /run/other; }
other add single/1.0
other build single/1.0 -k "$K" >/run/out
code 1 grep 'from the cache' /run/out
same "$(find /var/cache/dkms -ls)" "$before"
other unbuild single/1.0 -k "$K"
other build single/1.0 -k "$K" | grep -q 'from the cache'
other remove single/1.0 --all
same "$(other status)" ''
other fsck
rm -r /run/other
#: step where-builds-come-from 0 ours
# --dry-run says where a build is looked for, the summary where the builds came from.
. /run/functions
dkms unbuild single/1.0 -k "$K"
dkms add multi/1.0
asked() { dkms autoinstall -k "$K" --dry-run "$@" | grep -c 'the cache is asked first' || true; }
same "$(asked)" 2
same "$(asked --no-cache)" 0
mkdir -p /etc/dkms/framework.conf.d
echo 'cache_size=0' >/etc/dkms/framework.conf.d/cache.conf
same "$(asked)" 0
rm /etc/dkms/framework.conf.d/cache.conf
echo 'CACHE=no' >/etc/dkms/multi.conf
same "$(asked)" 1
rm /etc/dkms/multi.conf
dkms autoinstall -k "$K" >/run/out
grep -q ': 2 installed (1 built, 1 from the cache)$' /run/out
same "$(dkms build single/1.0 -k "$K" --force --dry-run | grep -c 'asked first' || true)" 0
dkms status --json | python3 -c '
import json, sys
print(*sorted(e["package"] + " " + str(e["origin"]) for e in json.load(sys.stdin)["entries"]))' >/run/origins
same "$(cat /run/origins)" 'multi built single cache'
for name in single multi; do dkms unbuild "$name/1.0" -k "$K"; done
dkms autoinstall -k "$K" --json | python3 -c '
import json, sys
(end,) = [e for e in map(json.loads, sys.stdin) if e["event"] == "summary"]
print(end["compiled"], end["from_cache"], end["from_registry"])' >/run/counts
same "$(cat /run/counts)" '0 2 0'
dkms unbuild single/1.0 -k "$K"
dkms autoinstall -k "$K" --no-cache >/run/out
grep -q ': 1 installed$' /run/out
for name in single multi; do dkms remove "$name/1.0" --all; done
dkms cache clear multi
#: step a-hit-runs-no-make 0 ours
# The fingerprint does not know the file on which this Kbuild depends, which is what a test of it needs.
. /run/functions
cp -r /usr/src/single-1.0 /usr/src/once-1.0
cd /usr/src/once-1.0 || exit
mv single.c once.c
sed -i 's/single/once/g' ./*
# shellcheck disable=SC2016
printf '$(if $(wildcard /etc/no-more-builds),$(error compiled again))\n%s\n' "$(cat Kbuild)" >Kbuild
same "$(build once)" built
touch /etc/no-more-builds
same "$(build once)" cache
dkms unbuild once/1.0 -k "$K"
code 10 dkms build once/1.0 -k "$K" --no-cache
same "$(build once)" cache
rm /etc/no-more-builds
dkms remove once/1.0 --all
dkms cache clear once
#: step two-packages-with-one-module-name 0 ours
. /run/functions
cp -r /usr/src/single-1.0 /usr/src/twin-1.0
sed -i 's/^PACKAGE_NAME=.*/PACKAGE_NAME="twin"/' /usr/src/twin-1.0/dkms.conf
echo 'MODULE_INFO(twin, "yes");' >>/usr/src/twin-1.0/single.c
module() { sha256sum <"/var/lib/dkms/$1/1.0/$K/$A/module/single.ko"; }
same "$(build twin)" built
build single >/dev/null
twin=$(module twin) single=$(module single)
test "$twin" != "$single"
for name in twin single; do dkms remove "$name/1.0" --all; done
same "$(build twin) $(build single)" 'cache cache'
same "$(module twin) $(module single)" "$twin $single"
dkms remove twin/1.0 --all
dkms cache clear twin
#: step switched-off 0 ours
. /run/functions
same "$(build single --no-cache)" built
same "$(build single)" cache
dkms build single/1.0 -k "$K" --force
same "$(origin single)" built
mkdir -p /etc/dkms/framework.conf.d
echo 'cache_size=0' >/etc/dkms/framework.conf.d/cache.conf
same "$(build single)" built
rm /etc/dkms/framework.conf.d/cache.conf
same "$(build single)" cache
before=$(entries)
echo 'CACHE=no' >/etc/dkms/multi.conf
same "$(build multi)" built
same "$(build multi)" built
same "$(entries)" "$before"
rm /etc/dkms/multi.conf
same "$(build multi)" built
same "$(build multi)" cache
#: step scripts-of-a-build 0 ours
# What POST_BUILD adds to K/A is there after a hit as after a build, and it does not run again.
. /run/functions
cp -r /usr/src/single-1.0 /usr/src/post-1.0
cd /usr/src/post-1.0 || exit
mv single.c post.c
sed -i 's/single/post/g' ./*
echo 'PRE_BUILD="pre.sh"' >>dkms.conf
# As those of ZFS: $kernelver and the like are dkms's.
# shellcheck disable=SC2016
echo 'POST_BUILD="post.sh $dkms_tree/post/1.0/$kernelver/$arch"' >>dkms.conf
printf '#!/bin/sh\necho "#define FOUND 1" >found.h\n' >pre.sh
printf '#!/bin/sh\nmkdir -p "$1/extra"\ncp found.h "$1/extra/"\n' >post.sh
chmod +x pre.sh post.sh
files() { (cd "/var/lib/dkms/post/1.0/$K/$A" && find . -printf '%y %m %P\n' | sort); }
same "$(build post)" built
files >/run/built
grep -q 'extra/found.h' /run/built
same "$(build post)" cache
same "$(files)" "$(cat /run/built)"
same "$(cat "/var/lib/dkms/post/1.0/$K/$A/extra/found.h")" '#define FOUND 1'
# Without the confinement, such a package may read anything, so it is not stored.
dkms cache clear post
mkdir -p /etc/dkms
echo 'CONFINE=off' >/etc/dkms/post.conf
same "$(build post)" built
same "$(dkms cache show post | grep -c '^post')" 0
rm /etc/dkms/post.conf
#: step a-damaged-entry-is-dropped 0 ours
. /run/functions
same "$(build single)" cache
file=$(find /var/cache/dkms/v1 -name single.ko)
printf X | dd of="$file" bs=1 seek=1000 conv=notrunc status=none
dkms fsck >/run/fsck || true
grep -q 'single.ko differs from its record' /run/fsck
same "$(build single)" built
grep -q 'damaged entry, which is dropped' /run/out
same "$(build single)" cache
file=$(find /var/cache/dkms/v1 -name single.ko)
rm "$file"
mkdir /var/cache/dkms/v1/.tmp-left
code 1 dkms fsck
dkms fsck --repair
dkms fsck
test ! -e /var/cache/dkms/v1/.tmp-left
same "$(build single)" built
#: step the-least-recently-used-goes-first 0 ours
. /run/functions
dkms cache clear
same "$(entries)" 0
for name in single multi post; do build "$name"; done
same "$(build single)" cache
size=$(dkms cache size --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["bytes"])')
echo "cache_size=$size" >/etc/dkms/framework.conf.d/cache.conf
build scripts
rm /etc/dkms/framework.conf.d/cache.conf
dkms cache show >/run/list
same "$(grep -c '^multi/' /run/list || true) $(grep -c '^single/' /run/list) $(grep -c '^scripts/' /run/list)" '0 1 1'
#: step why 0 ours
. /run/functions
dkms build single/1.0 -k "$K" --force
dkms cache why single/1.0 -k "$K" >/run/why
grep -q 'is in the cache' /run/why
echo '/* edited */' >>/usr/src/single-1.0/single.c
dkms cache why single/1.0 -k "$K" >/run/why
same "$(grep -c '^  ' /run/why)" 1
grep -q '^  source: ' /run/why
sed -i '$d' /usr/src/single-1.0/single.c
same "$(build single)" cache
#: step a-cache-that-cannot-be-used 0 ours
# One warning, and the build continues.
. /run/functions
warned() { same "$(grep -c 'cache of builds' /run/out)" 1; }
rm -rf /var/cache/dkms
echo file >/var/cache/dkms
same "$(build single)" built
warned
rm /var/cache/dkms
mkdir /root/elsewhere
ln -s /root/elsewhere /var/cache/dkms
same "$(build single)" built
warned
same "$(ls -A /root/elsewhere)" ''
rm /var/cache/dkms
mkdir -p /var/cache/dkms/v1
chmod 777 /var/cache/dkms/v1
same "$(build single)" built
warned
chmod 755 /var/cache/dkms/v1
mount -t tmpfs -o ro,mode=755 none /var/cache/dkms
same "$(build single)" built
warned
umount /var/cache/dkms
mount -t tmpfs -o size=64k,mode=755 none /var/cache/dkms
for name in single multi; do dkms unbuild "$name/1.0" -k "$K" >/dev/null; done
dkms autoinstall -k "$K" >/run/out 2>&1
warned
umount /var/cache/dkms
same "$(build single)" built
same "$(build single)" cache
#: step several-at-once 0 ours
. /run/functions
dkms cache clear
for name in single multi post scripts; do dkms unbuild "$name/1.0" -k "$K" >/dev/null 2>&1 || true; done
for name in single multi post scripts; do dkms build "$name/1.0" -k "$K" >/dev/null & done
wait
same "$(entries)" 4
# Killed while it stores: the next store removes what was left.
for delay in 0.05 0.1 0.2 0.4; do
    dkms cache clear >/dev/null
    dkms unbuild single/1.0 -k "$K" >/dev/null
    timeout -s KILL "$(python3 -c "print(1.2 + $delay)")" dkms build single/1.0 -k "$K" >/dev/null 2>&1 || true
done
build single
build multi --force
same "$(find /var/cache/dkms/v1 -name '.tmp-*')" ''
dkms fsck >/dev/null || dkms fsck --repair
#: step a-kernel-that-is-installed-again 0 ours
. /run/functions
dkms cache clear >/dev/null
dkms remove single/1.0 --all >/dev/null
dkms add single/1.0
for name in multi post scripts; do dkms remove "$name/1.0" --all >/dev/null 2>&1 || true; done
dkms autoinstall -k "$K" >/dev/null
dkms kernel_prerm -k "$K" >/dev/null
same "$(dkms status -k "$K" | grep -c installed || true)" 0
dkms kernel_postinst -k "$K" >/run/out
grep -q '^Took single/1.0 .* from the cache' /run/out
dkms status -k "$K" | grep -q "^single/1.0, $K, $A: installed"
#: step second-root 0 ours
# Two images of one distribution: what is built for the first one is not compiled again for the second one.
rm -rf /var/cache/dkms
for image in a b; do
    mkdir -p "/img/$image"/{etc,var/lib,usr/lib/modules,usr/src}
    ln -s usr/lib "/img/$image/lib"
    cp -a /usr/lib/os-release "/img/$image/etc/os-release"
    cp -a "/usr/lib/modules/$K" "/img/$image/usr/lib/modules/"
    cp -a /usr/src/linux-headers-* "/img/$image/usr/src/"
    cp -a /usr/lib/linux-kbuild-* "/img/$image/usr/lib/"
    cp -r /e2e/fixtures/single-1.0 "/img/$image/usr/src/"
    find "/img/$image/usr/lib/modules" -name 'single.ko*' -delete
done
dkms --root /img/a install single/1.0 -k "$K"
dkms --root /img/b install single/1.0 -k "$K" >/run/out
grep -q '^Took single/1.0 for kernel .* from the cache' /run/out
root_origin() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["origin"])' "$1/var/lib/dkms/single/1.0/$K/$A/.manifest.json"; }
same "$(root_origin /img/a) $(root_origin /img/b)" 'built cache'
test -f "/img/b/usr/lib/modules/$K/updates/dkms/single.ko"
#: step second-root-with-source-date-epoch 0 ours
# The cache is the machine's and no part of the image. The second image is a hit, with the same bytes as the first.
export SOURCE_DATE_EPOCH=1700000000
for image in a b; do
    rm -rf "/img/$image"/var/lib/dkms "/img/$image/usr/lib/modules/$K/updates"
    dkms --root "/img/$image" install single/1.0 -k "$K" -j1 >"/run/$image.out"
    sleep 1.1
done
same "$(grep -c '^Took single/1.0 .* from the cache' /run/a.out /run/b.out | paste -sd' ')" '/run/a.out:0 /run/b.out:1'
for tree in var/lib/dkms "usr/lib/modules/$K"; do
    diff -r --no-dereference "/img/a/$tree" "/img/b/$tree"
    files() { (cd "/img/$1/$tree" && find . -printf '%y %m %p %l\n' | sort); }
    same "$(files a)" "$(files b)"
done
origin=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["origin"])' "/img/b/var/lib/dkms/single/1.0/$K/$A/.manifest.json")
same "$origin" built
same "$(find /img/a /img/b -path '*var/cache/dkms*')" ''
dkms --root /img/b fsck
