#!/bin/bash
# Inside the private root of index_packages::NAME: the packages in /usr/src are installed one by one for the
# kernel of a real image, and removed in another order. After each step, the index that dkms has written is
# compared, file by file, with the one that depmod writes: first that of this Debian, and then, with the same
# modules from the cache, that of Debian 13 (/run/in).
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eEu
trap 'echo "line $LINENO: $BASH_COMMAND"; tail -n 5 /run/out' ERR
FILES=(modules.{dep,alias,symbols}{,.bin} modules.{softdep,devname,builtin.bin,builtin.alias.bin})
map=/boot/System.map-$K
comparisons=0 left=0

# PROGRAM: the depmod from now on. /run/ran has a line for each run that did more than print its version.
depmod_is() {
    # shellcheck disable=SC2016  # for the program
    printf '%s\n' '#!/bin/bash' 'case $1 in -V | --version) ;; *) echo "$*" >>/run/ran ;; esac' "$1 \"\$@\"" >/run/depmod
    chmod +x /run/depmod
    rm -f /usr/sbin/depmod
    mv /run/depmod /usr/sbin/depmod
    depmod -a -F "$map" "$K"
    depmod --version | head -n 1
}
# WHAT: the last action of dkms.
compare() {
    if [[ -s /run/ran ]]; then left=$((left + 1)); fi
    rm -rf /run/index && mkdir /run/index
    cp "${FILES[@]/#//lib/modules/$K/}" /run/index/
    [[ ! -e /lib/modules/$K/modules.weakdep ]] || cp "/lib/modules/$K/modules.weakdep" /run/index/
    depmod -a -F "$map" "$K"
    for file in /run/index/*; do
        cmp "$file" "/lib/modules/$K/${file##*/}" || { echo "$1: ${file##*/} differs"; exit 1; }
    done
    comparisons=$((comparisons + 1))
    if [[ -n ${VERBOSE-} ]]; then echo "$SECONDS s: $1"; fi
    : >/run/ran
}
walk() {
    local package there=()
    : >/run/ran
    for package in "${packages[@]}"; do
        dkms add "$package" >/run/out 2>&1 || continue
        if dkms install "$package" -k "$K" >/run/out 2>&1; then
            there+=("$package")
            compare "install $package"
        else
            dkms remove "$package" --all >/dev/null 2>&1 || true
            : >/run/ran
        fi
    done
    # Every second package from the front, then the others from the end.
    for ((n = 0; n < ${#there[@]}; n += 2)); do
        dkms remove "${there[n]}" --all >/run/out 2>&1
        compare "remove ${there[n]}"
    done
    for ((n = ${#there[@]} - 1; n >= 0; n--)); do
        ((n % 2)) || continue
        dkms remove "${there[n]}" --all >/run/out 2>&1
        compare "remove ${there[n]}"
    done
    echo "${#there[@]} packages: ${there[*]}"
}

packages=()
for conf in /usr/src/*/dkms.conf; do
    folder=${conf%/dkms.conf}
    folder=${folder##*/}
    packages+=("${folder%-*}/${folder##*-}")
done
depmod_is 'exec -a depmod /usr/bin/kmod'
walk
if [[ -x /run/in/depmod-34/depmod ]]; then
    depmod_is 'exec /run/in/depmod-34/depmod'
    walk
else
    echo 'skipped: the depmod of Debian 13 is not there'
fi
echo "$comparisons comparisons of ${#FILES[@]} files; dkms left $left indexes to depmod"
((comparisons > 0 && left == 0))
