#!/bin/sh
# Installs into an empty directory and uninstalls: checks which files exist, which are kept, and which
# are removed.
here=$(cd "$(dirname "$0")/.." && pwd)
command -v make >/dev/null || { echo "skipped: install.sh needs make"; exit 0; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
passed=0 failed=0
expect() { # TITLE COMMAND ...
    title=$1
    shift
    if "$@" >/dev/null 2>&1; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $title"; fi
}
install_to() { # DIRECTORY TARGET [VARIABLE=VALUE ...]
    directory=$1
    shift
    make -s -f "$here/install.mk" BINARY=/bin/true DESTDIR="$directory" "$@"
}
mode() { [ "$(stat -c %a "$1")" = "$2" ]; }
absent() { [ ! -e "$1" ]; }
has() { grep -q -- "$1" "$2"; }
hasnt() { ! grep -q -- "$1" "$2"; }

expect 'install-debian' install_to "$root/deb" install-debian
for file in usr/sbin/dkms usr/lib/dkms/common.postinst usr/lib/dkms/dkms_autoinstaller usr/lib/dkms/ready_warn usr/lib/kernel/install.d/40-dkms.install \
    usr/lib/dkms/dkms-autopkgtest etc/kernel/postinst.d/dkms etc/kernel/header_postinst.d/dkms etc/kernel/preinst.d/dkms etc/kernel/prerm.d/dkms; do
    expect "$file is executable" mode "$root/deb/$file" 755
done
for file in etc/dkms/framework.conf usr/share/bash-completion/completions/dkms usr/share/zsh/vendor-completions/_dkms \
    usr/share/fish/vendor_completions.d/dkms.fish usr/share/man/man8/dkms.8 usr/share/man/man5/dkms.conf.5 \
    usr/share/man/man5/dkms-framework.conf.5 usr/lib/systemd/system/dkms-ready.service usr/lib/systemd/system/dkms-boot-check.service \
    usr/lib/sysusers.d/dkms.conf; do
    expect "$file" mode "$root/deb/$file" 644
done
expect 'framework.conf.d' test -d "$root/deb/etc/dkms/framework.conf.d"
expect 'the tree' test -d "$root/deb/var/lib/dkms"
expect 'everything in framework.conf is commented out' hasnt '^[^#]' "$root/deb/etc/dkms/framework.conf"

echo 'verbose=1' >>"$root/deb/etc/dkms/framework.conf"
mkdir -p "$root/deb/var/lib/dkms/hello/1"
expect 'install again' install_to "$root/deb" install-debian
expect 'settings are kept' has 'verbose=1' "$root/deb/etc/dkms/framework.conf"
expect 'uninstall' install_to "$root/deb" uninstall
expect 'changed settings and modules are left, and nothing else' \
    [ "$(cd "$root/deb" && find . -type f -o -path './var/lib/dkms/*' | sort | tr '\n' ' ')" = \
    "./etc/dkms/framework.conf ./var/lib/dkms/hello ./var/lib/dkms/hello/1 " ]
expect 'uninstall twice' install_to "$root/deb" uninstall

expect 'install-redhat, other places' install_to "$root/rpm" install-redhat SBIN=/usr/bin MODDIR=/usr/lib/modules LIBDIR=/usr/libexec/dkms
expect 'the service starts the program where it is' has '^ExecStart=/usr/bin/dkms ' "$root/rpm/usr/lib/systemd/system/dkms.service"
expect 'the hook finds its helper' has '=/usr/libexec/dkms/dkms_autoinstaller' "$root/rpm/usr/lib/kernel/install.d/40-dkms.install"
expect 'modules elsewhere' has '^modules_dir=/usr/lib/modules$' "$root/rpm/usr/libexec/dkms/common.postinst"
expect 'no hooks of Debian' absent "$root/rpm/etc/kernel"
for script in usr/libexec/dkms/common.postinst usr/libexec/dkms/dkms_autoinstaller usr/libexec/dkms/ready_warn usr/lib/kernel/install.d/40-dkms.install; do
    expect "$script is a shell script" sh -n "$root/rpm/$script"
done
expect 'uninstall' install_to "$root/rpm" uninstall SBIN=/usr/bin LIBDIR=/usr/libexec/dkms
expect 'nothing is left' [ -z "$(find "$root/rpm" -type f)" ]
expect 'install-dh-dkms' install_to "$root/dh" install-dh-dkms DH_VERSION=4.5.6-7
expect 'dh_dkms is executable' mode "$root/dh/usr/bin/dh_dkms" 755
expect 'its version' has "VERSION = '4.5.6-7'" "$root/dh/usr/bin/dh_dkms"
expect 'comments of the generated scripts stay here' hasnt '^##' "$root/dh/usr/share/debhelper/autoscripts/postinst-dkms"
expect 'uninstall dh-dkms' install_to "$root/dh" uninstall
expect 'nothing is left of dh-dkms' [ -z "$(find "$root/dh" -type f)" ]
# The kits of other distributions: what is executable, the paths in it, and that uninstall removes all of it.
# kit NAME SCRIPT...
kit() {
    kit=$1
    shift
    expect "install-$kit" install_to "$root/$kit" "install-$kit"
    for file in "$@"; do expect "$kit: $file is executable" mode "$root/$kit/$file" 755; done
    for file in "$@"; do expect "$kit: $file is a shell script" sh -n "$root/$kit/$file"; done
    case $kit in arch | void) sbin=/usr/bin ;; *) sbin=/usr/sbin ;; esac
    expect "$kit: the program" mode "$root/$kit$sbin/dkms" 755
    expect "$kit: every helper is there" [ -z "$(helpers "$root/$kit")" ]
}
# Scripts that the installed ones call, and that are not installed.
helpers() {
    find "$1" -type f -perm 755 -exec grep -ohE '/usr/lib/dkms/[a-z_-]+([.][a-z]+)?' {} + | sort -u | while read -r helper; do
        if [ ! -e "$1$helper" ]; then echo "$helper"; fi
    done
}
kit arch usr/share/libalpm/scripts/dkms usr/lib/dkms/package_files usr/lib/dkms/headers_package
for hook in 70-dkms-install 70-dkms-upgrade 71-dkms-remove; do
    expect "$hook" mode "$root/arch/usr/share/libalpm/hooks/$hook.hook" 644
    expect "$hook calls the script" has '^Exec = /usr/share/libalpm/scripts/dkms ' "$root/arch/usr/share/libalpm/hooks/$hook.hook"
