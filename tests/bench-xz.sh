# shellcheck shell=bash
# Sourced by bench.sh in its root, as its last measurement: it compresses the kernel's own modules, as Debian
# 13 does. Also alone: tests/in-root.sh 'headers-6.1 image-6.1' bash /e2e/bench-xz.sh
#
#   xz_row DKMS
xz_row() {
    local dkms=$1 n kernel
    kernel=/lib/modules/$K
    find "$kernel/kernel" -name '*.ko' -print0 | xargs -0 -r -P "$(nproc)" -n 64 xz -0 -q
    n=$(find "$kernel" -name '*.ko.xz' | wc -l)
    depmod "$K"
    # The first installation reads all modules and remembers what depmod's index needs of them. The best of
    # the others counts.
    local all=() round
    for round in first 1 2 3; do
        { "$dkms" remove single/1.0 --all || true; "$dkms" add single/1.0; } >/dev/null 2>&1
        all+=("$(milliseconds "$dkms" install single/1.0 -k "$K")")
        [[ $round != first ]] || all=()
    done
    printf '%-16s %s ms of processor time to install one module from the cache, beside %d .ko.xz (asked: 400 ms beside 4229); depmod alone %s ms\n' \
        cached-1-xz "$(printf '%s\n' "${all[@]}" | sort -n | head -n 1)" "$n" "$(milliseconds depmod "$K")"
}
# Milliseconds of processor time, own and children's, of one command.
milliseconds() { # COMMAND...
    local TIMEFORMAT='%U %S'
    { time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ printf "%.0f\n", ($1 + $2) * 1000 }'
}
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    # shellcheck source=/dev/null
    . /e2e/prelude.sh
    set -euo pipefail
    cp -r /e2e/fixtures/single-1.0 /usr/src/
    dkms generate_mok >/dev/null
    xz_row dkms
fi
