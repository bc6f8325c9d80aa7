# For each distribution (os-release): where modules are installed. The os-release files are the distributions' own, and the
# kernel's modules are compressed as in these distributions. The package's destination is /kernel/drivers/misc.
# shellcheck disable=SC1091 # the first step writes it
#: image
#: step debian-12 0
cat >/run/as.sh <<'S'
# as LINE...: the machine has this os-release from now on, and the module is rebuilt and installed again.
as() {
    gone
    printf '%s\n' "$@" >/etc/os-release
    dkms install single/1.0 -k "$K"
}
gone() { if [[ $(dkms status single/1.0) ]]; then dkms remove single/1.0 --all; fi; }
# modules_are SUFFIX: of the kernel's own modules one is left, and that is compressed so.
modules_are() {
    gone
    find "/lib/modules/$K/kernel" -name 'dummy.ko*' | while read -r file; do
        case $file in *.xz) unxz "$file" ;; *.zst) unzstd -q --rm "$file" ;; esac
        file=${file%.ko*}.ko
        case $1 in xz) xz --check=crc32 "$file" ;; zst) zstd -q --rm "$file" ;; esac
    done
    depmod "$K"
}
S
find "/lib/modules/$K/kernel" -type f ! -name dummy.ko -delete
printf '%s\n' 'ID=debian' 'VERSION_ID="12"' >/etc/os-release
fixture single-1.0
dkms install single/1.0 -k "$K"
same "$(installed single)" updates/dkms/single.ko
#: step gentoo 0
. /run/as.sh; as 'ID=gentoo'
same "$(installed single)" kernel/drivers/misc/single.ko
#: step alpine 0
. /run/as.sh; as 'ID=alpine' 'VERSION_ID=3.22.1'
same "$(installed single)" kernel/drivers/misc/single.ko
#: step void 0
. /run/as.sh; as 'ID="void"'
same "$(installed single)" kernel/drivers/misc/single.ko
#: step mageia 0
. /run/as.sh; as 'ID=mageia' 'ID_LIKE="mandriva fedora"'
same "$(installed single)" kernel/drivers/misc/single.ko
#: step debian-13 0
. /run/as.sh; modules_are xz; as 'ID=debian' 'VERSION_ID="13"'
same "$(installed single)" updates/dkms/single.ko.xz
#: step fedora 0
. /run/as.sh; as 'ID=fedora' 'VERSION_ID=41'
same "$(installed single)" extra/single.ko.xz
#: step rhel-9 0
. /run/as.sh; as 'ID="rhel"' 'ID_LIKE="fedora"' 'VERSION_ID="9.4"'
same "$(installed single)" extra/single.ko.xz
#: step rhel-10 0
. /run/as.sh; as 'ID="rhel"' 'ID_LIKE="centos fedora"' 'VERSION_ID="10.0"'
same "$(installed single)" extra/single.ko.xz
#: step centos-stream-9 0
. /run/as.sh; as 'ID="centos"' 'ID_LIKE="rhel fedora"' 'VERSION_ID="9"'
same "$(installed single)" extra/single.ko.xz
#: step alma-9 0
. /run/as.sh; as 'ID="almalinux"' 'ID_LIKE="rhel centos fedora"' 'VERSION_ID="9.6"'
same "$(installed single)" extra/single.ko.xz
#: step oracle-9 0
. /run/as.sh; as 'ID="ol"' 'ID_LIKE="fedora"' 'VERSION_ID="9.4"'
same "$(installed single)" extra/single.ko.xz
#: step amazon-2 0
. /run/as.sh; as 'ID="amzn"' 'ID_LIKE="centos rhel fedora"' 'VERSION_ID="2"'
same "$(installed single)" extra/single.ko.xz
#: step ubuntu-24.04 0
. /run/as.sh
# 3.0.10 does not sign there without Ubuntu's own tool, unless the keys are there.
mkdir -p /var/lib/shim-signed/mok
cp /var/lib/dkms/mok.key /var/lib/shim-signed/mok/MOK.priv; cp /var/lib/dkms/mok.pub /var/lib/shim-signed/mok/MOK.der
modules_are zst; as 'ID=ubuntu' 'ID_LIKE=debian' 'VERSION_ID="24.04"'
same "$(installed single)" updates/dkms/single.ko.zst
#: step mint-22 0
. /run/as.sh; as 'ID=linuxmint' 'ID_LIKE="ubuntu debian"' 'VERSION_ID="22"'
same "$(installed single)" updates/dkms/single.ko.zst
#: step leap-15 0
. /run/as.sh; as 'ID="opensuse-leap"' 'ID_LIKE="suse opensuse"' 'VERSION_ID="15.6"'
same "$(installed single)" updates/single.ko.zst
#: step tumbleweed 0
. /run/as.sh; as 'ID="opensuse-tumbleweed"' 'ID_LIKE="opensuse suse"'
same "$(installed single)" updates/single.ko.zst
#: step sles-15 0
. /run/as.sh; as 'ID="sles"' 'ID_LIKE="suse"' 'VERSION_ID="15.7"'
same "$(installed single)" updates/single.ko.zst
#: step arch 0
. /run/as.sh; as 'ID=arch' 'BUILD_ID=rolling'
same "$(installed single)" updates/dkms/single.ko.zst
#: step manjaro 0
. /run/as.sh; as 'ID=manjaro' 'ID_LIKE=arch'
same "$(installed single)" updates/dkms/single.ko.zst
#: step a-place-of-the-administrators-own 0
. /run/as.sh; gone
export ADDON_MODULES_DIR=addon
as 'ID=arch'
same "$(installed single)" addon/single.ko.zst
gone
#: step or-in-a-file 0
. /run/as.sh
mkdir -p /etc/sysconfig; echo 'ADDON_MODULES_DIR="addon2"' >/etc/sysconfig/module-init-tools
as 'ID=arch'
same "$(installed single)" addon2/single.ko.zst
gone
rm /etc/sysconfig/module-init-tools
#: step as-written-by-dkms-3-is-found-again 0
# dkms 3 puts modules where dkms.conf says on RHEL 10, and keeps no record of it.
. /run/as.sh; as 'ID=alpine'
same "$(installed single)" kernel/drivers/misc/single.ko.zst
rm -f "/var/lib/dkms/single/1.0/$K/$A/.manifest.json"
printf '%s\n' 'ID="rhel"' 'ID_LIKE="centos fedora"' >/etc/os-release
same "$(dkms status single/1.0)" "single/1.0, $K, $A: installed"
dkms uninstall single/1.0 -k "$K"
same "$(installed single)" ''
#: step no-os-release 4 ours
rm -f /etc/os-release /usr/lib/os-release
dkms install single/1.0 -k "$K"
