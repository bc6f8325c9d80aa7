#!/bin/bash
# Runs a command in a private root like those of the tests (see root-setup.sh), for tools that are not tests:
#
#   tests/in-root.sh 'LAYER...' COMMAND...     as a child of process 1; ends with its exit code
#
# A layer is one of build/layers, or packages/NAME-dkms, which brings the sources of that package. Inside,
# dkms is $DKMS_BIN, /e2e is this folder, /examples, /packaging and /docs are those beside it (read-only), and
# K and K612 are the kernels with headers.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${DKMS_TEST_BUILD:-$PWD/build}
bin=${DKMS_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release/dkms}
layers=() K='' K612=''
for name in $1; do
    case $name in
        packages/*) root=$build/corpus/${name#*/} ;;
        *) root=$build/layers/$name/root ;;
    esac
    [[ -d $root ]] || { echo "no layer $name: run tests/fetch.sh" >&2; exit 1; }
    layers+=("$root")
    case $name in
        headers-6.1) K=$(<"$build/layers/$name/kernel") ;;
        headers-6.12) K612=$(<"$build/layers/$name/kernel") ;;
    esac
done
shift
((EUID == 0)) || { echo 'a private root needs root' >&2; exit 1; }
[[ -x $bin ]] || { echo "no dkms at $bin: make build" >&2; exit 1; }
# The last command keeps bash as process 1, which reaps remaining processes.
exec env -u DKMS_LOCKS_HELD HOME=/root LC_ALL=C.UTF-8 A=x86_64 K="$K" K612="$K612" E2E_DKMS="$bin" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin E2E_RUN="cd /root; ${*@Q}; exit \$?" \
    unshare --mount --pid --net --ipc --fork --kill-child --propagation private \
    bash tests/root-setup.sh "$PWD/tests" "${layers[@]}"
