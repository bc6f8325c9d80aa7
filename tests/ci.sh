#!/bin/bash
# Everything that CI runs, one section after the other. The last lines say what passed, failed and was skipped.
#
#   tests/ci.sh [SECTION...]     default: all of them
#
# A section is a cargo command, or the end-to-end tests whose names begin with SECTION:: (see README.md). One with "&" after
# its name starts there, beside the next ones, and is waited for where its name comes again: the crash tests use one
# processor only.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/.." || exit 1
export DKMS_BIN=${DKMS_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release/dkms} FUZZ_SECONDS=${FUZZ_SECONDS:-20}
all=(fetch format clippy unit docs build workspace::shellcheck harness takeover attacks confined scenarios pages 'crash&' full_disk concurrency
    interrupt jobserver mok rpm vm mutations fuzz crash packages workspace::deny workspace::msrv packaging)
sections=("${@:-${all[@]}}")
summary=() failed=0 besides=0
declare -A beside=() begun=()

fetch() { tests/fetch.sh --msrv; }
format() { cargo fmt --all -- --check; }
clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }
unit() { cargo test --workspace --exclude dkms-tests --locked && cargo test --release --locked -p dkms-tests --lib; }
docs() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet; }
build() { cargo build --release --locked -p dkms; }
scenarios() { cargo test --release --locked --quiet -p dkms-tests --test scenarios -- --nocapture; }
# e2e PREFIX THREADS
e2e() { cargo test --release --locked --quiet -p dkms-tests --test e2e -- --nocapture --test-threads "$2" "$1"; }

# section NAME: runs it. Its end-to-end tests report to $scratch/NAME.tests.
section() {
    local threads=2
    case $1 in fetch | format | clippy | unit | docs | build | scenarios) ;; *) set -- "$1" e2e ;; esac
    export DKMS_TEST_REPORT=$scratch/$1.tests
    if [[ ${2-} != e2e ]]; then "$1"; return; fi
    # Beside others it has one processor.
    if [[ $1 == crash ]] || ((besides)); then threads=1; fi
    if [[ $1 == *::* ]]; then e2e "$1" 1; else e2e "$1::" "$threads"; fi
}

# run NAME: runs a section, or waits for it if it runs already; its output is kept in $scratch/NAME.
run() {
    local code=0
    if [[ -z ${beside[$1]-} ]]; then
        section "$1" 2>&1 | tee "$scratch/$1"
        return "${PIPESTATUS[0]}"
    fi
    wait "${beside[$1]}" || code=$?
    besides=$((besides - 1))
    cat "$scratch/$1"
    return "$code"
}

# What became of the tests of a section: "12 passed, 1 skipped (first reason)".
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

scratch=$(mktemp -d)
trap 'kill "${beside[@]}" 2>/dev/null; rm -rf "$scratch"' EXIT
for name in "${sections[@]}"; do
    if [[ $name == *'&' ]]; then
        name=${name%&}
        section "$name" >"$scratch/$name" 2>&1 &
        beside[$name]=$! begun[$name]=$SECONDS besides=$((besides + 1))
        continue
    fi
    printf '\n===== %s =====\n' "$name"
    start=${begun[$name]-$SECONDS}
    if run "$name"; then
        word="passed$(tests_of "$name")"
    else
        # Its last lines, again where the summary is read.
        word="FAILED$(tests_of "$name"; printf '\n'; tail -n 12 "$scratch/$name" | cut -c -200 | sed 's/^/    | /')"
        failed=1
    fi
    summary+=("$(printf '%-22s %4d s  %s' "$name" $((SECONDS - start)) "$word")")
done

printf '\n===== summary =====\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
