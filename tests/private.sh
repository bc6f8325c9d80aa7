# shellcheck shell=bash
# Sourced by the tests that do all of their work inside one private root (see root-setup.sh):
#
#   private 'LAYER...' COMMAND...     run COMMAND in there, as a child of process 1, and return its code
#
# A layer is one of build/layers, or packages/NAME-dkms, which brings that package's sources. In there: dkms is the
# binary under test, /e2e this folder, /examples, /packaging and /docs those beside it (read-only), K and K612 the kernels
# with headers.
# A test that cannot run here says so and ends well.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
build=${DKMS_TEST_BUILD:-$PWD/build}
bin=${DKMS_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release/dkms}

skip() { echo "skipped: $*"; exit 0; }
needs() { local c; for c in "$@"; do command -v "$c" >/dev/null || skip "no $c here"; done; }

private() {
    local names=$1 name layers=()
    shift
    (($(id -u) == 0)) || skip 'needs root, for a private mount namespace'
    for name in $names; do
        if [[ $name == packages/* ]]; then
            [[ -d $build/corpus/${name#*/} ]] || skip "no package ${name#*/}, run tests/fetch.sh"
            layers+=("$build/corpus/${name#*/}")
            continue
        fi
        [[ -f $build/layers/$name/stamp ]] || skip "no layer $name, run tests/fetch.sh"
        layers+=("$build/layers/$name/root")
    done
    [[ -x $bin ]] || { echo "no dkms at $bin: make build"; exit 1; }
    K=$(<"$build/layers/headers-6.1/kernel") K612=''
    [[ " $names " != *' headers-6.12 '* ]] || K612=$(<"$build/layers/headers-6.12/kernel")
    # The last word keeps bash there as process 1, to reap what is left behind.
    env -u DKMS_LOCKS_HELD HOME=/root LC_ALL=C.UTF-8 A=x86_64 K="$K" K612="$K612" E2E_DKMS="$bin" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        E2E_RUN="cd /root; ${*@Q}; exit \$?" \
        unshare --mount --pid --net --ipc --fork --kill-child --propagation private \
        bash tests/root-setup.sh "$PWD/tests" "${layers[@]}"
}
