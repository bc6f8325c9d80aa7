# The inputs that identify a build: each is changed alone, and must or must not change the fingerprint. `changed` lists the
# names of the lines that differ from the first fingerprint. Only ours: dkms 3 has no fingerprints.
#: step the-lines-and-their-digest 0 ours
cat >/run/functions <<'BASH'
headers=/usr/src/linux-headers-$K common=/usr/src/linux-headers-${K%-amd64}-common kbuild=$(echo /usr/lib/linux-kbuild-6.1*)
lines() { dkms config single/1.0 -k "$K" --fingerprint "$@"; }
# The names of the lines that differ.
changed() {
    lines "$@" >/run/now
    diff /run/base /run/now | sed -n 's/^[<>] \(env=[^=]*\|depends=[^=]*\|script=[^=]*\|[^=]*\)=.*/\1/p' |
        grep -v '^fingerprint$' | sort -u | paste -sd' '
}
only() { local name=$1; shift; same "$(changed "$@")" "$name"; }
BASH
. /run/functions
fixture single-1.0
# The headers belong to packages, as if dpkg had unpacked them here.
# shellcheck disable=SC2154  # from /run/functions
for dir in "$headers" "$common" "$kbuild"; do
    name=$(basename "$dir")
    info=/var/lib/dpkg/info/$name
    find "$dir" >"$info.list"
    (cd / && find "${dir#/}" -type f -print0 | xargs -0 md5sum) >"$info.md5sums"
    printf '\nPackage: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: 6.1-1\nDescription: x\n' "$name" >>/var/lib/dpkg/status
