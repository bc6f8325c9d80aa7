# For each distribution (os-release): where the signing key is, and which program signs what dkms cannot sign itself.
# shellcheck disable=SC1091 # the first step writes it
#: step in-the-tree 0 ours
cat >/run/as.sh <<'S'
as() { printf '%s\n' "$@" >/etc/os-release; }
# A key of this name that only the kernel's program can use.
encrypted() {
    openssl req -x509 -newkey rsa:2048 -passout pass:secret -subj "/CN=$1/" -keyout "/root/$1.pem" -out "/root/$1.crt" 2>/dev/null
    printf '%s\n' "mok_signing_key=/root/$1.pem" "mok_certificate=/root/$1.crt" >/etc/dkms/framework.conf
}
# The signer, and the program if one was needed, of the build that was made last.
build() { KBUILD_SIGN_PIN=secret dkms build single/1.0 -k "$K" --force; }
signed_by() { grep -o '"signature":"[^"]*"' "/var/lib/dkms/single/1.0/$K/$A/.manifest.json"; }
signer() { modinfo -F signer "/var/lib/dkms/single/1.0/$K/$A/module/single.ko"; }
# A pair with this name in two files.
pair() { openssl req -x509 -nodes -newkey rsa:2048 -subj "/CN=$1/" -keyout "$2" -outform "${4:-DER}" -out "$3" 2>/dev/null; }
S
. /run/as.sh
fixture single-1.0
for lines in 'ID=debian' 'ID=fedora' 'ID="rhel" ID_LIKE="fedora"' 'ID="opensuse-leap" ID_LIKE="suse opensuse"' 'ID=arch' 'ID=alpine'; do
    rm -f /var/lib/dkms/mok.*
    eval "as $lines"
    build
    test -f /var/lib/dkms/mok.key -a -f /var/lib/dkms/mok.pub
    same "$(signer)" 'DKMS module signing key'
done
#: step ubuntu-without-its-tool 0 ours
. /run/as.sh; as 'ID=ubuntu' 'ID_LIKE=debian'
rm -f /var/lib/dkms/mok.*
build
test -f /var/lib/shim-signed/mok/MOK.priv -a -f /var/lib/shim-signed/mok/MOK.der
test ! -e /var/lib/dkms/mok.key
same "$(stat -c %a /var/lib/shim-signed/mok/MOK.priv)" 600
#: step ubuntu-with-it 0 ours
. /run/as.sh; as 'ID=ubuntu' 'ID_LIKE=debian'
rm -r /var/lib/shim-signed
cat >/usr/sbin/update-secureboot-policy <<'P'
#!/bin/sh
echo "$1 $SHIM_NOTRIGGER" >>/run/policy.log
[ "$1" = --new-key ] || exit 0
mkdir -p /var/lib/shim-signed/mok
openssl req -x509 -nodes -newkey rsa:2048 -subj "/CN=shim's own/" -keyout /var/lib/shim-signed/mok/MOK.priv \
    -outform DER -out /var/lib/shim-signed/mok/MOK.der 2>/dev/null
P
chmod +x /usr/sbin/update-secureboot-policy
build
same "$(</run/policy.log)" $'--new-key y\n--enroll-key y'
same "$(signer)" "shim's own"
#: step mint-as-ubuntu 0 ours
. /run/as.sh; as 'ID=linuxmint' 'ID_LIKE="ubuntu debian"'
build
same "$(signer)" "shim's own"
#: step gentoo-the-kernels-own 0 ours
. /run/as.sh; as 'ID=gentoo'
headers=$(readlink -f "/lib/modules/$K/build")
sed -i 's,^\(CONFIG_MODULE_SIG_KEY=\).*,\1"certs/signing_key.pem",' "$headers/.config" "$headers/include/config/auto.conf"
mkdir -p "$headers/certs"
pair kernel /run/k.pem /run/k.crt PEM
cat /run/k.pem /run/k.crt >"$headers/certs/signing_key.pem"
build
same "$(signer)" kernel
#: step gentoo-make-conf 0 ours
. /run/as.sh
mkdir -p /etc/portage
pair portage /run/p.pem /run/p.crt PEM
printf 'MODULES_SIGN_KEY="/run/p.pem"\nMODULES_SIGN_CERT="/run/p.crt"\n' >/etc/portage/make.conf
build
same "$(signer)" portage
#: step gentoo-environment 0 ours
. /run/as.sh
pair environment /run/e.pem /run/e.crt PEM
MODULES_SIGN_KEY=/run/e.pem MODULES_SIGN_CERT=/run/e.crt build
same "$(signer)" environment
rm -r /etc/portage
#: step debians-program 0 ours
. /run/as.sh; as 'ID=debian'
encrypted debian
build
signed_by | grep -E 'signed by debian with /usr/lib/linux-kbuild-[0-9.]+/scripts/sign-file: '
#: step ubuntus-program 0 ours
. /run/as.sh; as 'ID=ubuntu' 'ID_LIKE=debian'
ln -s "$(echo /usr/lib/linux-kbuild-6.1*/scripts/sign-file)" /usr/bin/kmodsign
build
signed_by | grep 'signed by debian with /usr/bin/kmodsign: '
rm /usr/bin/kmodsign
build
signed_by | grep "signed by debian with /usr/src/linux-headers-$K/scripts/sign-file: "
#: step the-headers-program-elsewhere 0 ours
. /run/as.sh
for lines in 'ID=fedora' 'ID="rhel" ID_LIKE="fedora"' 'ID="opensuse-leap" ID_LIKE="suse opensuse"' 'ID=arch' 'ID=alpine'; do
    eval "as $lines"
    build
    signed_by | grep -E "signed by debian with (/lib/modules/$K/build|/usr/src/linux-headers-$K)/scripts/sign-file: "
done
#: step the-one-of-framework.conf 0 ours
. /run/as.sh; as 'ID=fedora'
mkdir -p "/opt/$K"
cp /usr/lib/linux-kbuild-6.1*/scripts/sign-file "/opt/$K/sign-file"
echo 'sign_file="/opt/$kernelver/sign-file"' >>/etc/dkms/framework.conf
build
signed_by | grep "signed by debian with /opt/$K/sign-file: "
