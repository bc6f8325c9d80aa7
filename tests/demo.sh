#!/bin/bash
# A first look: one real package from download to removal, in private trees below build/demo. Nothing of the
# machine's own dkms, sources or modules is touched.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${DKMS_TEST_BUILD:-$PWD/build}
demo=$build/demo
dkms=${DKMS_BIN:-$PWD/target/release/dkms}
package=v4l2loopback-dkms

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ dkms %s\n' "$*"; "$dkms" "$@" "${trees[@]}"; }

[[ -x $dkms ]] || { echo "no dkms at $dkms: make build"; exit 1; }
(($(id -u) == 0)) || { echo 'skipped: installing needs root, also in private trees'; exit 0; }

# Builds run as another user. Where nothing can be mounted (a chroot, some containers), that user has to reach
# the directory by its path, which leads through /root or a home directory in many clones.
if ! unshare -m true 2>/dev/null || ! mountpoint -q /; then demo=/var/tmp/dkms-demo; fi

rm -rf "$demo"
mkdir -p "$demo"/{download,package,dkms,src,lib}
trees=(--dkmstree "$demo/dkms" --sourcetree "$demo/src" --installtree "$demo/lib")

say "1. Debian's package $package, downloaded and unpacked, not installed"
tests/fetch.sh --no-tools --demo
cp -r "$build/corpus/$package/usr/src/." "$demo/src/"
folder=$(basename "$demo"/src/v4l2loopback-*)
module=${folder%-*}/${folder##*-}
kernel=$(<"$build/layers/headers-6.1/kernel")
echo "sources: $demo/src/$folder, kernel: $kernel"

# The headers name their parts by absolute paths; a copy of the few relative ones will do.
headers=$build/layers/headers-6.1/root/usr
mkdir -p "$demo/lib/$kernel" "$demo/usr"
cp -r "$headers/src" "$demo/usr/src"
cp -r "$headers/lib" "$demo/usr/lib"
grep -rlE '/usr/(src|lib)/linux-' "$demo/usr/src/linux-headers-$kernel" --include=Makefile --include='.kernelvariables' 2>/dev/null |
    xargs -r sed -i "s,/usr/src/linux-,$demo/usr/src/linux-,g; s,/usr/lib/linux-,$demo/usr/lib/linux-,g"
ln -s "$demo/usr/src/linux-headers-$kernel" "$demo/lib/$kernel/build"

say '2. add: the version is known, nothing is built'
run add "$module"
run status

say '3. build: compiled, stripped, signed with a key that is made before'
# On a real machine, dkms creates and uses the key automatically; in a chroot or a container it does not.
run generate_mok
run build "$module" -k "$kernel" --mok-signing-key "$demo/dkms/mok.key" --mok-certificate "$demo/dkms/mok.pub"
run status

say '4. install: copied below the kernel, under updates/dkms as Debian has it'
run install "$module" -k "$kernel"
run status

say '5. what modinfo says of the installed module: look at signer and sig_hashalgo'
file=$(find "$demo/lib/$kernel" -name 'v4l2loopback.ko*')
modinfo "$file" | grep -E '^(filename|description|vermagic|signer|sig_id|sig_hashalgo):'

say '6. verify: would that kernel load it? And a file in which one symbol has another version?'
run verify "$module" -k "$kernel" --verbose
cp "$file" "$demo/other.ko"
python3 - "$demo/other.ko" <<'PYTHON'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[data.index(b"module_layout\0") - 8] ^= 1  # the CRC before its name
open(sys.argv[1], "wb").write(data)
PYTHON
run verify "$demo/other.ko" -k "$kernel" || echo "(exit code $?)"

say '7. remove: gone from the kernel and from the tree; the sources stay'
run remove "$module" --all
run status
find "$demo/lib/$kernel" -name '*.ko*'
ls -d "$demo/src/$folder"

say 'Look at: the signer in step 5, the two verdicts in step 6, the empty status in step 7, and the directory below for what is left.'
ls -d "$demo"
