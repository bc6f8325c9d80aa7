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
# `cargo check` does not link, so a script that writes empty files replaces the C compiler.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/cc" <<'END'
#!/bin/sh
case " $* " in *' -c '*) ;; *) exec gcc "$@" ;; esac
while [ "$1" != -o ]; do shift; done
: >"$2"
END
chmod +x "$scratch/cc"
# The libraries beside the compiler are for rustc and cargo alone.
CC=$scratch/cc "$root/usr/bin/cargo" check --workspace --locked --quiet
echo "the workspace compiles with $want"
