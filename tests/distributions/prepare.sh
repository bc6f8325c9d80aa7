#!/bin/bash
# Makes the files for the tests in $OUT: the source archive for makepkg, and the rpm packages of each family.
#   prepare.sh [FAMILY...]
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
strip -o "$scratch/dkms" "$DKMS_BIN"
{ git ls-files -z packaging README.md CHANGELOG.md LICENSE 2>/dev/null || find packaging README.md CHANGELOG.md LICENSE -type f -print0; } |
    tar --null -T - --transform="s,^,dkms-$version/,S" -czf "$scratch/dkms-$version.tar.gz"
for family in "$@"; do
    RPM_FAMILY=$family RPM_PAYLOAD=w0.gzdio BINARY=$scratch/dkms packaging/rpm.sh "$scratch/$family" >/dev/null
    mv "$scratch/$family"/*.rpm "$scratch/dkms-$family.rpm"
    rmdir "$scratch/$family"
done
cp "$scratch"/* "$OUT/"
