#!/bin/bash
# Checks the workspace with the oldest compiler that it supports (rust-version in Cargo.toml), taken from
# Debian's rustc-web of that version. Skipped where there is no such compiler.
set -eu
cd "$(dirname "$0")/.."
build=${DKMS_TEST_BUILD:-$PWD/build}
want=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
root=$build/msrv/root
[[ -x $root/usr/bin/rustc ]] || { echo "skipped: no rustc $want (tests/fetch.sh --msrv gets it where the archive has it)"; exit 77; }
# The unpacked libraries of the compiler, found beside it.
lib=$(find "$root/usr/lib" -maxdepth 1 -name '*-linux-gnu*' | head -n 1)
export LD_LIBRARY_PATH=$lib
if ! have=$("$root/usr/bin/rustc" --version 2>&1); then
    echo "skipped: the unpacked compiler does not start: $have"
    exit 77
fi
[[ $have == "rustc $want"* ]] || { echo "skipped: wanted $want, the archive has $have"; exit 77; }
echo "$have"
export RUSTC=$root/usr/bin/rustc RUSTDOC=$root/usr/bin/rustdoc CARGO_TARGET_DIR=$build/target-msrv
unset RUSTUP_TOOLCHAIN CARGO
# The libraries are for rustc and cargo alone: build scripts run programs of the machine with its own.
# The speed of the C parts of dependencies does not matter here.
"$root/usr/bin/cargo" check --workspace --locked --quiet \
    --config profile.dev.package.zstd-sys.opt-level=0 --config profile.dev.package.liblzma-sys.opt-level=0
echo "the workspace compiles with $want"
