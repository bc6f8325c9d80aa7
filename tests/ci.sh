#!/bin/bash
# Everything that CI runs. The last lines list the passed, failed and skipped tests.
#
#   tests/ci.sh [SECTION...]     default: all of them
#
# A section is a function below, or the end-to-end tests whose names begin with SECTION:: (see README.md).
# Those that compile come first, while the downloads run. Then there are always as many sections at a time as
# processors, each with one thread, the longest ones first.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/.." || exit 1
export DKMS_BIN=${DKMS_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release/dkms} FUZZ_SECONDS=${FUZZ_SECONDS:-10}
# Incremental compilation only helps if the tree is compiled again.
[[ -d ${CARGO_TARGET_DIR:-target}/debug ]] || export CARGO_INCREMENTAL=0
compiling=(fetch build format clippy compile docs)
testing=(scenarios vm reload safe_boot crash packages fuzz unit attacks interrupt mutations image btf jobserver full_disk concurrency
    workspace::msrv mok pages takeover confined twice clang rpm distributions registry fleet_key
    workspace::shellcheck harness timings report packaging workspace::deny debian_kit foreign images)

fetch() { tests/fetch.sh --msrv; }
format() { cargo fmt --all -- --check; }
clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }
docs() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet; }
build() { cargo build --release --locked -p dkms -p dkms-registry; }
# The tests, and the location of the end-to-end tests.
compile() {
    cargo test --workspace --exclude dkms-tests --locked --no-run &&
        cargo test -p dkms-tests --locked --no-run --message-format json-render-diagnostics >"$scratch/compiled" &&
        sed -n 's/.*"executable":"\([^"]*\/\(e2e\|scenarios\)-[^"]*\)".*/\2=\1/p' "$scratch/compiled" >"$scratch/programs"
}
unit() { cargo test --workspace --exclude dkms-tests --locked && cargo test --locked -p dkms-tests --lib; }
# program NAME ARGUMENT...: runs a test program as cargo does. An unknown test name is an error.
program() (
    cd tests && "$(sed -n "s/^$1=//p" "$scratch/programs")" --quiet --nocapture --test-threads "$threads" "${@:2}" &&
        [[ -s $DKMS_TEST_REPORT ]]
)
# The longest section: two tests at a time, so it ends with the others.
scenarios() { threads=2 program scenarios; }

# section NAME: runs it. Its end-to-end tests report to $scratch/NAME.tests; times are in $scratch/NAME.times.
section() {
    export DKMS_TEST_REPORT=$scratch/$1.tests TIMEFORMAT='%R %U %S'
    local words
    case $1 in
        fetch | format | clippy | docs | build | compile | unit | scenarios) words=("$1") ;;
        *::*) words=(program e2e "$1") ;;
        *) words=(program e2e "$1::") ;;
    esac
    { time "${words[@]}" 2>&3; } 3>&2 2>"$scratch/$1.times"
}

# The results of the tests of a section: "12 passed, 1 skipped (first reason)".
tests_of() {
    [[ -s $scratch/$1.tests ]] || return 0
    awk -F '\t' '
        { count[$2]++ }
        $4 != "" && $4 !~ /^takes long/ { whys++; if (why == "") why = $1 ": " $4 }
        $2 == "skipped" && $4 ~ /^takes long/ { count["skipped"]--; long++ }
        END {
            printf ": %d", count["passed"]
            if (count["failed"]) printf ", %d failed", count["failed"]
            if (count["skipped"]) printf ", %d SKIPPED", count["skipped"]
            if (long) printf ", %d long ones not run", long
            if (whys == 1) printf " (%s)", why
            if (whys >= 2) printf " (%s; and %d more)", why, whys - 1
        }' "$scratch/$1.tests"
}

summary=() failed=0
declare -A running=()

# begin NAME: starts a section in parallel with the others.
begin() {
    section "$1" >"$scratch/$1" 2>&1 &
    running[$!]=$1
}

# finish: waits until one of the running sections ends, and shows its output.
finish() {
    local pid='' code=0 name times word
    wait -n -p pid "${!running[@]}" || code=$?
    name=${running[$pid]}
    unset "running[$pid]"
    printf '\n===== %s =====\n' "$name"
    cat "$scratch/$name"
    if ((code == 0)); then
        word="passed$(tests_of "$name")"
    else
        # Repeats its last lines beside the summary.
        word="FAILED$(tests_of "$name"; printf '\n'; tail -n 12 "$scratch/$name" | cut -c -200 | sed 's/^/    | /')"
        failed=1
    fi
    times=$(awk '{ printf "%4d s (%4d s of processor)", $1, $2 + $3 }' "$scratch/$name.times")
    summary+=("$(printf '%-22s %s  %s' "$name" "$times" "$word")")
}

# complete NAME: waits for this section.
complete() {
    while [[ " ${running[*]} " == *" $1 "* ]]; do finish; done
}

scratch=$(mktemp -d)
trap 'kill "${!running[@]}" 2>/dev/null; rm -rf "$scratch"' EXIT
slots=$(($(nproc) + 1)) threads=1 first=() then=() all=("$@")
((${#all[@]})) || all=("${compiling[@]}" "${testing[@]}")
for name in "${all[@]}"; do
    if [[ " ${compiling[*]} " == *" $name "* ]]; then first+=("$name"); else then+=("$name"); fi
done
((slots >= 2)) || slots=2
((${#then[@]} > 1)) || threads=$slots
# All other sections need this one.
if ((${#then[@]})) && [[ " ${first[*]} " != *' compile '* ]]; then first+=(compile); fi

for name in "${first[@]}"; do
    begin "$name"
    # Downloads wait for the network, and the program has a separate target directory: they run beside the
    # others, unless the compiler has to be fetched.
    case $name in fetch) command -v cc >/dev/null || complete fetch ;; build) ;; *) complete "$name" ;; esac
done
while ((${#running[@]})); do finish; done
for name in "${then[@]}"; do
    while ((${#running[@]} >= slots)); do finish; done
    begin "$name"
done
while ((${#running[@]})); do finish; done

printf '\n===== summary =====\n'
printf '%s\n' "${summary[@]}" "$(printf '%-22s %4d s' together "$SECONDS")"
exit "$failed"
