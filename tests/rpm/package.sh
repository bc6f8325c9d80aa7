#!/bin/bash
# Makes the rpm package of dkms for rpm.sh, twice, and checks it with rpmlint: $OUT/dkms.rpm.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for time in 1 2; do BINARY=$DKMS_BIN packaging/rpm.sh "$scratch/$time" >/dev/null; done
cmp "$scratch"/1/*.rpm "$scratch"/2/*.rpm
printf 'Filters = ["no-signature"]\n' >"$scratch/lint.toml"
rpmlint -c "$scratch/lint.toml" "$scratch"/1/*.rpm >"$scratch/lint" 2>&1 || true
if ! grep -q 'packages and 0 specfiles checked; 0 errors' "$scratch/lint"; then
    cat "$scratch/lint"
    exit 1
fi
mv "$scratch"/1/*.rpm "$OUT/dkms.rpm"
