# --root on images that try to change files of the machine: with journals, manifests, .origin files, and links everywhere.
#: step prepare 0 ours
# One image with a build that is installed and one that is not, copied for every attempt.
mkdir -p /img/clean/{etc,usr/lib,var/lib} /opt/built
ln -s usr/lib /img/clean/lib
printf 'ID=debian\nVERSION_ID="12"\n' >/img/clean/etc/os-release
mkdir -p "/img/clean/usr/lib/modules/$K/kernel" /img/clean/usr/src
touch "/img/clean/usr/lib/modules/$K"/modules.{order,builtin}
fixture single-1.0 multi-1.0
dkms build single/1.0 -k "$K"
dkms build multi/1.0 -k "$K"
cp "/var/lib/dkms/single/1.0/$K/$A/module/single.ko" /opt/built/
cp -a /usr/src/{single,multi}-1.0 /img/clean/usr/src/
cp -a /var/lib/dkms /img/clean/var/lib/
foreign=$(foreign_module single-1.0 single)
mkdir -p "/img/clean/usr/lib/modules/$K/kernel/drivers"
cp "$foreign" "/img/clean/usr/lib/modules/$K/kernel/drivers/single.ko"
dkms --root /img/clean install single/1.0 -k "$K" --force
dkms --root /img/clean fsck
dkms remove single/1.0 --all
dkms remove multi/1.0 --all
cat >/run/hostile.sh <<'END'
T=/img/x/var/lib/dkms L=/img/x/usr/lib/modules/$K
# The machine's files that the image would like to change; run a command on a copy of the image that "$1" makes hostile.
machine() { find /etc /opt /srv /var/lib/dkms -xdev -printf '%p %y %s %m %l %C@\n' 2>/dev/null | sort; }
hostile() {
    rm -rf /img/x /opt/out /opt/moved
    cp -a /img/clean /img/x
    mkdir -p /opt/out
    echo secret >/opt/out/canary
    "$1"
    machine >/run/before
}
untouched() {
    machine >/run/after
    cmp /run/before /run/after || { diff /run/before /run/after >&2; return 97; }
}
# attempt CODE WORDS... [-- TEXT]: the command ends so, says TEXT, and the machine is as it was.
attempt() {
    local want=$1 words=() got=0
    shift
    while (($#)) && [[ $1 != -- ]]; do words+=("$1"); shift; done
    timeout 60 dkms --root /img/x "${words[@]}" >/run/out 2>&1 || got=$?
    [[ $got == "$want" ]] || { echo "expected code $want, got $got: ${words[*]}" >&2; cat /run/out >&2; return 99; }
    [[ $# -lt 2 ]] || grep -qF -- "$2" /run/out || { echo "not said: $2" >&2; cat /run/out >&2; return 96; }
    untouched
}
# A journal of operations, one per argument, that are to be undone; COMMIT=1: that are to be finished.
journal() {
    mkdir -p "$T/.journal"
    {
        printf '{"Begin":{"schema":2,"pid":99999999,"started":1,"command":"dkms x","kernels":[{"release":"%s","arch":"%s"}]}}\n' "$K" "$A"
        printf '{"Do":[0,%s]}\n' "$@"
        [[ -z ${COMMIT-} ]] || echo '{"Commit":{"owed":false}}'
    } >"$T/.journal/00001764155123000000000-99999999"
}
END
#: step journals 0 ours
. /run/hostile.sh
c=/opt/out/canary l=/lib/modules/$K t=/var/lib/dkms
ops=(
    "{\"Text\":{\"path\":\"$c\",\"text\":\"\"}}"
    "{\"Text\":{\"path\":\"$t/../../../opt/out/canary\",\"text\":\"\"}}"
    "{\"Text\":{\"path\":\"/lib/modules/../../opt/out/canary\",\"text\":\"\"}}"
    "{\"Link\":{\"link\":\"/opt/out/new\",\"target\":null,\"before\":\"x\"}}"
    "{\"Move\":{\"from\":\"/opt/out/new\",\"to\":\"$t/mok.pub\"}}"
    "{\"Move\":{\"from\":\"$l/x\",\"to\":\"$c\"}}"
    "{\"Place\":{\"staged\":\"$c\",\"to\":\"$l/x\",\"saved\":null,\"vacated\":null}}"
    "{\"Place\":{\"staged\":\"$l/x\",\"to\":\"$c\",\"saved\":null,\"vacated\":null}}"
    "{\"Place\":{\"staged\":\"$l/x\",\"to\":\"$l/y\",\"saved\":\"$c\",\"vacated\":null}}"
    "{\"Remove\":{\"path\":\"/opt/out/new\",\"saved\":\"$t/mok.pub\"}}"
    "{\"Remove\":{\"path\":\"$l/x\",\"saved\":\"$c\"}}"
    "{\"Keep\":{\"path\":\"$c\",\"saved\":\"$t/mok.pub\"}}"
    "{\"Keep\":{\"path\":\"$t/x\",\"saved\":\"$c\"}}"
    "{\"Text\":{\"path\":{\"escaped\":\"/opt/out/canary\"},\"text\":\"\"}}"
    # Another kernel's, and a directory itself.
    "{\"Remove\":{\"path\":\"/lib/modules/9.9/x\",\"saved\":\"/lib/modules/9.9/y\"}}"
    "{\"Remove\":{\"path\":\"$t\",\"saved\":\"/var/lib/.y\"}}"
)
for op in "${ops[@]}"; do
    # shellcheck disable=SC2034 # read by journal
    for COMMIT in '' 1; do
        make_it() { journal "{\"Text\":{\"path\":\"$t/mok.pub\",\"text\":\"\"}}" "$op"; }
        hostile make_it
        attempt 6 install multi/1.0 -k "$K" -- ':3: this line of a journal changes'
        # Nothing of it was done, and it is still there.
        test -f "$T/mok.pub" -a -f "$T/.journal/00001764155123000000000-99999999"
    done
done
attempt 0 generate_mok -- ':3: this line of a journal changes'
#: step a-journal-that-lays-its-own-way 0 ours
# The latest is undone first, and makes the link that the one before would follow.
. /run/hostile.sh
make_it() {
    journal '{"Text":{"path":"/var/lib/dkms/way/canary","text":""}}' \
        '{"Link":{"link":"/var/lib/dkms/way","target":null,"before":"/opt/out"}}'
}
hostile make_it
attempt 6 install multi/1.0 -k "$K" -- ':2: this line of a journal changes'
#: step the-journal-is-elsewhere 0 ours
. /run/hostile.sh
elsewhere() {
    journal '{"Text":{"path":"/var/lib/dkms/mok.pub","text":""}}'
    mv "$T/.journal" /opt/out/journal
    ln -s /opt/out/journal "$T/.journal"
}
hostile elsewhere
attempt 6 install multi/1.0 -k "$K" -- '.journal is a symbolic link to /opt/out/journal'
test -f "$T/mok.pub"
one_link() { journal '{"Text":{"path":"/var/lib/dkms/mok.pub","text":""}}'; mv "$T"/.journal/0* /opt/out/j; ln -s /opt/out/j "$T/.journal/1-99999999"; }
hostile one_link
attempt 6 install multi/1.0 -k "$K" -- 'it is a symbolic link'
attempt 0 status single
#: step our-own-files-are-links 0 ours
. /run/hostile.sh
for name in .lock .building .recovery.log post_transaction.log; do
    for to in /opt/out/canary ../../../opt/out; do
        as_link() { rm -rf "${T:?}/$name"; ln -s "$to" "$T/$name"; }
        hostile as_link
        attempt 6 install multi/1.0 -k "$K" -- "$name is a symbolic link to $to, which is outside"
    done
done
#: step our-logs-are-other-names-of-the-machine-s-files 0 ours
# A hard link: what is written in place is written on the machine too.
. /run/hostile.sh
for name in post_transaction.log .recovery.log; do
    other_name() {
        rm -f "${T:?}/$name"
        ln /opt/out/canary "$T/$name"
        mkdir -p /img/x/etc/dkms
        echo 'post_transaction="echo changed"' >/img/x/etc/dkms/framework.conf
        journal '{"Text":{"path":"/var/lib/dkms/mok.pub","text":""}}'
        # Its count of names and its time of change may differ; its contents may not.
        machine() { cat /opt/out/canary; stat -c '%a %u %s %y' /opt/out/canary; }
    }
    hostile other_name
    attempt 0 install multi/1.0 -k "$K"
    test ! "$T/$name" -ef /opt/out/canary
done
#: step directories-are-links 0 ours
. /run/hostile.sh
for name in multi multi/1.0 "multi/1.0/$K" "multi/1.0/$K/$A" "multi/1.0/$K/$A/module" "multi/1.0/$K/$A/log" multi/original_module; do
    as_link() { mkdir -p "$T/$name"; mv "$T/$name" /opt/moved; ln -s /opt/moved "$T/$name"; }
    for words in "install multi/1.0 -k $K" "remove multi/1.0 --all"; do
        hostile as_link
        # shellcheck disable=SC2086
        attempt 6 $words -- 'is a symbolic link to /opt/moved, which is outside'
    done
done
#: step a-kernel-s-directories-are-links 0 ours
. /run/hostile.sh
for to in /opt/out ../../../../../opt/out /proc/1/root/opt/out updates.d/../../../../../../opt/out; do
    for words in "install multi/1.0 -k $K" "remove single/1.0 --all"; do
        as_link() { mv "$L"/updates/* /opt/out/; rmdir "$L/updates"; ln -s "$to" "$L/updates"; }
        hostile as_link
        # shellcheck disable=SC2086
        attempt 6 $words -- "is a symbolic link to $to, which is outside"
    done
done
kernel_link() { mv "$L" /opt/out/kernel; ln -s /opt/out/kernel "$L"; }
hostile kernel_link
attempt 6 install multi/1.0 -k "$K" -- 'is a symbolic link to /opt/out/kernel, which is outside'
#: step links-that-stay-inside-work 0 ours
. /run/hostile.sh
for to in extra ./extra/../extra "/lib/modules/$K/extra" "/usr/lib/modules/$K/extra" "../$K/extra"; do
    inside() { mkdir -p "$L/extra"; mv "$L"/updates/* "$L/extra/"; rmdir "$L/updates"; ln -s "$to" "$L/updates"; }
    hostile inside
    attempt 0 install multi/1.0 -k "$K"
    test -f "$L/extra/dkms/alpha.ko"
    attempt 0 remove multi/1.0 --all
    attempt 0 uninstall single/1.0 -k "$K"
    test ! -e "$L/extra/dkms" -a -f "$L/kernel/drivers/single.ko"
done
#: step the-active-link-and-the-record 0 ours
. /run/hostile.sh
active() { ln -sfn /opt/out "$T/single/kernel-$K-$A"; }
hostile active
attempt 0 status single -- "single/1.0, $K, $A: built"
attempt 0 remove single/1.0 --all
for path in "/lib/modules/$K/../../../opt/out/canary" /opt/out/canary "/lib/modules/9.9/x.ko"; do
    recorded() {
        sed -i "s,\"path\":\"[^\"]*\",\"path\":\"$path\"," "$T/single/1.0/$K/$A/.manifest.json"
        grep -qF "$path" "$T/single/1.0/$K/$A/.manifest.json"
    }
    hostile recorded
    for words in "uninstall single/1.0 -k $K" "unbuild single/1.0 -k $K --force"; do
        # shellcheck disable=SC2086
        attempt 6 $words -- ".manifest.json cannot be used: according to it, $path is installed"
    done
    attempt 0 status single -- "single/1.0, $K, $A: installed"
    attempt 1 fsck -- "$path"
    test -f "$L/updates/dkms/single.ko"
done
#: step where-originals-came-from 0 ours
. /run/hostile.sh
for origin in /opt/out/canary "/lib/modules/$K/../../../opt/out/new" relative '' "/lib/modules/$K"; do
    says() { printf '%s\n' "$origin" >"$T/single/original_module/$K/$A/single.ko.origin"; }
    hostile says
    attempt 0 uninstall single/1.0 -k "$K" -- "single.ko is kept:"
    test -f "$T/single/original_module/$K/$A/single.ko"
done
origin_link() { ln -sf /opt/out/canary "$T/single/original_module/$K/$A/single.ko.origin"; }
hostile origin_link
attempt 0 uninstall single/1.0 -k "$K" -- 'single.ko.origin is not a regular file'
way_back() { mkdir /opt/out/kernel; ln -s /opt/out/kernel "$L/kernel"; }
hostile way_back
attempt 6 uninstall single/1.0 -k "$K" -- "is a symbolic link to /opt/out/kernel, which is outside"
#: step scripts-cannot-write-either 0 ours
. /run/hostile.sh
script() {
    printf 'PACKAGE_NAME=multi\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME=alpha\nDEST_MODULE_LOCATION=/extra\nPOST_INSTALL=post\n' \
        >/img/x/usr/src/multi-1.0/dkms.conf
    printf '#!/bin/sh\necho changed >/opt/out/canary\necho changed >/etc/new\ntouch /lib/modules/%s/by-script\n' "$K" >/img/x/usr/src/multi-1.0/post
    chmod +x /img/x/usr/src/multi-1.0/post
}
hostile script
attempt 0 install multi/1.0 -k "$K" --force
test -f "$L/by-script"
#: step damage 0 ours
# In a record that loses something it is an error; status goes on.
. /run/hostile.sh
for bad in '' '{' '{"schema":0}' '{"schema":1,"package":"other"}' '[]'; do
    damaged() { printf '%s' "$bad" >"$T/single/1.0/$K/$A/.manifest.json"; }
    hostile damaged
    attempt 6 uninstall single/1.0 -k "$K" -- '.manifest.json cannot be used'
    attempt 0 status single -- "single/1.0, $K, $A: installed"
    attempt 1 fsck
done
newer() { sed -i 's/"schema":1/"schema":2/' "$T/single/1.0/$K/$A/.manifest.json"; }
hostile newer
attempt 0 uninstall single/1.0 -k "$K"
line() { journal '{"Text":{"path":"/var/lib/dkms/mok.pub","text":""}}' '{"Text' '{"Text":{"path":"/var/lib/dkms/x","text":""}}'; }
hostile line
attempt 6 install multi/1.0 -k "$K" -- ':3: this line of a journal cannot be read'
attempt 0 status single -- ':3: this line of a journal cannot be read'
attempt 1 fsck -- ':3: this line of a journal cannot be read'
test -f "$T/mok.pub"
#: step on-the-machine-itself 0 ours
# What others may have written is not believed there either; the administrator's own links work.
rm -rf /img/x /opt/*
mkdir -p /srv/dkms /srv/sources
rm -rf /var/lib/dkms
ln -s /srv/dkms /var/lib/dkms
mv /usr/src/single-1.0 /srv/sources/
ln -s /srv/sources/single-1.0 /usr/src/single-1.0
dkms install single/1.0 -k "$K"
test -f "/lib/modules/$K/updates/dkms/single.ko"
dkms fsck
dkms remove single/1.0 --all
dkms install single/1.0 -k "$K"
mkdir -p /var/lib/dkms/.journal
j=/var/lib/dkms/.journal/00001764155123000000000-99999999
printf '{"Begin":{"schema":2,"pid":99999999,"started":1,"command":"x","kernels":[{"release":"%s","arch":"%s"}]}}\n' "$K" "$A" >$j
printf '{"Do":[0,{"Text":{"path":"/var/lib/dkms/single/kernel-%s-%s","text":""}}]}\n' "$K" "$A" >>$j
for spoil in "chown 65534 $j" "chmod o+w $j" "chgrp 65534 $j && chmod g+w $j" "chmod o+w ${j%/*}" "chown 65534 ${j%/*}" "chmod o+w /srv/dkms" "chown 65534 /srv/dkms"; do
    chown 0:0 $j ${j%/*} /srv/dkms
    chmod 644 $j
    chmod 755 ${j%/*} /srv/dkms
    eval "$spoil"
    code 6 dkms uninstall single/1.0 -k "$K" 2>/run/out
    grep -q 'is not trusted' /run/out
    same "$(dkms status 2>/dev/null)" "single/1.0, $K, $A: installed"
done
chown 0:0 $j ${j%/*} /srv/dkms
chmod 644 $j
chmod 755 ${j%/*} /srv/dkms
dkms generate_mok
same "$(dkms status)" "single/1.0, $K, $A: built"
