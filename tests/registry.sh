#!/bin/bash
# Inside the private root of registry::CASE: machines of a fleet with Debian's docker-registry between them. A
# machine is a mount namespace with its own configuration, tree, cache and modules. From outside, they are
# below /srv/NAME.
# shellcheck source=/dev/null
. /e2e/prelude.sh
set -eEu
trap '((BASH_SUBSHELL)) || echo "line $LINENO: $BASH_COMMAND" "$(tail -n 20 /run/out /run/messages)"' ERR
not() { ! "$@"; } # a "!" alone never ends the script
step() { echo "-- $*"; }
json() { python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"; }
R=127.0.0.1:5000/fleet/dkms # a prefix with two parts
mkdir -p /usr/libexec
touch /run/out /run/messages
install -m 755 /run/in/dkms-registry /usr/libexec/dkms-registry

# NAME LINE...: a new machine with these lines in framework.conf.
machine() {
    local dir=/srv/$1
    mkdir -p "$dir"/{etc/registry.d,tree,cache,modules}
    cp -a /lib/modules/. "$dir/modules/"
    shift
    printf '%s\n' "$@" >"$dir/etc/framework.conf"
}
# The same without compiler, make and headers, but with the kernel's configuration, as the package of its
# image has it.
bare_machine() {
    machine "$@"
    cp "$(readlink -f "/lib/modules/$K/build")/.config" "/srv/$1/modules/$K/config"
    rm "/srv/$1/modules/$K"/{build,source}
    touch "/srv/$1/bare"
}
# NAME COMMAND...: runs it on that machine.
on() {
    # shellcheck disable=SC2016  # for the inner shell
    unshare --mount bash -c '
        mount --bind "$0/etc" /etc/dkms && mount --bind "$0/tree" /var/lib/dkms && mount --bind "$0/cache" /var/cache/dkms &&
            mount --bind "$0/modules" /lib/modules || exit 99
        if [[ -e $0/bare ]]; then
            for dir in /usr/src/linux-headers-* /usr/lib/linux-kbuild-*; do mount -t tmpfs none "$dir" || exit 99; done
            for file in /usr/bin/{make,cc,ld,as} /usr/bin/*gcc /usr/bin/*gcc-[0-9]*; do
                file=$(readlink -f "$file")
                mountpoint -q "$file" || mount --bind /dev/null "$file" || exit 99
            done
        fi
        exec "$@"' "/srv/$1" "${@:2}"
}
origin() { json 'd["origin"]' <"/srv/$1/tree/$2/$K/$A/.manifest.json"; }
module() { echo "/srv/$1/modules/$K/updates/dkms/$2.ko"; }
trust() { cp "/srv/builder/etc/$1" "/srv/$2/etc/registry.d/"; }
# NAME COMMAND...: succeeds without a warning. The output is in /run/out, the messages in /run/messages.
quiet() {
    on "$@" >/run/out 2>/run/messages || { echo "code $?" >&2; cat /run/out /run/messages >&2; return 97; }
    same "$(grep -i warning /run/messages)" ''
}
# WORDS: the last command printed one warning, with these words.
one_warning() {
    same "$(grep -ci warning /run/messages)" 1 || { cat /run/messages >&2; return 96; }
    grep -i warning /run/messages | grep -q -e "$1" || { cat /run/messages >&2; return 95; }
}
# No files of a conversation with a registry are left.
clean() { same "$(find /tmp -mindepth 1 -maxdepth 1 -name 'dkms*')" ''; }
# NAME PACKAGE: deletes every trace of a build on that machine.
forget() {
    on "$1" dkms unbuild "$2" -k "$K" >/dev/null 2>&1 || true
    on "$1" dkms cache clear >/dev/null
}

serve_registry() { # LINE...: of its configuration
    mkdir -p /srv/storage /var/cache/dkms
    ip link set lo up
    printf '%s\n' 'version: 0.1' 'storage: {filesystem: {rootdirectory: /srv/storage}}' 'log: {level: error}' "$@" >/run/registry.yml
    docker-registry serve /run/registry.yml >/run/registry.log 2>&1 &
    registry=$!
    reachable 5000
}
reachable() {
    for _ in {1..100}; do
        if (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "nothing listens on port $1" >&2
    cat /run/registry.log >&2
    return 94
}
# A machine with a key, and a build that it has pushed.
builder() { # REGISTRY
    fixture single-1.0
    machine builder "registry=\"$1\""
    quiet builder dkms registry-key generate
    trust registry.pub builder
    quiet builder dkms add single/1.0
    quiet builder dkms build single/1.0 -k "$K"
    quiet builder dkms push single/1.0 -k "$K"
}

fleet() {
    serve_registry 'http: {addr: "127.0.0.1:5000"}'
    step 'without a key, without a build, or unconfined: nothing is pushed'
    machine early "registry=\"http://$R\"" build_confinement=off
    fixture single-1.0
    on early dkms add single/1.0 >/dev/null 2>&1
    no_push() { # CODE WORDS
        code "$1" on early dkms push single/1.0 -k "$K" >/run/out 2>/run/messages || { cat /run/messages; return 1; }
        grep -q -e "$2" /run/messages || { cat /run/messages; return 1; }
        same "$(find /srv/storage -name link)" ''
    }
    no_push 6 'registry-key generate'
    on early dkms registry-key generate >/dev/null
    no_push 3 'is not built'
    step 'without the program, a build is compiled, and the message says what to install'
    mv /usr/libexec/dkms-registry /run/program
    on early dkms build single/1.0 -k "$K" >/run/out 2>/run/messages
    one_warning 'install the package dkms-registry'
    same "$(origin early single/1.0)" built
    mv /run/program /usr/libexec/dkms-registry
    no_push 6 'without complete confinement'
    rm -r /usr/src/single-1.0

    step 'a builder pushes'
    builder "http://$R"
    grep -q "^Pushed single/1.0.*: http://$R/single:f1-[0-9a-f]* (sha256:" /run/out
    same "$(stat -c %a /srv/builder/etc/registry.key)" 600
    same "$(origin builder single/1.0)" built
    quiet builder dkms push single/1.0 -k "$K"
    grep -q 'is in the registry already' /run/out
    quiet builder dkms matrix --json
    same "$(</run/out)" '{"include":[]}'

    step 'another machine takes it'
    machine taker "registry=\"http://$R\""
    trust registry.pub taker
    quiet taker dkms add single/1.0
    quiet taker dkms install single/1.0 -k "$K" --dry-run
    grep -q "from http://$R/single@sha256:" /run/out
    quiet taker dkms install single/1.0 -k "$K"
    [[ $(origin taker single/1.0) == "registry http://$R/single@sha256:"* ]]
    quiet taker dkms status --json
    grep -q '"origin": *"registry ' /run/out
    quiet taker dkms verify single -k "$K"
    cmp <(objcopy -O binary -j .text "$(module taker single)" /dev/stdout) \
        <(objcopy -O binary -j .text "/srv/builder/tree/single/1.0/$K/$A/module/single.ko" /dev/stdout)
    on taker dkms uninstall single/1.0 -k "$K" >/dev/null
    on taker dkms unbuild single/1.0 -k "$K" >/dev/null
    quiet taker dkms install single/1.0 -k "$K"
    same "$(origin taker single/1.0)" cache

    step 'pull fetches into the cache'
    forget taker single/1.0
    quiet taker dkms pull -k "$K"
    grep -q "^Pulled single/1.0.* from http://$R/single@sha256:" /run/out
    quiet taker dkms build single/1.0 -k "$K" --prebuilt=off
    same "$(origin taker single/1.0)" cache

    step 'without a cache'
    forget taker single/1.0
    echo 'cache_size=0' >>/srv/taker/etc/framework.conf
    quiet taker dkms build single/1.0 -k "$K"
    [[ $(origin taker single/1.0) == 'registry '* ]]
    code 9 on taker dkms pull single/1.0 -k "$K" >/dev/null 2>&1
    sed -i '/cache_size/d' /srv/taker/etc/framework.conf

    step 'a machine without compiler, make and headers'
    bare_machine bare "registry=\"http://$R\"" 'prebuilt=only'
    trust registry.pub bare
    not on bare make --version 2>/dev/null
    not on bare gcc --version 2>/dev/null
    on bare dkms add single/1.0 >/dev/null
    on bare dkms install single/1.0 -k "$K" >/run/out 2>/run/messages || { cat /run/out /run/messages; return 1; }
    [[ $(origin bare single/1.0) == "registry http://$R/single@sha256:"* ]]
    [[ -f $(module bare single) ]]
    modinfo -F sig_hashalgo "$(module bare single)" | grep -q .
    forget bare single/1.0
    rm /srv/bare/etc/registry.d/registry.pub
    code 12 on bare dkms install single/1.0 -k "$K" >/run/out 2>/run/messages || { cat /run/messages; return 1; }

    step 'a second key, and the first one is revoked'
    echo 'registry_key="/etc/dkms/registry.key /etc/dkms/second.key"' >>/srv/builder/etc/framework.conf
    quiet builder dkms registry-key generate
    trust second.pub builder
    fixture multi-1.0
    quiet builder dkms add multi/1.0
    quiet builder dkms build multi/1.0 -k "$K"
    quiet builder dkms push multi/1.0 -k "$K"
    trust second.pub taker
    quiet taker dkms add multi/1.0
    for key in registry.pub second.pub; do
        mv "/srv/taker/etc/registry.d/$key" "/srv/taker/$key"
        quiet taker dkms build multi/1.0 -k "$K"
        [[ $(origin taker multi/1.0) == 'registry '* ]]
        forget taker multi/1.0
        mv "/srv/taker/$key" "/srv/taker/etc/registry.d/"
    done
    rm /srv/taker/etc/registry.d/registry.pub
    forget taker single/1.0
    on taker dkms autoinstall -k "$K" >/run/out 2>/run/messages
    one_warning 'single.*refused'
    same "$(origin taker single/1.0)" built
    [[ $(origin taker multi/1.0) == 'registry '* ]]
    rm /srv/taker/etc/registry.d/second.pub
    forget taker single/1.0
    forget taker multi/1.0
    on taker dkms autoinstall -k "$K" >/run/out 2>/run/messages
    one_warning 'refused'

    step 'the registry is gone: one warning for all packages'
    kill "$registry"
    wait "$registry" || true
    forget taker single/1.0
    forget taker multi/1.0
    on taker dkms autoinstall -k "$K" >/run/out 2>/run/messages
    one_warning 'refuses connections'
    same "$(origin taker single/1.0) $(origin taker multi/1.0)" 'built built'
    clean
}

# Each defect of a registry, and words of the warning.
BAD='
one_bit                single
truncated              single
layer_of_another       single
no_layer               single
replayed               refused
unsigned               refused
signature_of_nothing   refused
other_record           refused
no_json                .
huge_manifest          .
zstd_bomb              single
gzip_bomb              .
error_500              500
redirect_loop          .
not_http               .
silent                 .
trickle                .
endless                .
'

# More defects, on the machine that cannot compile, because compiling for each would prove no more.
MORE='
index                  refused
media_type             refused
sha512                 refused
two_layers             refused
duplicate_annotations  refused
duplicate_config       refused
many_annotations       refused
html                   refused
too_many               429
endless_headers        .
chunk_of_headers       .
early_hints            .
gzip_layer             single
longer_layer           single
endless_layer          single
'

bad() {
    serve_registry 'http: {addr: "127.0.0.1:5000"}'
    builder 'http://127.0.0.1:5000/dkms'
    step 'a second build in the same repository, for what is replayed'
    cp -r /usr/src/single-1.0 /run/saved
    echo '/* another */' >>/usr/src/single-1.0/single.c
    quiet builder dkms build single/1.0 -k "$K" --force
    quiet builder dkms push single/1.0 -k "$K"
    cp /run/saved/single.c /usr/src/single-1.0/single.c
    python3 /e2e/bad-registry.py 5001 5000 >/run/requests 2>&1 &
    server=$!
    reachable 5001
    sed 's/127.0.0.1:5000/[::1]:5002/' /run/registry.yml >/run/registry6.yml
    docker-registry serve /run/registry6.yml >/run/registry6.log 2>&1 &
    registry6=$!
    machine taker
    trust registry.pub taker
    quiet taker dkms add single/1.0
    bare_machine bare 'prebuilt=only'
    trust registry.pub bare
    quiet bare dkms add single/1.0

    step 'it works if nothing is wrong'
    on taker dkms build single/1.0 -k "$K" --registry http://127.0.0.1:5001/good/dkms >/run/out 2>/run/messages
    [[ $(origin taker single/1.0) == 'registry '* ]]
    while read -r way words; do
        [[ -n $way ]] || continue
        step "$way"
        refuse "$way" "http://127.0.0.1:5001/$way/dkms" "$words"
        grep -q "^$way GET " /run/requests
    done <<<"$BAD"
    while read -r way words; do
        [[ -n $way ]] || continue
        step "$way"
        refuse_there "http://127.0.0.1:5001/$way/dkms" "$words"
    done <<<"$MORE"
    step 'IPv6'
    if (: <>/dev/tcp/::1/5002) 2>/dev/null; then
        on bare dkms build single/1.0 -k "$K" --registry 'http://[::1]:5002/dkms' >/run/out 2>/run/messages
        [[ $(origin bare single/1.0) == 'registry http://[::1]:5002/dkms/single@'* ]]
        forget bare single/1.0
    else
        echo 'skipped: no IPv6 on loopback'
    fi
    step 'no server there'
    kill "$server"
    wait "$server" || true
    refuse down http://127.0.0.1:5001/down/dkms .
    step 'a mirror that is down, and one that is not'
    forget taker single/1.0
    on taker dkms build single/1.0 -k "$K" --registry http://127.0.0.1:5001/down/dkms --registry http://127.0.0.1:5000/dkms \
        >/run/out 2>/run/messages
    one_warning 5001
    [[ $(origin taker single/1.0) == 'registry http://127.0.0.1:5000/'* ]]
    kill "$registry"
    kill "$registry6" 2>/dev/null || true
}

# The next registry is queried if the build of the first one is refused or cannot be fetched.
bad_mirror() {
    serve_registry 'http: {addr: "127.0.0.1:5000"}'
    builder 'http://127.0.0.1:5000/dkms'
    python3 /e2e/bad-registry.py 5001 5000 >/run/requests 2>&1 &
    server=$!
    reachable 5001
    bare_machine bare 'prebuilt=only' 'cache_size=0'
    trust registry.pub bare
    quiet bare dkms add single/1.0
    for way in unsigned one_bit no_layer; do
        step "$way"
        on bare dkms build single/1.0 -k "$K" --registry "http://127.0.0.1:5001/$way/dkms" --registry http://127.0.0.1:5000/dkms \
            >/run/out 2>/run/messages || { cat /run/messages; return 1; }
        one_warning 5001
        [[ $(origin bare single/1.0) == 'registry http://127.0.0.1:5000/'* ]]
        on bare dkms unbuild single/1.0 -k "$K" >/dev/null 2>&1
    done
    kill "$registry" "$server"
}

# CLIENTS...: this number of clients at the same time; none fails.
load() {
    serve_registry 'http: {addr: "127.0.0.1:5000"}'
    builder 'http://127.0.0.1:5000/dkms'
    ulimit -n "$(ulimit -H -n)"
    python3 /e2e/registry-clients.py /usr/libexec/dkms-registry 127.0.0.1:5000/dkms single 5 "$@"
    kill "$registry"
}

# All connections go through a proxy, with and without TLS. Only the proxy can resolve the registries' names.
proxy() {
    certificates
    sed -i "/ $NAME$/d" /etc/hosts
    serve_registry "$TLS"
    python3 /e2e/proxy.py 3128 "user:word" "$NAME" 5000 plain.example.org 5001 >/run/proxied 2>&1 &
    server=$!
    printf '%s\n' 'version: 0.1' 'storage: {filesystem: {rootdirectory: /srv/plain}}' 'log: {level: error}' \
        'http: {addr: "127.0.0.1:5001"}' >/run/plain.yml
    docker-registry serve /run/plain.yml >/run/plain.log 2>&1 &
    plain=$!
    reachable 3128
    reachable 5001
    fixture single-1.0
    machine builder "registry=\"$NAME:5000/dkms\""
    trust_authority builder
    on builder dkms registry-key generate >/dev/null
    trust registry.pub builder
    on builder dkms add single/1.0 >/dev/null
    on builder dkms build single/1.0 -k "$K" --prebuilt=off >/dev/null
    step 'without the proxy, there is no such name'
    code 10 on builder dkms push single/1.0 -k "$K" >/run/out 2>/run/messages
    step 'a wrong password'
    https_proxy=http://user:wrong@127.0.0.1:3128 code 10 on builder dkms push single/1.0 -k "$K" >/run/out 2>/run/messages
    not grep -q wrong /run/messages
    export https_proxy=http://user:word@127.0.0.1:3128 http_proxy=http://user:word@127.0.0.1:3128
    step 'with TLS'
    quiet builder dkms push single/1.0 -k "$K"
    grep -q "CONNECT $NAME:5000" /run/proxied
    machine taker "registry=\"$NAME:5000/dkms\""
    trust registry.pub taker
    trust_authority taker
    on taker dkms add single/1.0 >/dev/null
    quiet taker dkms build single/1.0 -k "$K"
    same "$(origin taker single/1.0 | cut -d@ -f1)" "registry $NAME:5000/dkms/single"
    step 'without TLS'
    quiet builder dkms push single/1.0 http://plain.example.org:5001/dkms -k "$K"
    forget taker single/1.0
    quiet taker dkms build single/1.0 -k "$K" --registry http://plain.example.org:5001/dkms
    same "$(origin taker single/1.0 | cut -d@ -f1)" 'registry http://plain.example.org:5001/dkms/single'
    grep -q 'plain.example.org:5001' /run/proxied
    step 'not for names in no_proxy'
    forget taker single/1.0
    no_proxy=example.org on taker dkms build single/1.0 -k "$K" >/run/out 2>/run/messages
    one_warning "$NAME"
    same "$(origin taker single/1.0)" built
    step 'a proxy that is down'
    kill "$server"
    wait "$server" || true
    forget taker single/1.0
    on taker dkms build single/1.0 -k "$K" >/run/out 2>/run/messages
    one_warning "$NAME.*refuses connections"
    same "$(origin taker single/1.0)" built
    clean
    kill "$registry" "$plain"
}

# WAY REGISTRY WORDS: dkms compiles instead of using this registry's build, and fails where it cannot compile.
refuse() {
    forget taker single/1.0
    local start=$SECONDS
    on taker dkms install single/1.0 -k "$K" --registry "$2" >/run/out 2>/run/messages
    one_warning "$3"
    same "$(origin taker single/1.0)" built
    ((SECONDS - start <= 25)) || { echo "it took $((SECONDS - start)) s"; return 1; }
    clean
    code 12 on bare dkms install single/1.0 -k "$K" --registry "$2" >/run/out 2>/run/messages
    one_warning "$3"
    [[ ! -e $(module bare single) && ! -e /srv/bare/tree/single/1.0/$K ]]
    clean
}

# REGISTRY WORDS: a machine that cannot compile does not install this registry's build. /run/most has the most
# memory of any program of the last command, in kilobytes.
refuse_there() {
    local start=$SECONDS
    code 12 on bare python3 -c '
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
open("/run/most", "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(done.returncode)' dkms install single/1.0 -k "$K" --registry "$1" >/run/out 2>/run/messages
    (($(</run/most) < 200000)) || { echo "$(</run/most) kB"; return 1; }
    one_warning "$2"
    ((SECONDS - start <= 25)) || { echo "it took $((SECONDS - start)) s"; return 1; }
    [[ ! -e $(module bare single) && ! -e /srv/bare/tree/single/1.0/$K ]]
    clean
}

# A certificate from an authority of this test, for a name that only this root can resolve.
NAME=registry.example.org
certificates() {
    mkdir -p /run/tls
    cd /run/tls
    echo "127.0.0.1 $NAME" >>/etc/hosts
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$NAME" -keyout server.key -out server.csr 2>/dev/null
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out server.crt 2>/dev/null \
        -extfile <(printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' "$NAME")
    cd /
}
TLS="http: {addr: '127.0.0.1:5000', tls: {certificate: /run/tls/server.crt, key: /run/tls/server.key}}"
trust_authority() { tee "/srv/$1/etc/registry.d/$NAME:"{5000,5002}.crt </run/tls/ca.crt >/dev/null; }
# NAME USER:PASSWORD
login() { printf '{"auths":{"%s:5000":{"auth":"%s"}}}' "$NAME" "$(printf %s "$2" | base64)" >"/srv/$1/etc/auth.json"; }

tls_and_token() {
    certificates
    serve_registry "$TLS" \
        "auth: {token: {realm: 'https://$NAME:5002/token', service: test, issuer: test, rootcertbundle: /run/tls/ca.crt}}"
    export REGISTRY_AUTH_FILE=/etc/dkms/auth.json # docker-registry would take it for a setting of its own
    python3 /e2e/token-server.py 5002 /run/tls/server.crt /run/tls/server.key build:er:pull,push fleet:word:pull >/run/tokens 2>&1 &
    server=$!
    reachable 5002
    fixture single-1.0
    machine builder "registry=\"$NAME:5000/dkms\""
    on builder dkms registry-key generate >/dev/null
    trust registry.pub builder
    on builder dkms add single/1.0 >/dev/null
    on builder dkms build single/1.0 -k "$K" --prebuilt=off >/dev/null
    refused() { # WORDS
        code 10 on builder dkms push single/1.0 -k "$K" >/run/out 2>/run/messages
        grep -q "$NAME:5000/dkms: .*$1" /run/messages || { cat /run/messages; return 1; }
    }
    step 'an authority that is not trusted'
    refused certificate
    trust_authority builder
    step 'no password, a wrong one, and one that may only pull'
    refused '401.*log in'
    login builder build:wrong
    refused '401.*the password'
    login builder fleet:word
    refused '401.*does not permit'
    grep -q '^fleet repository:dkms/single:.*push' /run/tokens
    same "$(find /srv/storage -name link)" ''
    step 'the right password'
    login builder build:er
    quiet builder dkms push single/1.0 -k "$K"
    step 'another machine may pull'
    machine taker "registry=\"$NAME:5000/dkms\""
    trust registry.pub taker
    on taker dkms add single/1.0 >/dev/null
    misses() { # WORDS
        forget taker single/1.0
        on taker dkms build single/1.0 -k "$K" >/run/out 2>/run/messages
        one_warning "$1"
        same "$(origin taker single/1.0)" built
    }
    login taker fleet:word
    misses certificate
    trust_authority taker
    login taker fleet:wrong
    misses '401.*the password'
    login taker fleet:word
    forget taker single/1.0
    quiet taker dkms install single/1.0 -k "$K"
    same "$(origin taker single/1.0 | cut -d@ -f1)" "registry $NAME:5000/dkms/single"
    not grep -rqE 'ZmxlZXQ6|fleet:word' /srv/taker/tree /srv/taker/cache
    step 'a certificate of another time, as a wrong clock sees it'
    openssl x509 -req -in /run/tls/server.csr -CA /run/tls/ca.crt -CAkey /run/tls/ca.key -CAcreateserial -days -1 \
        -out /run/tls/old.crt -extfile <(printf 'subjectAltName=DNS:%s\n' "$NAME") 2>/dev/null
    sed '/^auth/d; s/:5000/:5003/; s/server.crt/old.crt/' /run/registry.yml >/run/old.yml
    env -u REGISTRY_AUTH_FILE docker-registry serve /run/old.yml >/run/old.log 2>&1 &
    old=$!
    reachable 5003
    cp /run/tls/ca.crt "/srv/taker/etc/registry.d/$NAME:5003.crt"
    forget taker single/1.0
    on taker dkms build single/1.0 -k "$K" --registry "$NAME:5003/dkms" >/run/out 2>/run/messages
    one_warning 'certificate: Expired'
    same "$(origin taker single/1.0)" built
    clean
    kill "$server" "$registry" "$old"
}

# HEADING: the commands of a section of docs/fleet.md, for this kernel.
commands() {
    awk -v heading="## $1" '/^## / { inside = $0 == heading } /^```/ { block = $0 == "```console" } inside && block && /^# /' \
        /docs/fleet.md | sed -E "s/^# //; s/ {2,}#.*//; s/6\.1\.0-[0-9]+-amd64/$K/; s/^dkms autoinstall$/& -k $K/"
}
# MACHINE HEADING: runs them in a directory with the package hello. The running kernel is the host's.
follow() {
    commands "$2" >/run/commands
    [[ -s /run/commands ]]
    while read -r command; do
        echo "$1: # $command"
        (cd /run/work && on "$1" bash -o pipefail -ec "$command" </dev/null >>/run/out 2>>/run/messages)
    done </run/commands
    same "$(grep -i warning /run/messages)" ''
}

page() {
    certificates
    serve_registry "$TLS"
    mkdir /run/work
    cp -r /examples/1-smallest /run/work/hello
    line=$(grep -x 'registry=.*' /docs/fleet.md)
    for name in builder taker; do
        machine "$name" "$line"
        trust_authority "$name"
    done
    bare_machine bare "$line"
    trust_authority bare
    follow builder 'One builder'
    cp /srv/builder/etc/registry.pub /srv/taker/etc/registry.d/builder.pub
    cp /srv/builder/etc/registry.pub /srv/bare/etc/registry.d/builder.pub
    on taker dkms add hello/1.0 >/dev/null
    follow taker 'A thousand machines'
    same "$(origin taker hello/1.0 | cut -d@ -f1)" "registry $NAME:5000/dkms/hello"
    fixture single-1.0
    on builder dkms add single/1.0 >/dev/null
    same "$(on builder dkms matrix)" "single/1.0 -k $K/$A"
    step 'a build that cannot be published is not listed'
    on builder sh -ec 'mkdir -p /etc/dkms && printf "CONFINE_NETWORK=yes\n" >/etc/dkms/single.conf'
    same "$(on builder dkms matrix)" ''
    quiet builder dkms matrix --verbose
    grep -qF 'it is never stored in a registry: dkms.conf sets CONFINE_NETWORK=yes' /run/out /run/messages
    on builder rm /etc/dkms/single.conf
    step 'the expressions for GitLab and Kubernetes'
    on builder dkms matrix --json >/run/matrix.json
    sed -n "/dkms matrix --json | jq '/,/child.yml/p" /docs/fleet.md | sed "s/.*jq '//; s/' > child.yml//" >/run/gitlab.jq
    # shellcheck disable=SC2016  # for the shell of GitLab
    same "$(jq -c -f /run/gitlab.jq /run/matrix.json)" \
        '{"build":{"parallel":{"matrix":[{"P":"single/1.0","K":"'"$K"'"}]},"script":["dkms build $P -k $K && dkms push $P -k $K"]}}'
    # shellcheck disable=SC2016  # for the shell of the job
    sed -n 's,.*\(row=$(jq .*)\)$,\1,p' /docs/fleet.md | sed 's,/matrix/,/run/,' >/run/kubernetes
    same "$(JOB_COMPLETION_INDEX=0 bash -ec ". /run/kubernetes; echo \"\$row\"")" "single/1.0 -k $K"
    follow builder 'Build farms'
    quiet builder dkms matrix --json
    same "$(</run/out)" '{"include":[]}'
    step 'without a compiler'
    on bare dkms add hello/1.0 >/dev/null
    on bare dkms add single/1.0 >/dev/null
    on bare bash -ec "$(sed -n 's/^RUN //p' /docs/fleet.md)" >/run/out 2>/run/messages
    [[ -f $(module bare hello) && -f $(module bare single) ]]
    kill "$registry"
}

# fleet-key.sh sources this file.
[[ ${BASH_SOURCE[0]} != "$0" ]] || "$@"
