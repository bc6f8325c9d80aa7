#!/bin/bash
# Uses the results of mkdeb, mkbmdeb, mkdsc and mktarball in clean chroots of Debian, as users do: with apt,
# with dkms and a compiler, and without them. Also tests users' templates, through debhelper.
#
#   tests/debian/packages.sh [PART...]  make, source, target, bare, tarball; default: all. All except the
#                                       first use the results of `make`. Needs root, debootstrap and apt's
#                                       archive
#   DEB_SUITE=trixie                 another Debian than the machine's (default: the machine's)
#   DKMS_BIN=file                    the program under test (default: target/release/dkms)
#
# A long test (debian::packages), not part of `make test`: it downloads kernels. Chroots and what was found
# are in build/chroots.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source=tests/debian/chroot.sh
. "$here/chroot.sh"

# ---- inside a chroot ----

M=v4l2loopback # the real package whose module is used

same() { [[ $1 == "$2" ]] || { printf 'not the same:\n%s\n-- wanted:\n%s\n' "$1" "$2" >&2; exit 1; }; }
has_none() { # PROGRAM...
    local program
    for program in "$@"; do
        if command -v "$program"; then echo "$program is here" >&2; exit 1; fi
    done
}

not() { if "$@"; then echo "this should fail: $*" >&2; exit 1; fi; }

# Every file of the system, except those of apt, dpkg, dkms (key, locks) and depmod.
all_files() {
    find / -xdev \( -path /result -o -path /deb -o -path /debs -o -path /test -o -path /proc -o -path /tmp -o -path /var/tmp -o -path /run -o -path /var/cache -o -path /var/log \
        -o -path '/var/lib/dkms/.*' -o -path '/var/lib/dkms/mok.*' -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /root -o -path /var/lib/initramfs-tools \) -prune -o -print | grep -vE '/modules/[^/]*/modules\.' | sort
}

# Packages of one real module, and of a fixture.
make_packages() {
    local old new v made=/result/made a=/result/archives
    two_kernels
    apt install make gcc patch kmod libc6-dev /deb/dkms_*.deb "linux-headers-$new" "linux-headers-$old"
    mkdir -p "$made" "$a" /var/tmp/x
    (cd /var/tmp/x && apt-get -qq download $M-dkms 2>/dev/null)
    # dkms treats Debian's package as an archive, and does not install it.
    dkms add /var/tmp/x/$M-dkms_*.deb
    v=$(dkms status | sed -n "s,^$M/\([^:]*\): added$,\1,p")
    echo "$v" >/result/version
    dpkg-deb -x /var/tmp/x/$M-dkms_*.deb /var/tmp/x/theirs
    diff -r "/usr/src/$M-$v" "/var/tmp/x/theirs/usr/src/$M-$v"
    dkms build $M/"$v" -k "$new" -k "$old"
    export SOURCE_DATE_EPOCH=1700000000
    dkms mkdeb $M/"$v" --source-only --archive "$made/source.deb"
    dkms mkdeb $M/"$v" -k "$new" --binaries-only --archive "$made/modules-for-dkms.deb"
    dkms mkbmdeb $M/"$v" -k "$new" --archive "$made/bare-new.deb"
    dkms mkbmdeb $M/"$v" -k "$old" --archive "$made/bare-old.deb"
    (cd "$made" && dkms mkdsc $M/"$v" --source-only --archive "$made/$M-dkms_$v.dsc")
    dkms mktarball $M/"$v" -k "$new" --binaries-only --archive "$a/binaries.dkms.tar.gz"
    ls "$made" "$a"
    templates "$v" "$new"
    every_package
}

# Every -dkms package that was downloaded for other tests: dkms takes the files that dpkg would unpack.
every_package() {
    local deb package all=0
    for deb in /debs/*-dkms_*.deb; do
        [[ -e $deb ]] || { echo 'skipped: no packages in build/debs (tests/fetch.sh)'; return; }
        [[ $deb != */$M-dkms_* ]] || continue # see above
        dkms add "$deb" >/var/tmp/x/said 2>&1 || { cat /var/tmp/x/said; exit 1; }
        package=$(dkms status | grep ': added$' | grep -v "^$M/" | sed 's/: added$//')
        same "$(wc -l <<<"$package")" 1
        rm -rf /var/tmp/x/theirs
        dpkg-deb -x "$deb" /var/tmp/x/theirs
        diff -r --no-dereference "/var/tmp/x/theirs/usr/src/${package/\//-}" "/usr/src/${package/\//-}" >/var/tmp/x/differs || true
        # Except the link to its documentation, which is not installed.
        not grep -v '^Only in .*: README.gz$' /var/tmp/x/differs
        dkms remove "$package" --all >/dev/null
        rm -rf "/usr/src/${package/\//-}"
        all=$((all + 1))
    done
    echo "$all packages of the archive loaded, compared with dpkg's, and removed"
}

