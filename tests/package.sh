#!/bin/bash
# Take the one package whose sources lie in /usr/src through a kernel's life; print one `KEY VALUE` line
# per thing seen. Runs inside a private root: package.sh KERNEL
set -u
kernel=$1 conf=$(find /usr/src/*/dkms.conf -not -path '/usr/src/linux-headers-*' | head -n 1)
folder=${conf%/dkms.conf}
folder=${folder##*/}
# The folder is NAME-VERSION, and both may hold dashes: the conf knows.
name=$(kernelver=$kernel bash -c '. "$1" >/dev/null 2>&1; echo "$PACKAGE_NAME"' - "$conf")
version=${folder#"$name"-}

run() {
    local what=$1 got=0
    shift
    "$@" >>/run/package.log 2>&1 </dev/null || got=$?
    echo "exit-$what $got"
}
state() { echo "$1 $(dkms status "$name/$version" 2>/dev/null | tr '\n' ';')"; }

run add dkms add -m "$name" -v "$version"
SECONDS=0
run autoinstall dkms autoinstall -k "$kernel"
if [[ $(dkms status "$name/$version") != *installed* ]]; then
    run install dkms install -m "$name" -v "$version" -k "$kernel"
fi
echo "seconds $SECONDS"
state status
find "/lib/modules/$kernel" \( -name kernel -o -name build -o -name source -o -name 'modules.*' \) -prune \
    -o ! -type d -name '*.ko*' -print | LC_ALL=C sort | while read -r file; do
    field() { modinfo -F "$1" "$file" | head -n 1 | sed 's/^DKMS.*/DKMS/'; }
    echo "module ${file#/lib/modules/*/} version=$(field version) srcversion=$(field srcversion)" \
        "vermagic=$(field vermagic) depends=$(field depends) signer=$(field signer) hash=$(field sig_hashalgo)" \
        "debug=$(grep -c '\.debug_info' "$file")"
done
# 3.0.10 does not unbuild when a kernel goes: its package hook removes the build instead.
if dkms --version | grep -q 'dkms-3\.0'; then
    while IFS=', ' read -r _ _ arch; do
        dkms remove "$name/$version" -k "$kernel/${arch%%:*}" >>/run/package.log 2>&1
    done < <(dkms status "$name/$version" | grep ", $kernel,")
else
    run kernel_prerm dkms kernel_prerm -k "$kernel"
fi
state after-prerm
left=$(find "/lib/modules/$kernel" \( -name kernel -o -name build -o -name source -o -name 'modules.*' \) -prune -o -mindepth 1 -print)
echo "left-over ${left//$'\n'/;}"
dkms remove "$name/$version" --all >>/run/package.log 2>&1
echo "left-in-tree $(find /var/lib/dkms -mindepth 1 -name '.*' -prune -o ! -name 'mok.*' -print | tr '\n' ';')"
