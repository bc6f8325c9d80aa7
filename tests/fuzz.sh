#!/bin/bash
# Runs one fuzz target for FUZZ_SECONDS (default 30), on the stable compiler: `fuzz.sh TARGET`.
#
# Seeds are the dkms.conf files, fixtures, modules and archives that are available. Findings stay in
# fuzz/corpus and fuzz/artifacts, which git ignores.
set -eu
cd "$(dirname "$0")/.."
target=$1
seconds=${FUZZ_SECONDS:-30}
build=${DKMS_TEST_BUILD:-$PWD/build}

# Coverage for libFuzzer without the nightly-only -Z flags.
export RUSTFLAGS='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
 -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1'
RUSTFLAGS=${RUSTFLAGS//$'\n'/}
out=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
# If a target is given, the flags do not apply to build scripts and procedural macros.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet --release --manifest-path fuzz/Cargo.toml --bin "$target" --target "$host" --target-dir "$out"

seed() { # TARGET FILE...: copies files under a name made of their contents, for the target that runs
    local dir=fuzz/corpus/$1 file
    [[ $1 == "$target" ]] || return 0
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
# As in docs/on-disk-layout.md.
cat >"$temp/journal" <<'END'
{"Begin":{"schema":2,"pid":1,"started":2,"command":"dkms install p/1","kernels":[{"release":"6.1","arch":"x86_64"}]}}
{"Before":{"package":"p","entries":[{"package":{"name":"p","version":"1"},"kind":{"Built":{"release":"6.1","arch":"x86_64"}},"originals":false,"built_missing":false,"differs":false}]}}
{"Do":[0,{"Move":{"from":"/l/a.ko","to":{"escaped":"/t/b%FF/a.ko"}}}]}
{"Do":[0,{"Text":{"path":"/t/a.ko.origin","text":"/l/a.ko\n"}}]}
{"Do":[0,{"Place":{"staged":"/l/.a.ko.dkms-new","to":"/l/a.ko","saved":null,"vacated":"/t/a.ko"}}]}
{"Do":[0,{"Remove":{"path":"/l/b.ko","saved":"/l/.b.ko.dkms-old"}}]}
{"Do":[0,{"Link":{"link":"/t/kernel-6.1-x86_64","target":"1/6.1/x86_64","before":null}}]}
{"Do":[0,{"Keep":{"path":"/t/.manifest.json","saved":"/t/..manifest.json.dkms-old"}}]}
"Done"
{"Depmod":0}
{"Commit":{"owed":false}}
END
seed journal "$temp/journal"
cat >"$temp/manifest" <<'END'
{"schema":1,"package":"p","version":"1","kernel":"6.1","arch":"x86_64","inputs":{"source":"0","directives":"0","patches":[["a.patch","0"]],"headers":{"escaped":"/h%FF"},"kernel_config":"","compiler":"gcc","make":"make","evaluated":"native"},"built_at":1,"build_seconds":0.5,"modules":[{"name":"a","file":"a.ko","destination":"/updates","size":1,"sha256":"0","vermagic":"","version":"","srcversion":"","signature":""}],"excluded":[],"build_depends":[],"no_weak_modules":false,"post_remove":null,"installed":{"at":1,"files":[{"path":"/l/a.ko","file":"a.ko","stamp":{"size":1,"inode":2,"device":3,"mtime":4,"ctime":5},"built":{"size":1,"inode":2,"device":3,"mtime":4,"ctime":5}}]}}
END
seed manifest "$temp/manifest"
# The fingerprint of the line.
record='{"schema":1,"fingerprint":"'$(echo arch=x86_64 | sha256sum | cut -c -64)'","lines":["arch=x86_64"],"package":"p","version":"1","kernel":"6.1","arch":"x86_64","builder":"4","build_ms":1,"files":[{"path":"module/a.ko","size":3,"sha256":"'$(printf abc | sha256sum | cut -c -64)'"}],"layer":{"digest":"sha256:'$(printf '' | sha256sum | cut -c -64)'","size":1}}'
printf %s "$record" >"$temp/record"
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.dkms.build.v1","config":{"mediaType":"application/vnd.dkms.build.v1+json","digest":"sha256:%s","size":%s,"data":"%s"},"layers":[{"mediaType":"application/vnd.dkms.build.v1.tar+zstd","digest":"sha256:%s","size":1}],"annotations":{"dev.dkms.signature.0123456789abcdef":"AAAA"}}' \
    "$(sha256sum <"$temp/record" | cut -c -64)" "${#record}" "$(printf %s "$record" | base64 -w 0)" "$(printf '' | sha256sum | cut -c -64)" >"$temp/bundle"
mkdir -p "$temp/l/module"
printf abc >"$temp/l/module/a.ko"
tar -C "$temp/l" --owner=0 --group=0 --numeric-owner --mtime=@0 --format=gnu -c module/a.ko | zstd -q >"$temp/layer" 2>/dev/null || true
seed bundle "$temp/record" "$temp/bundle" "$temp/layer"

memory=3000 seconds_each=20
# No module may cost more memory than its size justifies. An xz decoder alone may take 140 MB.
if [[ $target == elf ]]; then memory=700 seconds_each=5; fi
mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
log=$temp/log
if ! "$out/$host/release/$target" "fuzz/corpus/$target" -max_total_time="$seconds" -rss_limit_mb="$memory" \
    -timeout="$seconds_each" -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 -verbosity=1 >"$log" 2>&1; then
    tail -n 40 "$log"
    exit 1
fi
echo "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs, $(find "fuzz/corpus/$target" -type f | wc -l) files in the corpus"
