# shellcheck shell=bash
# Sourced by bench.sh in its root: what the page of --timings costs dkms, in instructions. It has no compilers
# in it.
#
#   timings_row DKMS PACKAGE
timings_row() {
    local dkms=$1 package=$2 with without
    if ! command -v valgrind >/dev/null; then
        echo 'timings          skipped: valgrind is not installed'
        return
    fi
    # The instructions of dkms alone: its children write separate files.
    # shellcheck disable=SC2317  # called below
    of_build() { # VARIABLE=VALUE...
        "$dkms" unbuild "$package" -k "$K" >/dev/null 2>&1 || true
        env "$@" valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file=/run/count.%p \
            "$dkms" build "$package" -k "$K" --no-cache >/dev/null 2>&1 &
        wait $!
        sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' /run/count.$!
        rm -f /run/count.*
    }
    of_build A=1 >/dev/null
    with=$(of_build A=1)
    # dkms makes no page then; everything else is the same.
    without=$(of_build SOURCE_DATE_EPOCH=1700000000)
    "$dkms" unbuild "$package" -k "$K" >/dev/null
    awk -v w="$with" -v o="$without" \
        'BEGIN { printf "%-16s %.0f instructions of dkms to build one module with the page, %.0f without: %.3f times\n", "timings", w, o, w / o }'
}
