#!/bin/bash
# Inside the private root of boot::CASE: what keeps a machine from booting into a kernel without its drivers.
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eu
step() { echo "-- $*"; }
json() { python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"; }
setting() { mkdir -p /etc/dkms/framework.conf.d; echo "$2" >"/etc/dkms/framework.conf.d/$1.conf"; }
# A version that does not compile.
broken() { # FIXTURE VERSION
    fixture_as "$1" "$2"
    echo '#error does not compile' >>"/usr/src/${1%-*}-$2/${1%-*}.c"
    dkms add "${1%-*}/$2" >/dev/null
}

# A kernel that `ready` accepts: it has an index, and modules need no signature.
whole_kernel() {
    mkdir -p "/lib/modules/$K/kernel"
    touch "/lib/modules/$K/modules."{order,builtin,builtin.modinfo}
    depmod "$K"
    setting sign try_sign_modules=false
}

fallback() {
    whole_kernel
    fixture single-1.0
    dkms add single/1.0 >/dev/null
    broken single-1.0 1.5
    broken single-1.0 2.0
    step 'without the setting, the newest version counts'
    code 11 dkms autoinstall -k "$K" >/run/out 2>&1
    same "$(dkms status -k "$K" | grep -c installed || true)" 0
    code 1 dkms ready -k "$K"
    step 'the plan'
    setting fallback fallback=yes
    dkms autoinstall -k "$K" --dry-run | tee /run/plan
    grep -q 'fall back to single/1.5 .*only if single/2.0 cannot be built' /run/plan
    grep -q 'fall back to single/1.0 .*only if single/1.5 cannot be built' /run/plan
    same "$(dkms autoinstall -k "$K" --dry-run --json | json '[s["instead_of"] for s in d["steps"] if s["step"] == "fallback"]')" \
        "['2.0', '1.5']"
    step 'the newest that builds is installed'
    dkms autoinstall -k "$K" >/run/out 2>&1 || { cat /run/out; false; }
    grep -q 'single/2.0 cannot be built for kernel .*; falling back to single/1.5 (fallback=yes)' /run/out
    grep -q 'single/1.5 cannot be built for kernel .*; falling back to single/1.0 (fallback=yes)' /run/out
    grep -q '1 in an older version (single/1.0 instead of 2.0)' /run/out
    same "$(dkms status single/1.0)" "single/1.0, $K, $A: installed (Fallback: 2.0 does not build)"
    same "$(dkms status single/1.0 --json | json 'd["entries"][0]["fallback_for"]')" 2.0
    # Here it is not known whether the kernel enforces signatures.
    code 2 dkms ready -k "$K" >/run/ready
    grep -q 'single/1.0 is installed instead of 2.0, which did not build .*(fallback=yes)' /run/ready
    grep -q 'may be ready to be booted' /run/ready
    same "$(dkms ready -k "$K" --json | json '[c["remark"] for c in d["checks"] if "instead of" in c["what"]]')" '[True]'
    step 'again, nothing changes'
    dkms autoinstall -k "$K" --json 2>&1 | grep '"event":"summary"' >/run/summary
    same "$(json 'd["failed"], [f["version"] for f in d["fallbacks"]]' </run/summary)" "[] ['1.0']"
    dkms kernel_postinst -k "$K"
    step 'a version that builds replaces it'
    fixture_as single-1.0 3.0
    dkms add single/3.0 >/dev/null
    dkms autoinstall -k "$K" >/run/out 2>&1
    same "$(grep -c 'falling back' /run/out || true)" 0
    same "$(dkms status single/3.0)" "single/3.0, $K, $A: installed"
    same "$(dkms ready -k "$K" | grep -c instead || true)" 0
    dkms remove single/3.0 --all >/dev/null
    step 'dependents follow the version that builds; a kernel that the newest version does not support'
    dkms uninstall single/1.0 -k "$K" >/dev/null 2>&1 || true
    fixture depa-1.0 depb-1.0
    dkms add depa/1.0 >/dev/null
    dkms add depb/1.0 >/dev/null
    broken depa-1.0 9.0
    sed -i 's/^BUILD_EXCLUSIVE_KERNEL=.*//' /usr/src/single-2.0/dkms.conf
    echo 'BUILD_EXCLUSIVE_KERNEL="^1\."' >>/usr/src/single-2.0/dkms.conf
    dkms autoinstall -k "$K" >/run/out 2>&1 || { cat /run/out; false; }
    same "$(dkms status depb/1.0)" "depb/1.0, $K, $A: installed"
    grep -q 'falling back to depa/1.0' /run/out
    dkms status -k "$K" | grep -q '^single/1.0, .*: installed'
    step 'if no version builds, it is a failure'
    broken ver-1.9 2.0
    broken ver-1.9 2.1
    code 11 dkms autoinstall -k "$K" >/run/out 2>&1
    grep -q '2 failed' /run/out
}

"$1"
