#!/bin/bash
# Compares our dh_dkms with the output of Debian's: for each -dkms package of the archive (build/debs), makes
# a source package with its dkms.conf. Its maintainer scripts must have exactly the lines that are in the
# archive's package. Then tests the ways to name a dkms.conf and a version, through dh, and refusals.
#
#   tests/debian/dh_dkms.sh [DH_DKMS_DEB]   with Debian's dh-dkms of version 3.0.11 or newer, both programs
#                                           generate the scripts of all packages, and of the unpacked source
#                                           packages in $DH_DKMS_SOURCES
#
# Needs debhelper, no root and no network.
set -euo pipefail
top=$(realpath "$(dirname "$0")/../..")
build=${DKMS_TEST_BUILD:-$top/build}
theirs_deb=${1:+$(realpath "$1")}
skip() { echo "skipped: $*"; exit 77; }
type -P dh_testdir >/dev/null || skip 'no debhelper here'
type -P dpkg-deb >/dev/null || skip 'no dpkg-deb here'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() { echo "FAILED: $*"; failed=1; }
export DH_VERBOSE=''

# Installs our dh_dkms as a package of this version would contain it.
ours() { # VERSION
    rm -rf "$work/ours"
    make -s -f "$top/packaging/install.mk" install-dh-dkms DESTDIR="$work/ours" DH_VERSION="$1"
}

# Runs a command with the dh and dh_dkms of a directory.
with() { # DIRECTORY COMMAND...
    PATH=$1/usr/bin:$PATH PERL5LIB=$1/usr/share/perl5 DH_AUTOSCRIPTDIR=$1/usr/share/debhelper/autoscripts "${@:2}"
}

# A source package with one binary package.
source_package() { # DIRECTORY PACKAGE VERSION
    mkdir -p "$1/debian"
    # shellcheck disable=SC2016 # debhelper's variable
    printf 'Source: %s\nSection: kernel\nPriority: optional\nMaintainer: nobody <nobody@example.org>\nBuild-Depends: debhelper-compat (= 13)\n\nPackage: %s\nArchitecture: all\nDepends: ${misc:Depends}\nDescription: test\n' "$2" "$2" >"$1/debian/control"
    printf '%s (%s) unstable; urgency=low\n\n  * Test.\n\n -- nobody <nobody@example.org>  Thu, 01 Jan 2026 00:00:00 +0000\n' "$2" "$3" >"$1/debian/changelog"
}

# The lines that dh_dkms has added to a maintainer script. Before 3.0.11, they began with a comment.
section() { sed -n '/^# Automatically added by dh_dkms\//,/^# End automatically added section$/p' | sed '/^# The original file can be found in template/,/^$/d'; }