# Templates in the form that dkms 2.x had: words, a Makefile that `make install` is called of, debhelper.
templates() { # VERSION KERNEL
    local v=$1 k=$2 kind deb
    apt install dpkg-dev debhelper fakeroot
    for kind in mkdeb mkbmdeb mkdsc; do
        template /etc/dkms/template-dkms-$kind "by the machine's $kind"
    done
    # The module's own template has precedence.
    template "/usr/src/$M-$v/$M-dkms-mkdsc" "by the module's mkdsc"
    dkms mkdeb $M/"$v" --source-only --archive /result/made/template-mkdeb.deb >/result/template-mkdeb.log
    dkms mkbmdeb $M/"$v" -k "$k" --archive /result/made/template-mkbmdeb.deb >/result/template-mkbmdeb.log
    (mkdir -p /result/template-dsc && dkms mkdsc $M/"$v" --source-only --archive "/result/template-dsc/$M-dkms_$v.dsc" >/result/template-mkdsc.log)
    for kind in mkdeb mkbmdeb; do
        deb=/result/made/template-$kind.deb
        same "$(dpkg-deb -f $deb Package Version | tr '\n' ' ')" "Package: $M-dkms Version: $v "
        grep -q "by the machine's $kind" <(dpkg-deb -f $deb Description)
        grep -q "NAME=$M" <(dpkg-deb -I $deb postinst)
    done
    same "$(dpkg-deb -f /result/made/template-mkdeb.deb Architecture)" all
    same "$(dpkg-deb -f /result/made/template-mkbmdeb.deb Architecture)" "$(dpkg --print-architecture)"
    grep -q "\./usr/src/$M-$v/dkms.conf$" <(dpkg-deb -c /result/made/template-mkdeb.deb)
    grep -q "\./usr/share/$M-dkms/$M-$v.dkms.tar.gz$" <(dpkg-deb -c /result/made/template-mkbmdeb.deb)
    not grep -q 'usr/src/.' <(dpkg-deb -c /result/made/template-mkbmdeb.deb)
    dpkg-source -x "/result/template-dsc/$M-dkms_$v.dsc" /var/tmp/x/dsc >/dev/null
    grep -q "by the module's mkdsc" /var/tmp/x/dsc/debian/control
    test -f "/var/tmp/x/dsc/$M-$v/dkms.conf"
    # A package made from a template installs, and its module is built.
    dkms remove $M/"$v" --all
    rm -rf "/usr/src/$M-$v"
    apt install /result/made/template-mkdeb.deb
    grep -q ': installed$' <(dkms status $M/"$v")
    apt purge $M-dkms
    same "$(dkms status $M)" ''
    rm -rf /etc/dkms/template-*
    echo 'templates: mkdeb, mkbmdeb, mkdsc'
}

template() { # DIRECTORY WHO
    mkdir -p "$1/debian/source"
    cat >"$1/debian/control" <<P
Source: DEBIAN_PACKAGE-dkms
Section: misc
Priority: optional
Maintainer: Somebody <somebody@example.org>
Build-Depends: debhelper (>= 9)
Standards-Version: 3.9.8

Package: DEBIAN_PACKAGE-dkms
Architecture: DEBIAN_BUILD_ARCH
Depends: dkms (>= 1.95), \${misc:Depends}
Description: DEBIAN_PACKAGE MODULE_VERSION $2
 For KERNEL_VERSION if for one.
P
    printf 'DEBIAN_PACKAGE-dkms (MODULE_VERSION) stable; urgency=low\n\n  * New.\n\n -- Somebody <somebody@example.org>  DATE_STAMP\n' >"$1/debian/changelog"
    echo '3.0 (native)' >"$1/debian/source/format"
    echo 9 >"$1/debian/compat"
    echo usr/src >"$1/debian/dirs"
    cat >"$1/debian/rules" <<'P'
#!/usr/bin/make -f
%:
	dh $@
override_dh_auto_build override_dh_auto_test override_dh_strip override_dh_usrlocal:
override_dh_auto_install:
	$(MAKE) install DESTDIR=$(CURDIR)/debian/DEBIAN_PACKAGE-dkms NAME=MODULE_NAME VERSION=MODULE_VERSION
P
    cat >"$1/debian/postinst" <<'P'
#!/bin/sh
set -e
NAME=MODULE_NAME
VERSION=MODULE_VERSION
case $1 in
configure)
    for script in /usr/lib/dkms/common.postinst /usr/share/DEBIAN_PACKAGE-dkms/postinst; do
        if [ -x "$script" ]; then
            "$script" "$NAME" "$VERSION" /usr/share/DEBIAN_PACKAGE-dkms DEBIAN_BUILD_ARCH "$2"
            break
        fi
    done
    ;;
