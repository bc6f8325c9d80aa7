#!/bin/bash
# Inside the private root of fleet_key::CASE: machines without a key for modules, which use modules that the
# builder's key has signed, and keys in a token.
# shellcheck source=/dev/null
. /e2e/registry.sh
registry=
FLEET='registry_signer=/etc/dkms/fleet.der'
# MACHINE: the names of the signers of its installed module single.
signer() { modinfo -F signer "$(module "$1" single)"; }

# A builder with the fleet's key for modules, and a build that it has pushed.
fleet_builder() {
    serve_registry 'http: {addr: "127.0.0.1:5000"}'
    builder 'http://127.0.0.1:5000/dkms'
    echo "$FLEET" >>/srv/builder/etc/framework.conf
    cp /srv/builder/tree/mok.pub /srv/builder/etc/fleet.der
}
# NAME LINE...: a machine of this fleet.
member() {
    machine "$1" 'registry="http://127.0.0.1:5000/dkms"' "$FLEET" "${@:2}"
    trust registry.pub "$1"
    cp /srv/builder/etc/fleet.der "/srv/$1/etc/"
    on "$1" dkms add single/1.0 >/dev/null
}

signed_modules() {
    fleet_builder
    step 'what is in the registry without its signed modules is listed, and pushed'
    quiet builder dkms matrix
    same "$(</run/out)" "single/1.0 -k $K/$A"
    quiet builder dkms push single/1.0 -k "$K" --json
    same "$(json '[(p["new"], p["signer"]) for p in d["pushed"]]' </run/out)" \
        "[(False, None), (True, 'DKMS module signing key')]"
    quiet builder dkms matrix
    same "$(</run/out)" ''
    quiet builder dkms push single/1.0 http://127.0.0.1:5000/dkms -k "$K"
    same "$(grep -c 'is in the registry already' /run/out)" 2

    step 'a machine without a key installs them as they are'
    member taker try_sign_modules=false
    quiet taker dkms install single/1.0 -k "$K" --dry-run
    grep -q 'from http://127.0.0.1:5000/dkms/single@sha256:' /run/out
    quiet taker dkms install single/1.0 -k "$K"
    [[ $(origin taker single/1.0) == 'registry '* ]]
    same "$(signer taker)" 'DKMS module signing key'
    [[ ! -e /srv/taker/tree/mok.key && ! -e /srv/taker/tree/mok.pub ]]
    openssl x509 -inform DER -in /srv/builder/etc/fleet.der -noout -fingerprint -sha256 >/run/fingerprint
    id=$(sed 's/.*=//; s/://g' /run/fingerprint)
    grep -q "\"signer=${id,,}\"" /srv/taker/cache/v1/*/*/record.json
    on taker dkms unbuild single/1.0 -k "$K" >/dev/null
    quiet taker dkms install single/1.0 -k "$K"
    same "$(origin taker single/1.0) $(signer taker)" 'cache DKMS module signing key'
    quiet taker dkms fsck

    step 'without compiler and headers'
    bare_machine bare 'registry="http://127.0.0.1:5000/dkms"' prebuilt=only "$FLEET"
    rm "/srv/bare/modules/$K/config"
    trust registry.pub bare
    cp /srv/builder/etc/fleet.der /srv/bare/etc/
    on bare dkms add single/1.0 >/dev/null
    on bare dkms install single/1.0 -k "$K" >/run/out 2>/run/messages || { cat /run/messages; return 1; }
    same "$(signer bare)" 'DKMS module signing key'

    step 'modules that are compiled there are signed as usual, and no other machine takes those of the fleet'
    forget taker single/1.0
    quiet taker dkms install single/1.0 -k "$K" --prebuilt=off
    same "$(origin taker single/1.0) $(signer taker)" 'built '
    machine other 'registry="http://127.0.0.1:5000/dkms"'
    trust registry.pub other
    on other dkms add single/1.0 >/dev/null
    quiet other dkms install single/1.0 -k "$K"
    [[ $(origin other single/1.0) == 'registry '* && -e /srv/other/tree/mok.key ]]
    not cmp -s "$(module other single)" "$(module bare single)"

    step 'the certificate of another fleet: its modules are not there, and the unsigned ones are taken'
    cp /srv/other/tree/mok.pub /srv/taker/etc/fleet.der
    forget taker single/1.0
    quiet taker dkms install single/1.0 -k "$K"
    [[ $(origin taker single/1.0) == 'registry '* ]]
    same "$(signer taker)" ''

    step 'who has not the key does not push for the fleet'
    cp /srv/builder/etc/registry.key /srv/taker/etc/
    forget taker single/1.0
    quiet taker dkms build single/1.0 -k "$K"
    code 6 on taker dkms push single/1.0 -k "$K" >/run/out 2>/run/messages
    grep -q 'registry_signer is the certificate of' /run/messages

    step 'a certificate that cannot be used: one warning, and not used'
    echo damaged >/srv/taker/etc/fleet.der
    forget taker single/1.0
    on taker dkms install single/1.0 -k "$K" >/run/out 2>/run/messages
    one_warning registry_signer
    [[ $(origin taker single/1.0) == 'registry '* ]]
    kill "$registry"
}