# ---- every package of the archive ----
compared=0
for deb in "$build"/debs/*-dkms_*.deb; do
    [[ -e $deb ]] || skip "no packages in ${build##*/}/debs: run tests/fetch.sh"
    package=$(dpkg-deb -f "$deb" Package)
    rm -rf "$work/deb" "$work/source"
    dpkg-deb -R "$deb" "$work/deb"
    version=$(sed -n 's/^# Automatically added by dh_dkms\/*//p' "$work/deb/DEBIAN/postinst" 2>/dev/null | head -n 1)
    [[ $version ]] || continue
    conf=$(find "$work/deb/usr/src" -mindepth 2 -maxdepth 2 -name dkms.conf)
    ours "$version"
    source_package "$work/source" "$package" "$(dpkg-deb -f "$deb" Version)"
    cp "$conf" "$work/source/debian/$package.dkms"
    if ! grep -q 'PACKAGE_NAME=["'\'']' "$conf"; then # it looks like the path of one
        mv "$work/source/debian/$package.dkms" "$work/source/their.conf"
        echo their.conf >"$work/source/debian/$package.dkms"
    fi
    # Some of them run a program for the version, which dh_dkms does not: their rules pass it.
    name_version=${conf#"$work/deb/usr/src/"}
    name_version=${name_version%/dkms.conf}
    arguments=()
    grep -Eq '^PACKAGE_VERSION=.*[$`]' "$conf" && arguments=("-V${name_version##*-}")
    (cd "$work/source" && with "$work/ours" dh_dkms "${arguments[@]}" && dh_installdeb) || fail "$package: dh_dkms"
    for script in postinst prerm; do
        cmp <(section <"$work/deb/DEBIAN/$script") <(section <"$work/source/debian/$package/DEBIAN/$script") || fail "$package: $script differs"
        [[ $(section <"$work/deb/DEBIAN/$script" | wc -l) -gt 8 ]] || fail "$package: $script has nothing of dh_dkms"
    done
    cmp "$conf" "$work/source/debian/$package/usr/src/$name_version/dkms.conf" || fail "$package: dkms.conf"
    compared=$((compared + 1))
done
echo "packages of the archive with the same postinst and prerm: $compared"
((compared >= 10)) || fail 'too few packages were compared'

# ---- ways to name a dkms.conf and its version ----
# Each: the files of a source package in its directory; prints the arguments of dh_dkms.
conf() { printf 'PACKAGE_NAME="%s"\nPACKAGE_VERSION="%s"\nBUILT_MODULE_NAME[0]="x"\nDEST_MODULE_LOCATION[0]="/updates"\nAUTOINSTALL="yes"\n' "$1" "$2"; }
way() {
    case $1 in
    package.dkms) conf x-y 1.0 >debian/x-dkms.dkms ;;
    dkms) conf x 1.0 >debian/dkms ;;
    path) mkdir src && conf x 1.0 >src/dkms.conf && echo src/dkms.conf >debian/x-dkms.dkms ;;
    operand) conf x 1.0 >my.conf && echo '-- my.conf' ;;
    placeholder) conf x '#MODULE_VERSION#' >debian/x-dkms.dkms ;;
    version) conf x '#MODULE_VERSION#' >debian/x-dkms.dkms && echo -V ;;
    version-given) conf x '#MODULE_VERSION#' >debian/x-dkms.dkms && echo -V9.8~rc1 ;;
    version-overrides) conf x 0.9 >debian/x-dkms.dkms && echo -V1.0 ;;
    exclusive) { conf x 1.0 && echo 'BUILD_EXCLUSIVE_KERNEL_MIN="6.0"'; } >debian/x-dkms.dkms ;;
    commented) { conf x 1.0 && echo '#PACKAGE_NAME="x"'; } >debian/x-dkms.dkms ;;
    crlf) conf x 1.0 | sed 's/$/\r/' >debian/x-dkms.dkms ;;
    none) ;;
    esac
}
ways=(package.dkms dkms path operand placeholder version version-given version-overrides exclusive commented crlf none)
# Runs dh_dkms for a way in a new source package, DIRECTORY.
generate() { # DIRECTORY SIDE WAY
    source_package "$1" x-dkms 1:2.0-3
    (
        cd "$1"
        # shellcheck disable=SC2046 # several arguments
        with "$2" dh_dkms $(way "$3") && dh_installdeb && dh_gencontrol 2>/dev/null
    ) || fail "$3: dh_dkms of $2"
}
results() { (cd "$1" && find debian/x-dkms -type f ! -name md5sums -exec sha256sum {} + 2>/dev/null | sort -k 2; find debian -name '*.substvars' -exec cat {} +); }

ours 4.0.0-1
if [[ $theirs_deb ]]; then
    dpkg-deb -R "$theirs_deb" "$work/theirs"
    ours "$(dpkg-deb -f "$theirs_deb" Version)"
