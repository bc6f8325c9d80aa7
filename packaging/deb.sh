#!/bin/bash
# The Debian packages: dist/dkms_VERSION_ARCHITECTURE.deb, dist/dh-dkms_VERSION_all.deb and
# dist/dkms-registry_VERSION_ARCHITECTURE.deb. Prints their paths.
#
#   packaging/deb.sh [DIRECTORY]      default: dist
#   BINARY=file                       the program to package, instead of building both
#   REGISTRY=file                     the program dkms-registry; without it, a given BINARY is packaged
#                                     without dkms-registry
#   SOURCE_DATE_EPOCH=seconds         the time stamp of every file (default: that of the last commit)
#   DEBFULLNAME, DEBEMAIL             the maintainer, as for Debian's own tools (default: a placeholder)
#   DEB_REVISION=text                 appended to the version (default: 1)
#
# Needs no root, no network, no debhelper. The package is reproducible.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$here/..
dist=${1:-$top/dist}
for tool in dpkg-deb dpkg-shlibdeps make gzip; do
    command -v "$tool" >/dev/null || { echo "deb.sh: $tool is missing (Debian: dpkg-dev, make, gzip)" >&2; exit 1; }
done

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$top/Cargo.toml")
# The version 4.0.0-rc.1 precedes 4.0.0; in Debian this is 4.0.0~rc.1.
deb_version=${version/-/\~}-${DEB_REVISION:-1}
maintainer="${DEBFULLNAME:-dkms maintainers} <${DEBEMAIL:-dkms@example.org}>"
arch=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || stat -c %Y "$top/CHANGELOG.md")}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
umask 022
# Do not inherit variables of an outer make (DESTDIR, job slots, -n).
unset MAKEFLAGS MFLAGS DESTDIR
make -s -f "$here/install.mk" install-debian DESTDIR="$root" ${BINARY:+BINARY="$BINARY"} >&2

doc=$root/usr/share/doc/dkms
mkdir -p "$doc" "$root/DEBIAN"
make -s -f "$here/install.mk" install-doc DESTDIR="$root" >&2
rm "$doc/CHANGELOG.md" "$doc/LICENSE" # changelog.gz, copyright
find "$root/usr/share/man" -type f -exec gzip -9n {} +
gzip -9nc "$top/CHANGELOG.md" >"$doc/changelog.gz"
install -m 0644 "$here/debian/copyright" "$doc/copyright"
install -m 0755 "$here/debian/postrm" "$root/DEBIAN/postrm"
install -m 0755 "$here/debian/postinst" "$root/DEBIAN/postinst"
install -D -m 0644 "$here/debian/lintian-overrides" "$root/usr/share/lintian/overrides/dkms"
{
    printf 'dkms (%s) unstable; urgency=medium\n\n' "$deb_version"
    printf '  * Version %s; what is new is in changelog.gz.\n\n' "$version"
    printf ' -- %s  %s\n' "$maintainer" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/changelog.Debian.gz"
# News for users of dkms 3, which apt-listchanges shows once.
{
    printf 'dkms (%s) unstable; urgency=medium\n\n' "$deb_version"
    sed -e '/./s/^/  /' "$here/debian/NEWS"
    printf '\n -- %s  %s\n' "$maintainer" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/NEWS.Debian.gz"

# The libraries that a program needs, from its symbols.
library_packages() { # PROGRAM
    local found
    mkdir -p "$work/shlibs/debian"
    printf 'Source: dkms\n\nPackage: dkms\nArchitecture: any\n' >"$work/shlibs/debian/control"
    found=$(cd "$work/shlibs" && dpkg-shlibdeps -O --warnings=0 "$1" | sed -n 's/^shlibs:Depends=//p')
    [[ $found == *libc6* ]] || { echo "deb.sh: cannot determine the needed version of libc (dpkg-shlibdeps: '$found')" >&2; return 1; }
    printf '%s\n' "$found"
}

# Makes the package of a directory with everything but DEBIAN/control and DEBIAN/md5sums. Without a PROGRAM,
# it is for all architectures.
package() { # NAME ROOT CONTROL [PROGRAM]
    local name=$1 root=$2 control=$3 arch=$arch shlibs='' size deb
    if [[ ${4:-} ]]; then shlibs=$(library_packages "$root/$4"); else arch=all; fi
    size=$(find "$root" -path "$root/DEBIAN" -prune -o -type f -printf '%s\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }')
    sed -e "s/@VERSION@/$deb_version/g; s/@ARCH@/$arch/; s/@SIZE@/$size/; s/@SHLIBS@/$shlibs/; s/@MAINTAINER@/$maintainer/" \
        "$control" >"$root/DEBIAN/control"
    (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
    find "$root" -depth -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    mkdir -p "$dist"
    deb=$dist/${name}_${deb_version}_$arch.deb
    # One thread, because xz's output depends on the number of threads.
    dpkg-deb --root-owner-group --threads-max=1 -Zxz --build "$root" "$work/deb" >/dev/null
    install -m 0644 "$work/deb" "$deb"
    printf '%s\n' "$deb"
}

(cd "$root" && find etc -type f -printf '/%p\n' | sort) >"$root/DEBIAN/conffiles"
package dkms "$root" "$here/debian/control.in" usr/sbin/dkms

root=$work/dh-dkms
make -s -f "$here/install.mk" install-dh-dkms DESTDIR="$root" DH_VERSION="$deb_version" >&2
find "$root/usr/share/man" -type f -exec gzip -9n {} +
doc=$root/usr/share/doc/dh-dkms
mkdir -p "$doc" "$root/DEBIAN"
cp "$work/root/usr/share/doc/dkms/changelog.Debian.gz" "$doc/"
install -m 0644 "$here/debian/dh-dkms.copyright" "$doc/copyright"
package dh-dkms "$root" "$here/debian/dh-dkms.control.in"
[[ -z ${BINARY:-} || -n ${REGISTRY:-} ]] || exit 0

root=$work/registry
make -s -f "$here/install.mk" install-registry DESTDIR="$root" ${REGISTRY:+REGISTRY="$REGISTRY"} >&2
find "$root/usr/share/man" -type f -exec gzip -9n {} +
doc=$root/usr/share/doc/dkms-registry
mkdir -p "$doc" "$root/DEBIAN"
cp "$work/root/usr/share/doc/dkms/changelog.Debian.gz" "$doc/"
install -m 0644 "$here/debian/registry.copyright" "$doc/copyright"
install -m 0755 "$here/debian/registry.postinst" "$root/DEBIAN/postinst"
package dkms-registry "$root" "$here/debian/registry.control.in" usr/libexec/dkms-registry
