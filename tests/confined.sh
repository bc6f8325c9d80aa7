#!/bin/bash
# Packages build confined as they do unconfined, to the byte: `tests/confined.sh [PACKAGE...]`, or --sample for a few small ones.
#
# A package is one of build/corpus, or a folder with an unpacked package. Each is built with build_confinement=off and with the
# default, signed with the same key. `make test-confined` takes all of them.
set -euo pipefail
# shellcheck source=tests/private.sh disable=SC1091
. "$(dirname "$0")/private.sh"
needs gcc make

if [[ ${1-} == --sample ]]; then
    set -- bbswitch-dkms ddcci-dkms v4l2loopback-dkms
elif ((!$#)); then
    # shellcheck disable=SC2154 # set by private.sh
    mapfile -t all < <(ls "$build/corpus")
    set -- "${all[@]}"
fi

# In the private root.
inside() {
    local source conf package kernel=$K rc=0 off=0 confinement
    source=$(find /usr/src -mindepth 2 -maxdepth 2 -name dkms.conf | head -n 1)
    source=${source%/dkms.conf}
    [[ -n $source ]] || { echo 'skipped: no dkms.conf in it'; return 0; }
    conf=${source##*/}
    package=${conf%-*}/${conf##*-}
    for confinement in off auto; do
        printf 'build_confinement=%s\ntry_sign_modules=true\n' "$confinement" >/etc/dkms/framework.conf
        rc=0
        dkms build "$package" -k "$kernel" >"/run/$confinement" 2>&1 || rc=$?
        printf '%s\n' "$rc" >"/run/code.$confinement"
        rm -rf "/run/built.$confinement"
        cp -r "/var/lib/dkms/${package%/*}/${package#*/}/$kernel/x86_64/module" "/run/built.$confinement" 2>/dev/null || true
        dkms unbuild "$package" -k "$kernel" >/dev/null 2>&1 || true
    done
    off=$(</run/code.off) rc=$(</run/code.auto)
    if [[ $off != 0 ]]; then
        echo "not built without confinement either (exit code $off, confined $rc)"
        return 0
    fi
    [[ $rc == 0 ]] || { echo "confined: exit code $rc"; tail -n 8 /run/auto; return 1; }
    ! grep 'not confined fully' /run/auto || return 1
    diff -r /run/built.off /run/built.auto || return 1
    echo "$(find /run/built.auto -name '*.ko*' | wc -l) modules, the same bytes"
}

failed=0
for package; do
    layer=packages/$package
    if said=$(private "$layer headers-6.1" bash -c "$(declare -f inside); inside" 2>&1); then word=passed; else word=FAILED failed=$((failed + 1)); fi
    printf '%s  %-28s %s\n' "$word" "$package" "$said"
done
((failed == 0))
