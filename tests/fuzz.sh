#!/bin/bash
# Run every fuzz target for some seconds, two at a time, on the stable compiler:
#
#   tests/fuzz.sh SECONDS [TARGET...]
#
# Seeds come from the dkms.conf files, fixtures, modules and archives at hand; what is found stays in
# fuzz/corpus and fuzz/artifacts (both ignored by git).
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=("${@:-conf archive elf}")
read -r -a targets <<<"${targets[*]}"
build=${DKMS_TEST_BUILD:-$PWD/build}
command -v c++ >/dev/null || { echo 'skipped: libFuzzer needs a C++ compiler'; exit 0; }

# Coverage for libFuzzer without the nightly-only -Z flags.
export RUSTFLAGS='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
 -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1'
RUSTFLAGS=${RUSTFLAGS//$'\n'/}
out=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
# With a target given, the flags stay away from build scripts and procedural macros.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$out"

seed() { # TARGET FILE...: copy files under a name made of their contents
    local dir=fuzz/corpus/$1 file
    shift
    mkdir -p "$dir"
    for file in "$@"; do
        [[ -f $file && $(stat -c %s "$file") -lt 300000 ]] || continue
        cp "$file" "$dir/$(sha1sum <"$file" | cut -c1-16)"
    done
}

shopt -s nullglob globstar
seed conf "$build"/corpus/*/usr/src/*/dkms.conf tests/fixtures/*/dkms.conf
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
for kind in tar:none tar.gz:gzip tar.xz:xz tar.zst:zstd tar.bz2:bzip2; do
    mkdir -p "$temp/a/dkms_source_tree"
    cp -r tests/fixtures/single-1.0/. "$temp/a/dkms_source_tree"
    case ${kind#*:} in
        none) tar -C "$temp/a" -cf "$temp/x.tar" . ;;
        *) tar -C "$temp/a" -c . | "${kind#*:}" -c >"$temp/x.${kind%%:*}" 2>/dev/null || true ;;
    esac
done
mkdir -p "$temp/p/DEBIAN" "$temp/p/usr/src"
cp -r tests/fixtures/single-1.0 "$temp/p/usr/src/"
printf 'Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n' >"$temp/p/DEBIAN/control"
for kind in none gzip xz zstd; do
    dpkg-deb --root-owner-group -Z"$kind" --build "$temp/p" "$temp/x.$kind.deb" >/dev/null 2>&1 || true
done
seed archive "$temp"/x.*
small=()
while read -r file; do small+=("$file"); done < <(find "$build/layers" -name '*.ko' -size -12k 2>/dev/null | sort | head -n 12)
seed elf "${small[@]}" crates/kmodule/tests/**/*.ko

run() {
    local target=$1 log=$temp/$1.log memory=3000 seconds_each=20
    # Of a module, no input may cost more than its size justifies. An xz decoder alone may take 140 MB.
    if [[ $target == elf ]]; then memory=700 seconds_each=5; fi
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    if "$out/$host/release/$target" "fuzz/corpus/$target" -max_total_time="$seconds" -rss_limit_mb="$memory" \
        -timeout="$seconds_each" \
        -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 -verbosity=1 >"$log" 2>&1; then
        printf 'fuzz %-8s %s runs, %s files in the corpus\n' "$target" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$(find "fuzz/corpus/$target" -type f | wc -l)"
    else
        printf 'fuzz %-8s FAILED\n' "$target"
        tail -n 40 "$log"
        return 1
    fi
}

status=0 running=()
for target in "${targets[@]}"; do
    if ((${#running[@]} >= 2)); then
        wait "${running[0]}" || status=1
        running=("${running[@]:1}")
    fi
    run "$target" &
    running+=($!)
done
for pid in "${running[@]}"; do wait "$pid" || status=1; done
exit "$status"
