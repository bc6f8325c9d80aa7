#!/bin/bash
# Inside the private root of twice::NAME: the package whose sources are in /usr/src is built several times,
# for each kernel with headers, in different orders, with different numbers of jobs, times, environments and
# directories of the source. Builds with the same fingerprint must have the same modules, outside their .BTF.
set -euo pipefail
source=$(find /usr/src -mindepth 2 -maxdepth 2 -name dkms.conf | head -n 1)
source=${source%/dkms.conf}
[[ -n $source ]] || { echo 'skipped: the package has no dkms.conf'; exit 77; }
folder=${source##*/}
package=${folder%-*}/${folder##*-}
kernels=("$K" ${K612:+"$K612"})

# build ROUND KERNEL [OPTION...]: keeps its modules and fingerprint in /run/KERNEL.ROUND, unless it fails.
build() {
    local kernel=$2 to=/run/$2.$1
    shift 2
    dkms build "$package" -k "$kernel" --no-cache "$@" >"$to.log" 2>&1 || return 0
    cp -r "/var/lib/dkms/$package/$kernel/$A/module" "$to"
    for module in "$to"/*.ko*; do
        case $module in *.xz) unxz "$module" ;; *.zst) unzstd -q --rm "$module" ;; esac
    done
    for module in "$to"/*.ko; do objcopy --remove-section .BTF "$module"; done
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["fingerprint"])' \
        "/var/lib/dkms/$package/$kernel/$A/.manifest.json" >"$to.fingerprint"
    dkms unbuild "$package" -k "$kernel" >/dev/null
}

mkdir -p /etc/dkms
echo 'try_sign_modules=false' >/etc/dkms/framework.conf
for kernel in "${kernels[@]}"; do build first "$kernel"; done
# Another clone of the source, the other way round, by another shell.
cp -r "$source" /root/clone
rm -r "$source"
mv /root/clone "$source"
find "$source" -exec touch -d '2001-02-03' {} +
for ((n = ${#kernels[@]} - 1; n >= 0; n--)); do
    FOO=bar LANG=de_DE.UTF-8 TZ=Asia/Tokyo USER=someone PATH=/usr/games:/usr/bin:$PATH build second "${kernels[n]}" -j1
done
count=0
for kernel in "${kernels[@]}"; do
    if [[ ! -e /run/$kernel.first.fingerprint ]]; then
        echo "$kernel: it does not build"
        [[ ! -e /run/$kernel.second.fingerprint ]]
        continue
    fi
    cmp "/run/$kernel.first.fingerprint" "/run/$kernel.second.fingerprint"
    diff -r "/run/$kernel.first" "/run/$kernel.second"
    number=$(find "/run/$kernel.first" -name '*.ko' | wc -l)
    count=$((count + number))
done
echo "$count modules with the same bytes"
