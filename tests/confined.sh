#!/bin/bash
# Inside the private root of confined::NAME: the package whose sources are in /usr/src builds with
# build_confinement=off and with the default, signed with the same key; both results must be identical.
set -euo pipefail
source=$(find /usr/src -mindepth 2 -maxdepth 2 -name dkms.conf | head -n 1)
source=${source%/dkms.conf}
[[ -n $source ]] || { echo 'skipped: the package has no dkms.conf'; exit 77; }
folder=${source##*/}
package=${folder%-*}/${folder##*-}

# build CONFINEMENT: its exit code
build() {
    local code=0
    printf 'build_confinement=%s\ntry_sign_modules=true\ncache_size=0\n' "$1" >/etc/dkms/framework.conf
    dkms build "$package" -k "$K" >"/run/$1" 2>&1 || code=$?
    cp -r "/var/lib/dkms/$package/$K/$A/module" "/run/built.$1" 2>/dev/null || true
    dkms unbuild "$package" -k "$K" >/dev/null 2>&1 || true
    echo "$code"
}

off=$(build off)
confined=$(build auto)
if [[ $off != 0 ]]; then
    # Some packages do not build for this kernel at all.
    echo "it does not build without confinement either (exit code $off; confined: $confined)"
    exit 0
fi
[[ $confined == 0 ]] || { echo "confined, it ends with $confined"; tail -n 8 /run/auto; exit 1; }
! grep 'not confined fully' /run/auto || exit 1
diff -r /run/built.off /run/built.auto
echo "$(find /run/built.auto -name '*.ko*' | wc -l) modules with the same bytes"
