# The packages named in messages are those of the distribution.
#: step headers 0 ours
fixture single-1.0
dkms add single/1.0
# hint KERNEL TEXT LINE...: with this os-release, headers that are missing are to be had from TEXT
hint() {
    local kernel=$1 text=$2
    shift 2
    printf '%s\n' "$@" >/etc/os-release
    code 21 dkms build single/1.0 -k "$kernel" 2>/run/err
    # The scripts of the package say the same.
    sh /packaging/hooks/headers_package "$kernel" >/run/package
    grep -qF -- "$text" /run/package || { cat /run/package; echo "no '$text' by headers_package for $*"; exit 98; } >&2
    grep -qF -- "$text" /run/err || { cat /run/err; echo "no '$text' for $*"; exit 98; } >&2
}
hint 6.1.0-99-amd64 linux-headers-6.1.0-99-amd64 'ID=debian'
hint 6.8.0-31-generic linux-headers-6.8.0-31-generic 'ID=ubuntu' 'ID_LIKE=debian'
hint 6.9.4-200.fc40.x86_64 kernel-devel-6.9.4-200.fc40.x86_64 'ID=fedora'
hint 5.14.0-427.el9.x86_64 kernel-devel-5.14.0-427.el9.x86_64 'ID="rhel"' 'ID_LIKE="fedora"'
hint 5.14.0-427.el9.x86_64 kernel-devel-5.14.0-427.el9.x86_64 'ID="centos"' 'ID_LIKE="rhel fedora"'
hint 6.4.0-150600.23.7-default kernel-default-devel 'ID="opensuse-leap"' 'ID_LIKE="suse opensuse"'
hint 6.11.0-1-vanilla kernel-vanilla-devel 'ID="opensuse-tumbleweed"' 'ID_LIKE="opensuse suse"'
hint 6.10.1-arch1-1 linux-headers 'ID=arch'
mkdir -p /lib/modules/6.6.40-1-lts; echo linux-lts >/lib/modules/6.6.40-1-lts/pkgbase
hint 6.6.40-1-lts linux-lts-headers 'ID=arch'
hint 6.6.30-gentoo sys-kernel 'ID=gentoo'
hint 6.12.1-0-lts linux-lts-dev 'ID=alpine' 'VERSION_ID=3.22.1'
hint 6.12.1-0-virt linux-virt-dev 'ID=postmarketos' 'ID_LIKE="alpine"'
hint 6.12.40_1 linux6.12-headers 'ID="void"'
hint 6.12.40 'the headers of kernel 6.12.40' 'ID=slackware'
hint 6.6.40-desktop-1.mga9 'the headers of kernel 6.6.40-desktop-1.mga9' 'ID=mageia' 'ID_LIKE="mandriva fedora"'