esac
#DEBHELPER#
P
    sed -i 's/ DEBIAN_BUILD_ARCH "/ "" "/' "$1/debian/postinst"
    cat >"$1/debian/prerm" <<'P'
#!/bin/sh
set -e
dkms remove -m MODULE_NAME -v MODULE_VERSION --all || true
#DEBHELPER#
P
    cat >"$1/Makefile" <<'P'
all clean:
install:
ifneq ($(wildcard $(NAME)-$(VERSION)),)
	install -d $(DESTDIR)/usr/src
	cp -a $(NAME)-$(VERSION) $(DESTDIR)/usr/src
endif
ifneq ($(wildcard $(NAME)-$(VERSION).dkms.tar.gz),)
	install -d $(DESTDIR)/usr/share/$(NAME)-dkms
	install -m 644 $(NAME)-$(VERSION).dkms.tar.gz $(DESTDIR)/usr/share/$(NAME)-dkms
endif
ifneq ($(wildcard common.postinst),)
	install -D -m 755 common.postinst $(DESTDIR)/usr/share/$(NAME)-dkms/postinst
endif
P
}

# The package of mkdsc, built like any source package.
build_source() {
    local v made
    v=$(<"/deb/version")
    apt install dpkg-dev debhelper fakeroot build-essential
    cd /var/tmp
    dpkg-source -x "/deb/made/$M-dkms_$v.dsc" made >/dev/null
    (cd made && SOURCE_DATE_EPOCH=1700000000 dpkg-buildpackage -us -uc) >/result/buildpackage.log 2>&1 || { tail -n 30 /result/buildpackage.log; exit 1; }
    made=$(echo $M-dkms_*.deb)
    cp "$made" /result/by-buildpackage.deb
    dpkg-deb -R "$made" x
    dpkg-deb -R /deb/made/source.deb y
    # dpkg counts the control files with the others; the changelog names the action.
    diff <(grep -v ^Installed-Size x/DEBIAN/control | sort) <(grep -v ^Installed-Size y/DEBIAN/control | sort)
    rm -r {x,y}/DEBIAN/{control,md5sums} {x,y}/usr/share/doc/$M-dkms/changelog.gz
    diff -r x y
}

# The package of mkdeb, on a system with dkms and headers.
with_dkms() {
    local v new old
    v=$(<"/deb/version")
    two_kernels
    apt install /deb/dkms/dkms_*.deb "linux-headers-$new" gcc libc6-dev
    all_files >/var/tmp/before
    apt install /deb/made/source.deb
    dkms status
    same "$(dkms status)" "$M/$v, $new, $(uname -m): installed"
    modinfo -F vermagic "$(echo /lib/modules/"$new"/updates/dkms/$M.ko*)" | grep -q "^$new "
    apt purge $M-dkms
    same "$(dkms status)" ''
    all_files >/var/tmp/after
    diff /var/tmp/before /var/tmp/after
}

