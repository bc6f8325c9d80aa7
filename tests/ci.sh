#!/bin/bash
# All checks, one section after the other; the last lines say what passed, failed and was skipped.
#
#   tests/ci.sh [SECTION...]     default: all of them
# The sections are called by name. One with "&" behind it begins there, beside the next ones, and is waited for where its name
# comes again: the test of crashes uses one processor only.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/.." || exit 1
export DKMS_BIN=${DKMS_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release/dkms}
all=(fetch format clippy unit shell docs build attacks scenarios pages 'crash&' disk concurrency interrupt jobserver mok rpm vm crash packages fuzz deny msrv install)
sections=("${@:-${all[@]}}")
summary=() failed=0
declare -A beside=() begun=()

fetch() { tests/fetch.sh --msrv; }
format() { cargo fmt --all -- --check; }
clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }
unit() { cargo test --workspace --exclude dkms-tests --locked; }
docs() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet; }
build() { cargo build --release --locked -p dkms; }
attacks() { tests/attacks.sh && tests/confined.sh --sample; }
scenarios() { cargo test --release --locked -p dkms-tests --lib --test harness --test takeover --test scenarios; }
pages() { tests/docs.sh; }
crash() { tests/crash.sh; }
disk() { tests/full-disk.sh; }
concurrency() { tests/concurrency.sh; }
interrupt() { tests/interrupt.sh; }
jobserver() { tests/jobserver.sh; }
vm() { tests/vm.sh && tests/vm.sh --mutations 120 --doubtful 4 6.1; }
mok() { tests/mok.sh; }
rpm() { tests/rpm.sh; }
packages() { cargo test --release --locked -p dkms-tests --test packages; }
fuzz() { tests/fuzz.sh "${FUZZ_SECONDS:-30}"; }
deny() { tests/deny.sh; }
msrv() { tests/msrv.sh; }
shell() {
    command -v shellcheck >/dev/null || { echo 'skipped: no shellcheck here'; return 0; }
    shellcheck .ci/run tests/*.sh tests/attacks/inside.sh tests/vm/session packaging/deb.sh packaging/rpm.sh packaging/debian/postrm \
        && shellcheck -s bash -e SC2016,SC2010,SC2317,SC1091 tests/scenarios/*.sh \
        && shellcheck -s sh tests/vm/init tests/vm/guest tests/vm/mutation-guest
}
# The packaging's own tests.
install() {
    local test
    for test in packaging/tests/*.sh packaging/tests/run; do
        [[ -x $test ]] || continue
        echo "-- $test"
        "$test" || return 1
    done
}

# Runs one, or waits for it where it runs already.
run() {
    if [[ -z ${beside[$1]-} ]]; then "$1" 2>&1 | tee "$2"; return "${PIPESTATUS[0]}"; fi
    local code=0
    wait "${beside[$1]}" || code=$?
    tee "$2" <"$scratch/$1"
    return "$code"
}

scratch=$(mktemp -d)
trap 'kill "${beside[@]}" 2>/dev/null; rm -rf "$scratch"' EXIT
for section in "${sections[@]}"; do
    if [[ $section == *'&' ]]; then
        section=${section%&}
        "$section" >"$scratch/$section" 2>&1 &
        beside[$section]=$! begun[$section]=$SECONDS
        continue
    fi
    printf '\n===== %s =====\n' "$section"
    start=${begun[$section]-$SECONDS}
    output=$scratch/output
    if run "$section" "$output"; then
        word=passed
        if grep -q '^skipped:' "$output"; then word="passed, in part skipped: $(sed -n 's/^skipped: //p' "$output" | head -n 1)"; fi
    else
        # What it said last, again where the summary is read.
        word="FAILED$(printf '\n'; tail -n 12 "$output" | cut -c -200 | sed 's/^/    | /')"
        failed=1
    fi
    summary+=("$(printf '%-11s %4d s  %s' "$section" $((SECONDS - start)) "$word")")
done

printf '\n===== summary =====\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