done
expect 'modules in /usr/lib' has '^modules_dir=/usr/lib/modules$' "$root/arch/usr/lib/dkms/package_files"
kit alpine usr/share/kernel-hooks.d/dkms.hook usr/lib/dkms/kernel_gone usr/lib/dkms/package_files
expect 'the link that kernel-hooks follows' [ "$(readlink "$root/alpine/etc/kernel-hooks.d/40-dkms.hook")" = /usr/share/kernel-hooks.d/dkms.hook ]
kit void etc/kernel.d/post-install/10-dkms etc/kernel.d/pre-remove/10-dkms
kit gentoo usr/lib/kernel/preinst.d/40-dkms.install usr/lib/kernel/install.d/40-dkms.install
kit suse usr/lib/dkms/kernels usr/lib/dkms/kernel_gone usr/lib/dkms/package_files
for kit in arch gentoo suse; do
    expect "$kit: the users of builds" mode "$root/$kit/usr/lib/sysusers.d/dkms.conf" 644
done
for kit in alpine void; do expect "$kit has no systemd-sysusers" absent "$root/$kit/usr/lib/sysusers.d"; done
for kit in arch alpine void gentoo suse; do
    case $kit in arch | void) sbin=/usr/bin ;; *) sbin=/usr/sbin ;; esac
    expect "uninstall $kit" install_to "$root/$kit" uninstall SBIN=$sbin
    expect "nothing is left of $kit" [ -z "$(find "$root/$kit" ! -type d)" ]
done
expect 'install-doc' install_to "$root/doc" install-doc
expect 'README' mode "$root/doc/usr/share/doc/dkms/README.md" 644

if command -v mandoc >/dev/null; then
    # Ignore messages of mandoc about pages that are not installed here, or about its own index.
    complaints=$(mandoc -Tlint "$here"/man/*.[158] 2>&1 | grep -v 'referenced manual not found\|outdated mandoc.db')
    expect "manual pages: $complaints" [ -z "$complaints" ]
else
    echo "skipped: mandoc is not installed"
fi
echo "install: $passed passed, $failed failed"
[ $failed -eq 0 ]