done
lines >/run/base
grep -q "^headers=pkg:linux-headers-$K=6.1-1:[0-9a-f]\{64\}" /run/base
grep -q "^kbuild=pkg:linux-kbuild-.*=6.1-1:[0-9a-f]\{64\}" /run/base
grep -q '^compiler=x86_64-linux-gnu-gcc-12 gcc-12=' /run/base
code 1 grep -e +local -e tree: /run/base
same "$(head -n -1 /run/base)" "$(head -n -1 /run/base | LC_ALL=C sort -t= -k1,1 -s)"
same "$(tail -1 /run/base)" "fingerprint=$(head -n -1 /run/base | sha256sum | cut -d' ' -f1)"
lines --json | python3 -c 'import json, sys; j = json.load(sys.stdin); base = open("/run/base").read(); assert "\n".join(j["lines"]) + "\nfingerprint=" + j["fingerprint"] + "\n" == base'
# Nothing was changed in the tree.
same "$(ls -A /var/lib/dkms | grep -v '^mok' || true)" ""
#: step it-is-that-of-the-build 0 ours
. /run/functions
dkms build single/1.0 -k "$K"
manifest=/var/lib/dkms/single/1.0/$K/$A/.manifest.json
same "fingerprint=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["fingerprint"])' "$manifest")" "$(tail -1 /run/base)"
only ''
#: step headers-that-change 0 ours
. /run/functions
only ''
# In place: only the times of the file change.
file=$common/include/linux/list.h
cp -a "$file" /run/saved
echo '/* x */' >>"$file"
only headers
cp -a /run/saved "$file"
only ''
# With the old time, and with a copy that restores it.
sed 's/list/LIST/' /run/saved >"$file"; touch -r /run/saved "$file"
only headers
rm "$file"
only headers
cp -a /run/saved "$file"
echo >"$common/include/linux/new.h"
only headers
rm "$common/include/linux/new.h"
link=$(find "$common" -type l -name '*.h' | head -1); target=$(readlink "$link")
ln -sfn other "$link"
only headers
ln -sfn "$target" "$link"
only ''
file=$kbuild/scripts/Makefile.build
cp -a "$file" /run/saved
echo '# x' >>"$file"
only kbuild
cp -a /run/saved "$file"
only ''
for name in Module.symvers:symvers include/generated/autoconf.h:autoconf include/generated/utsrelease.h:utsrelease; do
    file=$headers/${name%:*}
    cp -a "$file" /run/saved
    echo >>"$file"
    only "$(printf '%s\n' headers "${name#*:}" | sort | paste -sd' ')"
    cp -a /run/saved "$file"
done
# Programs and files of the headers that a build runs or includes, with the old size and time.
for name in kbuild:$kbuild/scripts/mod/modpost headers:$headers/include/config/auto.conf; do
    file=$(readlink -f "${name#*:}")
    cp -a "$file" /run/saved
    printf '#' | dd of="$file" bs=1 seek=40 conv=notrunc status=none
    touch -r /run/saved "$file"
    changed >/run/names
    grep -qw "${name%%:*}" /run/names
    cp -a /run/saved "$file"
done
file=$kbuild/tools/objtool/objtool
cp -a "$file" /run/saved
echo >>"$file"
only 'kbuild objtool'
cp -a /run/saved "$file"
only ''
#: step packages-that-change 0 ours
. /run/functions
cp -a /var/lib/dpkg/status /run/status
edit() { awk -v p="$1" '$0 == "Package: " p { on = 1 } on && /^Version:/ { $0 = $0 "x"; on = 0 } 1' /run/status >/var/lib/dpkg/status; }
edit gcc-12; only compiler
edit binutils-x86-64-linux-gnu; only 'as ld strip'
edit make; only tool
edit pahole; only pahole
cp -a /run/status /var/lib/dpkg/status
only ''
# A local compiler of the same name, before that of the distribution.
mkdir -p /opt/cc/bin
printf '#!/bin/sh\n[ "$1" = --version ] && echo my gcc 1\nexec /usr/bin/gcc-12 "$@"\n' >/opt/cc/bin/gcc-12
chmod +x /opt/cc/bin/gcc-12
PATH=/opt/cc/bin:$PATH only 'compiler env=PATH'
grep -q '^compiler=gcc-12 my gcc 1 sha256:[0-9a-f]* cc1 sha256:[0-9a-f]*; ' /run/now
# Programs of no package: with the same size and time, other contents are another program.
local_tool() { # NAME TEXT
    printf '#!/bin/sh\n# %s\nexec /usr/bin/%s "$@"\n' "$2" "$1" >"/opt/cc/bin/$1"
    chmod +x "/opt/cc/bin/$1"
    touch -d @1 "/opt/cc/bin/$1"
}
for tool in gcc-12 ld strip pahole make; do
    local_tool $tool one
    PATH=/opt/cc/bin:$PATH lines >/run/one
    local_tool $tool two
    PATH=/opt/cc/bin:$PATH lines >/run/two
    same "$(diff /run/one /run/two | grep '^>' | grep -c -v fingerprint=)" 1
    rm /opt/cc/bin/$tool
done
# The compiler proper of a local gcc.
printf '#!/bin/sh\n[ "$1" = --version ] && echo my gcc 1 || echo /opt/cc/cc1\n' >/opt/cc/bin/gcc-12
chmod +x /opt/cc/bin/gcc-12
for text in one two; do
    echo $text >/opt/cc/cc1
    touch -d @1 /opt/cc/cc1
    PATH=/opt/cc/bin:$PATH lines >/run/$text
done
same "$(diff /run/one /run/two | grep '^>' | cut -d= -f1 | paste -sd' ')" '> compiler > fingerprint'
rm -r /opt/cc
# Programs that dkms does not list, such as the shell's: documented as not seen (docs/cache.md).
mkdir -p /usr/local/bin
printf '#!/bin/sh\nexec /usr/bin/awk "$@"\n' >/usr/local/bin/awk; chmod +x /usr/local/bin/awk
only ''
rm /usr/local/bin/awk
#: step sources-that-change 0 ours
. /run/functions
source=/usr/src/single-1.0
cp -a $source /run/source
back() { rm -r $source; cp -a /run/source $source; }
echo >>$source/single.c; only source; back
chmod +x $source/single.c; only source; back
mv $source/single.c $source/renamed.c; only source; back
ln -s single.c $source/link.c; only source; back
mkdir $source/empty; only source; back
sed -i 's/$/\r/' $source/single.c; only source; back
mkdir $source/.git; echo x >$source/.git/index; only source; back
touch -r $source/single.c /run/time; sed -i 's/dkms test/DKMS TEST/' $source/single.c; touch -r /run/time $source/single.c; only source; back
cp $source/single.c $source/new; mv $source/new $source/single.c; only ''; back
echo 'DEST_MODULE_LOCATION[0]=/kernel/other' >>$source/dkms.conf; only source; back
only ''
#: step what-links-lead-to 0 ours
. /run/functions
source=/usr/src/single-1.0
cp -a $source /run/plain
mkdir -p /opt/shared/sub
echo 1 >/opt/shared/sub/a.h
ln -s /opt/shared $source/shared
ln -s /opt/shared/sub/a.h $source/file.h
lines >/run/base
only ''
touch /opt/shared/sub/a.h
cp -a /opt/shared/sub/a.h /run/saved
echo 2 >/opt/shared/sub/a.h; touch -r /run/saved /opt/shared/sub/a.h; only source
cp -a /run/saved /opt/shared/sub/a.h
mkdir /opt/shared/more; only source; rmdir /opt/shared/more
ln -s a.h /opt/shared/sub/b.h; only source; rm /opt/shared/sub/b.h
chmod +x /opt/shared/sub/a.h; only source; chmod -x /opt/shared/sub/a.h
ln -sfn /opt/shared/sub $source/shared; only source; ln -sfn /opt/shared $source/shared; only ''
# Into the headers: they have lines of their own. What the kernel shows changes all the time.
ln -s "$headers" $source/headers; ln -s /proc $source/proc
lines >/run/base
only ''
rm $source/headers $source/proc
# Too large to read for each build: it is not stored.
truncate -s 300M /opt/shared/large
dkms build single/1.0 -k "$K" --force --verbose >/run/out 2>&1
grep -q 'not stored in the cache: a link in its source leads to /opt/shared, ' /run/out
rm /opt/shared/large
dkms build single/1.0 -k "$K" --force --verbose >/run/out 2>&1
code 1 grep 'not stored' /run/out
dkms unbuild single/1.0 -k "$K"
rm -r /opt/shared $source
cp -a /run/plain $source
lines >/run/base
#: step configuration-that-changes 0 ours
. /run/functions
only directives --directive STRIP=no
only '' --directive DEST_MODULE_LOCATION=/kernel/other
only '' --directive AUTOINSTALL=yes --directive POST_INSTALL=x.sh
only 'directives script=PRE_BUILD' --directive PRE_BUILD=pre.sh
grep -q '^script=PRE_BUILD=absent pre.sh$' /run/now
mkdir -p /etc/dkms/single/patches
printf '#!/bin/sh\n' >/etc/dkms/single/pre.sh; chmod +x /etc/dkms/single/pre.sh
lines --directive PRE_BUILD=pre.sh >/run/one
echo true >>/etc/dkms/single/pre.sh
lines --directive PRE_BUILD=pre.sh >/run/two
same "$(diff /run/one /run/two | grep -c '^[<>] script=PRE_BUILD')" 2
sed 's/dkms test/patched test/' /usr/src/single-1.0/single.c >/run/patched.c
diff -u --label a/single.c --label b/single.c /usr/src/single-1.0/single.c /run/patched.c >/etc/dkms/single/patches/own.patch || true
only 'directives source' --directive PATCH=own.patch
rm -r /etc/dkms/single
only make --directive 'MAKE=make -C $kernel_source_dir M=$dkms_tree/single/1.0/build V=1'
#: step environments-that-change 0 ours
. /run/functions
KCFLAGS=-DX only env=KCFLAGS
ARCH=x86 only env=ARCH
KBUILD_VERBOSE=1 only env=KBUILD_VERBOSE
FOO=bar LANG=de_DE.UTF-8 LC_ALL=C TERM=vt100 DPKG_MAINTSCRIPT_NAME=postinst only ''
HOME=/tmp USER=me LOGNAME=me SUDO_USER=me TMPDIR=/var/tmp only ''
CC=false CFLAGS=-O0 MAKEFLAGS=-j7 only ''
PATH=/usr/games:/usr/bin:/bin:/sbin:/usr/sbin:/usr/local/bin only ''
SOURCE_DATE_EPOCH=5 only ''
TZ=Asia/Tokyo LANG=tr_TR.UTF-8 LANGUAGE=tr HOME=/nonexistent XDG_CONFIG_HOME=/x SHELL=/bin/dash COLUMNS=20 only ''
(umask 077; ulimit -n 256; cd /; only '')
mkdir -p /etc/dkms/framework.conf.d
echo 'export MY_FLAG=secret' >/run/environment
echo 'build_environment=/run/environment' >/etc/dkms/framework.conf.d/t.conf
only env=MY_FLAG
code 1 grep -q secret /run/now
echo 'build_variables="FOO BAR_*"' >/etc/dkms/framework.conf.d/t.conf
FOO=1 BAR_X=1 BAZ=1 only 'env=BAR_X env=FOO'
# The last of the files counts, whatever the order in which they were written.
echo 'build_variables="BAR_*"' >/etc/dkms/framework.conf.d/u.conf
FOO=1 BAR_X=1 only env=BAR_X
echo 'build_variables="FOO"' >/etc/dkms/framework.conf.d/a.conf
FOO=1 BAR_X=1 only env=BAR_X
rm /etc/dkms/framework.conf.d/u.conf
FOO=1 BAR_X=1 only 'env=BAR_X env=FOO'
rm /etc/dkms/framework.conf.d/?.conf
only ''
#: step what-a-build-gets 0 ours
. /run/functions
cp -a /usr/src/single-1.0 /usr/src/single-2.0
sed -i 's/1\.0/2.0/' /usr/src/single-2.0/dkms.conf
printf "#!/bin/sh\nenv >env.pre\n" >/usr/src/single-2.0/pre.sh; chmod +x /usr/src/single-2.0/pre.sh
echo 'PRE_BUILD="pre.sh"
MAKE="env >env.make; cp env.pre env.make /run; make -C $kernel_source_dir M=$dkms_tree/single/2.0/build"' >>/usr/src/single-2.0/dkms.conf
echo 'CONFINE_WRITE="/run"' >/etc/dkms/single.conf
touch -d '2001-02-03 04:05:06 UTC' /usr/src/single-2.0/*
FOO=bar KCFLAGS=-DX LANG=de_DE.UTF-8 dkms build single/2.0 -k "$K" --no-cache
for file in /run/env.pre /run/env.make; do
    grep -qx 'KBUILD_BUILD_TIMESTAMP=2001-02-03 04:05:06 UTC' $file
    grep -qx KCFLAGS=-DX $file
    grep -qx CC=gcc-12 $file
    grep -qx "kernelver=$K" $file
    grep -qx PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin $file
    code 1 grep -e ^FOO= -e ^LANG= -e ^USER= $file
done
SOURCE_DATE_EPOCH=0 dkms build single/2.0 -k "$K" --force --no-cache
grep -qx 'KBUILD_BUILD_TIMESTAMP=1970-01-01 00:00:00 UTC' /run/env.make
KBUILD_BUILD_TIMESTAMP=mine dkms build single/2.0 -k "$K" --force --no-cache
grep -qx 'KBUILD_BUILD_TIMESTAMP=mine' /run/env.make
rm -r /etc/dkms/single.conf
#: step what-is-no-input 0 ours
. /run/functions
# Another clone, with other times, modes and owners.
cp -r /usr/src/single-1.0 /root/clone
rm -r /usr/src/single-1.0
mv /root/clone /usr/src/single-1.0
find /usr/src/single-1.0 -exec touch {} + -exec chown 1:1 {} +
only ''
mkdir -p /etc/dkms/framework.conf.d
printf 'parallel_jobs=1\ncompress_xz_opts=-1\nsign_file=/none\nmok_signing_key=/root/other.key\nmok_certificate=/root/other.pub\n' >/etc/dkms/framework.conf.d/t.conf
only ''
rm /etc/dkms/framework.conf.d/t.conf
same "$(cd /usr/src/single-1.0 && dkms config -k "$K" --fingerprint)" "$(cat /run/base)"
#: step another-user-and-a-read-only-tree 0 ours
. /run/functions
su -s /bin/bash nobody -c "dkms config single/1.0 -k $K --fingerprint" >/run/now
same "$(cat /run/now)" "$(cat /run/base)"
mount --bind /var/lib/dkms /var/lib/dkms
mount -o remount,bind,ro /var/lib/dkms
only ''
umount /var/lib/dkms
#: step headers-of-no-package 0 ours
. /run/functions
rm /var/lib/dpkg/info/linux-headers-* /var/lib/dpkg/info/linux-kbuild-*
rm -r /var/lib/dkms/.headers
dkms build single/1.0 -k "$K" --force --no-cache
test -s "/var/lib/dkms/.headers/$K-$A"
lines >/run/base
grep -q '^headers=tree:[0-9a-f]\{64\}' /run/base
only ''
echo >>"$common/include/linux/list.h"
only headers
# The memory is only a cache, and is not believed if others may have written it.
sed -i 's/^headers=.*/headers=tree:forged/' "/var/lib/dkms/.headers/$K-$A"
code 1 grep -q forged <(lines)
#: step a-dependency-s-symbols 0 ours
. /run/functions
fixture depa-1.0 depb-1.0
dkms install depa/1.0 -k "$K"
of_depb() { dkms config depb/1.0 -k "$K" --fingerprint; }
of_depb >/run/base
grep -q '^depends=depa=[0-9a-f]\{64\}$' /run/base
echo >>"/var/lib/dkms/depa/1.0/$K/$A/module/Module.symvers"
of_depb >/run/now
same "$(diff /run/base /run/now | grep '^>' | cut -d= -f1-2 | paste -sd' ')" "> depends=depa > fingerprint=$(tail -1 /run/now | cut -d= -f2)"
