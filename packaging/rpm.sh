#!/bin/bash
# The rpm packages: dist/dkms-VERSION-RELEASE.ARCHITECTURE.rpm and dist/dkms-registry-... Prints their paths.
#
#   packaging/rpm.sh [DIRECTORY]      default: dist
#   BINARY=file                       the program to package, instead of building both
#   REGISTRY=file                     the program dkms-registry; without it, a given BINARY is packaged alone
#   SOURCE_DATE_EPOCH=seconds         the time stamp of every file (default: that of the last commit)
#   PACKAGER='Name <address>'         the packager (default: a placeholder)
#   RPM_RELEASE=text                  appended to the version (default: 1)
#   RPM_FAMILY=fedora|rhel|suse       the distribution that it is for (default: the one that rpmbuild runs on)
#   RPM_PAYLOAD=flags                 how it is compressed (default: w6.xzdio)
#
# Needs no root, no network (with BINARY), and does not use ~/rpmbuild. The package is reproducible.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
dist=${1:-$top/dist}
for tool in rpmbuild make tar gzip; do
    command -v "$tool" >/dev/null || { echo "rpm.sh: $tool is missing (rpmbuild: package rpm-build; on Debian: rpm)" >&2; exit 1; }
done

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$top/Cargo.toml")
# The version 4.0.0-rc.1 precedes 4.0.0; in rpm this is 4.0.0~rc.1.
rpm_version=${version/-/\~}
release=${RPM_RELEASE:-1}
packager=${PACKAGER:-dkms maintainers <dkms@example.org>}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || stat -c %Y "$top/CHANGELOG.md")}
export SOURCE_DATE_EPOCH
# Do not inherit variables of an outer make (DESTDIR, job slots, -n).
unset MAKEFLAGS MFLAGS DESTDIR
umask 022

if [[ -z ${BINARY:-} ]]; then
    (cd "$top" && "${CARGO:-cargo}" build --release --locked -p dkms -p dkms-registry >&2)
    BINARY=${CARGO_TARGET_DIR:-$top/target}/release/dkms
    REGISTRY=${CARGO_TARGET_DIR:-$top/target}/release/dkms-registry
fi
binary=$(realpath "$BINARY")
registry=()
[[ -z ${REGISTRY:-} ]] || registry=(--define "registry_binary $(realpath "$REGISTRY")")

# What the macros of these distributions define.
family=()
case ${RPM_FAMILY:-} in
    '') ;;
    fedora) family=(--define 'fedora 42') ;;
    rhel) family=(--define 'rhel 10') ;;
    suse) family=(--define 'suse_version 1600') ;;
    *) echo "rpm.sh: RPM_FAMILY is $RPM_FAMILY, but may be fedora, rhel or suse" >&2; exit 2 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{SOURCES,SPECS}
# The files in git, or, outside a checkout, all files except those that builds and tests create.
sources() {
    git -C "$top" ls-files -z 2>/dev/null ||
        (cd "$top" && find . \( -path ./target -o -path ./build -o -path ./dist -o -path ./.git \) -prune -o -type f -print0 | sed -z 's,^\./,,')
}
sources | LC_ALL=C sort -z | tar -C "$top" --null -T - --format=gnu --owner=0 --group=0 --numeric-owner --mode=u+rwX,go+rX,go-w \
    --mtime="@$SOURCE_DATE_EPOCH" --transform="s,^,dkms-$rpm_version/,S" -cf - | gzip -9n >"$work/SOURCES/dkms-$rpm_version.tar.gz"
date=$(LC_ALL=C date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')
sed -e "s/@VERSION@/$rpm_version/g; s/@RELEASE@/$release/g; s/@DATE@/$date/; s/@PACKAGER@/${packager//&/\\&}/g" "$here/rpm/dkms.spec" >"$work/SPECS/dkms.spec"

# The package does not contain the place and time of the build. (The macro for file times changed its name
# after rpm 4.19.) Build dependencies are not checked, because rpm may not know the packages of this machine.
# No source package is created, because rpm writes the build directory into it.
LC_ALL=C rpmbuild --nodeps -bb \
    --define "_topdir $work" --define "_tmppath $work" --define "_dbpath $work/db" --define "dkms_binary $binary" "${registry[@]}" "${family[@]}" \
    --define '_buildhost localhost' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' --define 'build_mtime_policy clamp_to_source_date_epoch' \
    --define "_binary_payload ${RPM_PAYLOAD:-w6.xzdio}" --define '_build_id_links none' \
    "$work/SPECS/dkms.spec" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }

mkdir -p "$dist"
find "$work/RPMS" -name '*.rpm' | sort | while read -r rpm; do
    install -m 0644 "$rpm" "$dist/"
    printf '%s\n' "$dist/${rpm##*/}"
done