# The packages of mkbmdeb, on a system with only the kernel.
without_anything() {
    local v new old file
    v=$(<"/deb/version")
    two_kernels
    apt install initramfs-tools zstd
    small_initramfs $M
    apt install "linux-image-$new"
    has_none dkms make gcc cc ld
    not grep -q '^ii' <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 'linux-headers-*' 2>/dev/null)
    all_files >/var/tmp/before
    sha256sum "/lib/modules/$new/modules.dep" >/var/tmp/dep
    # apt must not install half of a missing kernel: it would install its image too.
    grep "^Inst linux-image-$old" <(apt install --simulate /deb/made/bare-old.deb)
    apt install /deb/made/bare-new.deb >/result/bare.log
    has_none dkms make gcc cc ld
    file=$(echo /lib/modules/"$new"/updates/dkms/$M.ko*)
    grep -q "^updates/dkms/${file##*/}:" "/lib/modules/$new/modules.dep"
    same "$(modinfo -k "$new" -F filename $M)" "$file"
    modinfo -k "$new" -F vermagic $M | grep -q "^$new "
    modprobe --set-version "$new" --show-depends $M
    grep "updates/dkms/$M.ko" <(lsinitramfs "/boot/initrd.img-$new")
    same "$(grep -c "update-initramfs: Generating /boot/initrd.img-$new" /result/bare.log)" 1
    same "$(dpkg-query -W -f '${Version}' "$M-modules-$new")" "$v"
    # A newer package replaces it.
    dpkg-deb -R /deb/made/bare-new.deb /var/tmp/newer
    sed -i 's/^Version: .*/&+1/' /var/tmp/newer/DEBIAN/control
    dpkg-deb --build /var/tmp/newer /var/tmp/newer.deb >/dev/null
    apt install /var/tmp/newer.deb
    grep -q "^updates/dkms/${file##*/}:" "/lib/modules/$new/modules.dep"
    apt purge "$M-modules-$new" >/result/bare-purge.log
    not grep "$M.ko" <(lsinitramfs "/boot/initrd.img-$new")
    sha256sum --quiet --check /var/tmp/dep
    rm -rf /var/tmp/newer*
    all_files >/var/tmp/after
    diff /var/tmp/before /var/tmp/after
    # Together with its kernel, installed and removed in one transaction.
    apt install /deb/made/bare-old.deb
    modinfo -k "$old" -F filename $M
    apt purge "linux-image-$old" >/result/bare-old-purge.log
    test ! -e "/lib/modules/$old"
    not grep -q ^ii <(dpkg-query -W -f '${db:Status-Abbrev}' "$M-modules-$old" 2>/dev/null)
}

# A binary tarball, and a package of mkdeb with binaries only, on a system with dkms but without a compiler.
tarball() {
    local v new old file
    v=$(<"/deb/version")
    two_kernels
    apt install initramfs-tools zstd kmod
    small_initramfs nothing
    apt install "linux-image-$new"
    dpkg --force-depends --install /deb/dkms/dkms_*.deb
    has_none make gcc cc ld
    all_files >/var/tmp/before
    not dkms ldtarball /deb/archives/binaries.dkms.tar.gz
    dkms ldtarball --force /deb/archives/binaries.dkms.tar.gz
    same "$(dkms status)" "$M/$v, $new, $(uname -m): built"
    dkms install $M/"$v" -k "$new"
    file=$(echo /lib/modules/"$new"/updates/dkms/$M.ko*)
    same "$(modinfo -k "$new" -F filename $M)" "$file"
    # 2: the kernel's keys are unknown here.
    dkms verify $M -k "$new" || (($? == 2))
    dkms remove $M/"$v" --all
    rm -r "/usr/src/$M-$v"
    all_files >/var/tmp/after
    diff /var/tmp/before /var/tmp/after
    dpkg --force-depends --install /deb/made/modules-for-dkms.deb
    same "$(dkms status)" "$M/$v, $new, $(uname -m): installed"
    same "$(modinfo -k "$new" -F filename $M)" "$file"
    dpkg --force-depends --purge $M-dkms
    all_files >/var/tmp/after
    diff /var/tmp/before /var/tmp/after
}

if [[ ${1:-} == --inside ]]; then
    set -x
    case $2 in
    make) make_packages ;;
    source) build_source ;;
    target) with_dkms ;;
    bare) without_anything ;;
    tarball) tarball ;;
    esac
    exit
fi

# ---- outside ----

cd "$here/../.."
chroots_prepare
chroots_base
rm -rf "$build/deb-test"
deb=$(our_deb 1)
made=$chroots/$suite-make/result
parts=("$@")
(($#)) || parts=(make source target bare tarball)
for part in "${parts[@]}"; do
    say "$suite, $part"
    debs=$made
    if [[ $part == make ]]; then debs=${deb%/*}; else mkdir -p "$made/dkms" && cp "$deb" "$made/dkms/"; fi
    begun=$EPOCHREALTIME
    in_chroot "$part" "$debs" "$part" >"$build/deb-test/$part.log" 2>&1 || { tail -n 25 "$build/deb-test/$part.log"; fail "$part; see ${build##*/}/deb-test/$part.log"; }
    awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "   %.1f s\n", b - a }'
done
if ! command -v lintian >/dev/null; then
    echo 'skipped: lintian is not installed'
else
    for file in "$made"/made/*.deb "$made"/made/*.dsc; do
        # The author of a template decides about its package.
        [[ $file != */template-* ]] || continue
        lintian --allow-root --fail-on error "$file" || fail "lintian: ${file##*/}"
    done
fi
chroots_end make source target bare tarball