# OpenSSL's provider is used if it is installed, otherwise its engine.
token() {
    if ! compgen -G '/usr/lib/*/engines-3/pkcs11.so' >/dev/null && ! compgen -G '/usr/lib/*/ossl-modules/pkcs11.so' >/dev/null; then
        echo "skipped: OpenSSL's engine or provider pkcs11 is not installed"
        exit 77
    fi
    export SOFTHSM2_CONF=/run/softhsm.conf PKCS11_MODULE_PATH=/usr/lib/softhsm/libsofthsm2.so
    export PKCS11_PROVIDER_MODULE=$PKCS11_MODULE_PATH
    mkdir /run/tokens
    echo 'directories.tokendir = /run/tokens' >/run/softhsm.conf
    softhsm2-util --init-token --free --label fleet --pin 1234 --so-pin 5678 >/dev/null
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /run/key.pem 2>/dev/null
    softhsm2-util --import /run/key.pem --token fleet --label builder --id 01 --pin 1234 >/dev/null
    serve_registry 'http: {addr: "127.0.0.1:5000"}'
    fixture single-1.0
    machine builder 'registry="http://127.0.0.1:5000/dkms"' 'registry_key="pkcs11:token=fleet;object=builder"'
    openssl pkey -in /run/key.pem -pubout -out /srv/builder/etc/token.pub
    rm /run/key.pem
    trust token.pub builder
    quiet builder dkms add single/1.0
    quiet builder dkms build single/1.0 -k "$K"
    refused() { # CODE PIN WORDS
        KBUILD_SIGN_PIN=$2 code "$1" on builder dkms push single/1.0 -k "$K" >/run/out 2>/run/messages </dev/null
        grep -q "$3" /run/messages || { cat /run/messages; return 1; }
    }
    step 'a wrong PIN, and another key'
    refused 6 4321 'pkcs11:token=fleet;object=builder cannot be used'
    sed -i 's/object=builder/object=other/' /srv/builder/etc/framework.conf
    refused 6 1234 'object=other cannot be used'
    sed -i 's/object=other/object=builder/' /srv/builder/etc/framework.conf
    same "$(find /srv/storage -name link)" ''
    step 'push'
    KBUILD_SIGN_PIN=1234 quiet builder dkms push single/1.0 -k "$K"
    grep -q '^Pushed' /run/out
    step 'another machine trusts it'
    machine taker 'registry="http://127.0.0.1:5000/dkms"'
    trust token.pub taker
    quiet taker dkms add single/1.0
    quiet taker dkms install single/1.0 -k "$K"
    [[ $(origin taker single/1.0) == 'registry '* ]]
    step 'with a key in a file as well'
    echo 'registry_key="/etc/dkms/file.key pkcs11:token=fleet;object=builder"' >>/srv/builder/etc/framework.conf
    quiet builder dkms registry-key generate
    grep -q /etc/dkms/file.pub /run/out
    code 6 on builder dkms registry-key generate >/dev/null 2>&1
    fixture multi-1.0
    quiet builder dkms add multi/1.0
    quiet builder dkms build multi/1.0 -k "$K"
    KBUILD_SIGN_PIN=1234 quiet builder dkms push multi/1.0 -k "$K"
    quiet taker dkms add multi/1.0
    for key in token.pub file.pub; do
        rm /srv/taker/etc/registry.d/*.pub
        trust "$key" taker
        quiet taker dkms build multi/1.0 -k "$K"
        [[ $(origin taker multi/1.0) == 'registry '* ]]
        forget taker multi/1.0
    done
    kill "$registry"
}

# A kernel that accepts only signed modules loads modules from the registry.
loads() {
    K=${VM_KERNELS%% *}
    K=${K#*=}
    fleet_builder
    quiet builder dkms push single/1.0 -k "$K"
    bare_machine bare 'registry="http://127.0.0.1:5000/dkms"' prebuilt=only "$FLEET"
    trust registry.pub bare
    cp /srv/builder/etc/fleet.der /srv/bare/etc/
    on bare dkms add single/1.0 >/dev/null
    on bare dkms install single/1.0 -k "$K" >/run/out 2>/run/messages || { cat /run/messages; return 1; }
    [[ $(origin bare single/1.0) == 'registry '* ]]
    kill "$registry"
    python3 /e2e/vm/load.py "$K" "/srv/bare/modules/$K" single /srv/builder/etc/fleet.der
}

"$1"
