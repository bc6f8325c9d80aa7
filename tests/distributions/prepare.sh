#!/bin/bash
# Makes what the tests install, as $OUT/...: the source archive for makepkg, and the rpm packages for each family.
#   prepare.sh [FAMILY...]
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
strip -o "$OUT/dkms" "$DKMS_BIN"
{ git ls-files -z packaging README.md CHANGELOG.md LICENSE 2>/dev/null || find packaging README.md CHANGELOG.md LICENSE -type f -print0; } |
    tar --null -T - --transform="s,^,dkms-$version/,S" -czf "$OUT/dkms-$version.tar.gz"
for family in "$@"; do
    RPM_FAMILY=$family RPM_PAYLOAD=w0.gzdio BINARY=$OUT/dkms packaging/rpm.sh "$OUT/$family" >/dev/null
    mv "$OUT/$family"/*.rpm "$OUT/dkms-$family.rpm"
    rmdir "$OUT/$family"
done