fi
for one in "${ways[@]}"; do
    rm -rf "$work/a" "$work/b"
    generate "$work/a" "$work/ours" "$one"
    version=$(find "$work/a/debian/x-dkms/usr/src" -mindepth 1 -printf '%f ' 2>/dev/null || true)
    case $one in
    package.dkms) [[ $version == *x-y-1.0\ * ]] ;;
    placeholder | version) [[ $version == *x-2.0\ * ]] ;;
    version-given) [[ $version == *x-9.8~rc1\ * ]] ;;
    none) [[ ! $version && ! -e $work/a/debian/x-dkms/DEBIAN/postinst ]] ;;
    *) [[ $version == *x-1.0\ * ]] ;;
    esac || fail "$one: wrong name or version: $version"
    [[ $one != exclusive ]] || grep -q '^Depends: dkms (>= 3.0.11)' "$work/a/debian/x-dkms/DEBIAN/control" || fail 'BUILD_EXCLUSIVE needs dkms 3.0.11'
    if [[ $theirs_deb ]]; then
        generate "$work/b" "$work/theirs" "$one"
        diff <(results "$work/a") <(results "$work/b") || fail "$one differs from Debian's"
    fi
done
echo "ways to name a dkms.conf: ${#ways[@]}${theirs_deb:+, the same as with $(basename "$theirs_deb")}"

# ---- the addon of dh ----
rm -rf "$work/a"
source_package "$work/a" x-dkms 2.0
conf x 1.0 >"$work/a/debian/x-dkms.dkms"
printf '#!/usr/bin/make -f\n%%:\n\tdh $@ --with dkms\n' >"$work/a/debian/rules"
chmod +x "$work/a/debian/rules"
(cd "$work/a" && with "$work/ours" dh binary --with dkms --no-act) >"$work/sequence" 2>&1 || fail "dh --with dkms: $(<"$work/sequence")"
grep -A 1 'dh_dkms' "$work/sequence" | grep -q 'dh_installinit' || fail 'dh does not run dh_dkms before dh_installinit'

# ---- refusals ----
refused() { # TEXT COMMAND-THAT-WRITES-THE-CONF
    rm -rf "$work/a"
    source_package "$work/a" x-dkms 2.0
    (cd "$work/a" && eval "$2")
    if (cd "$work/a" && with "$work/ours" dh_dkms) >"$work/refused" 2>&1; then fail "$2: not refused"; fi
    grep -q "$1" "$work/refused" || fail "$2: $(<"$work/refused")"
    [[ ! -e $work/a/debian/x-dkms.postinst.debhelper ]] || fail "$2: a script is there"
}
refused 'PACKAGE_VERSION' 'echo "PACKAGE_NAME=x" >debian/x-dkms.dkms'
# shellcheck disable=SC2016 # written as it is
refused 'literally' 'printf "PACKAGE_NAME=x\nPACKAGE_VERSION=\$(cat VERSION)\n" >debian/x-dkms.dkms'
refused 'literally' 'printf "PACKAGE_NAME=\"x; reboot\"\nPACKAGE_VERSION=1\n" >debian/x-dkms.dkms'
refused 'annot find' 'echo no-such-file.conf >debian/x-dkms.dkms'
refused 'neither' ': >debian/x-dkms.dkms'

# ---- source packages ----
for dir in ${DH_DKMS_SOURCES:+"$DH_DKMS_SOURCES"/*/}; do
    [[ $theirs_deb && -e $dir/debian/rules ]] || continue
    for side in ours theirs; do
        rm -rf "$work/$side-source"
        cp -a "$dir" "$work/$side-source"
        (
            cd "$work/$side-source"
            if grep -q '^override_dh_dkms:\|^execute_before_dh_dkms' debian/rules; then
                with "$work/$side" debian/rules override_dh_dkms
            else
                with "$work/$side" dh_dkms
            fi && dh_installdeb
        ) >"$work/log" 2>&1 || fail "$dir: $side: $(<"$work/log")"
    done
    scripts=0
    while read -r file; do
        cmp "$work/ours-source/$file" "$work/theirs-source/$file" || fail "$dir$file"
        scripts=$((scripts + 1))
    done < <(cd "$work/theirs-source" && find debian -path '*/DEBIAN/p*' -o -path '*/usr/src/*/dkms.conf' -o -name '*.substvars')
    echo "source package $(basename "$dir"): $scripts files are the same"
    ((scripts >= 3)) || fail "$dir: dh_dkms did nothing"
done
exit "$failed"
