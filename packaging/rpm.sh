#!/bin/bash
# The rpm package: dist/dkms-VERSION-RELEASE.ARCHITECTURE.rpm. Prints its path.
#
#   packaging/rpm.sh [DIRECTORY]      default: dist
#   BINARY=file                       the program to put in, instead of building one
#   SOURCE_DATE_EPOCH=seconds         the time that every file gets (default: that of the last commit)
#   PACKAGER='Name <address>'         who made it (default: a placeholder)
#   RPM_RELEASE=text                  what follows the version (default: 1)
#
# No root, no network (with BINARY), nothing of the user's ~/rpmbuild. The same sources, program and time give the same bytes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
dist=${1:-$top/dist}
for tool in rpmbuild make tar gzip; do
    command -v "$tool" >/dev/null || { echo "rpm.sh: $tool is missing (rpmbuild: package rpm-build; on Debian: rpm)" >&2; exit 1; }
done

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$top/Cargo.toml")
# SemVer's 4.0.0-rc.1 comes before 4.0.0, as 4.0.0~rc.1 does for rpm.
rpm_version=${version/-/\~}
release=${RPM_RELEASE:-1}
packager=${PACKAGER:-dkms maintainers <dkms@example.org>}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || stat -c %Y "$top/CHANGELOG.md")}
export SOURCE_DATE_EPOCH
# What another make has handed down (a DESTDIR, job slots, -n) is not for this one.
unset MAKEFLAGS MFLAGS DESTDIR
umask 022

if [[ -z ${BINARY:-} ]]; then
    (cd "$top" && "${CARGO:-cargo}" build --release --locked -p dkms >&2)
    BINARY=${CARGO_TARGET_DIR:-$top/target}/release/dkms
fi
binary=$(realpath "$BINARY")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{SOURCES,SPECS}
# What git knows, or, outside of a checkout, everything but what builds and tests leave.
sources() {
    git -C "$top" ls-files -z 2>/dev/null ||
        (cd "$top" && find . \( -path ./target -o -path ./build -o -path ./dist -o -path ./.git \) -prune -o -type f -print0 | sed -z 's,^\./,,')
}
sources | LC_ALL=C sort -z | tar -C "$top" --null -T - --format=gnu --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX,go-w \
    --mtime="@$SOURCE_DATE_EPOCH" --transform="s,^,dkms-$rpm_version/,S" -cf - | gzip -9n >"$work/SOURCES/dkms-$rpm_version.tar.gz"
date=$(LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')
sed -e "s/@VERSION@/$rpm_version/g; s/@RELEASE@/$release/g; s/@DATE@/$date/; s/@PACKAGER@/${packager//&/\\&}/g" "$here/rpm/dkms.spec" >"$work/SPECS/dkms.spec"

# Where and when it is built does not show. (The time of files has had two names: up to rpm 4.19, and since.) What it needs to
# be built is the business of whoever calls: rpm may know nothing of this machine. No package of the sources beside it: rpm
# writes the directory it was made in into that.
LC_ALL=C rpmbuild --nodeps -bb \
    --define "_topdir $work" --define "_tmppath $work" --define "_dbpath $work/db" --define "dkms_binary $binary" \
    --define '_buildhost localhost' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' --define 'build_mtime_policy clamp_to_source_date_epoch' \
    --define '_binary_payload w6.xzdio' --define '_build_id_links none' \
    "$work/SPECS/dkms.spec" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }

mkdir -p "$dist"
find "$work/RPMS" -name '*.rpm' | sort | while read -r rpm; do
    install -m 0644 "$rpm" "$dist/"
    printf '%s\n' "$dist/${rpm##*/}"
done
