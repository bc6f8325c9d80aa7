# shellcheck shell=bash
# Sourced by bench.sh in its root: autoinstall of its packages from a registry on loopback, and many clients
# of it.
#
#   registry_rows DKMS DEBIAN_MICROSECONDS PACKAGE...
registry_rows() {
    local dkms=$1 debian=$2 R=127.0.0.1:5000/dkms p registry pushed=0
    shift 2
    if ! command -v docker-registry >/dev/null || [[ ! -x /usr/libexec/dkms-registry ]]; then
        echo 'registry         skipped: docker-registry or dkms-registry is missing'
        return
    fi
    mkdir -p /run/storage /etc/dkms/framework.conf.d /etc/dkms/registry.d
    ip link set lo up
    printf '%s\n' 'version: 0.1' 'storage: {filesystem: {rootdirectory: /run/storage}}' 'log: {level: error}' \
        'http: {addr: "127.0.0.1:5000"}' >/run/registry.yml
    docker-registry serve /run/registry.yml >/run/registry.log 2>&1 &
    registry=$!
    until (: </dev/tcp/127.0.0.1/5000) 2>/dev/null; do sleep 0.1; done
    echo "registry=$R" >/etc/dkms/framework.conf.d/registry.conf
    "$dkms" registry-key generate >/dev/null
    cp /etc/dkms/registry.pub /etc/dkms/registry.d/
    for p; do
        if "$dkms" push "$p" -k "$K" >/dev/null; then pushed=$((pushed + 1)); fi
    done
    echo cache_size=0 >/etc/dkms/framework.conf.d/no-cache.conf
    # shellcheck disable=SC2317  # best calls it
    from_registry() { local p; for p; do "$dkms" unbuild "$p" -k "$K"; done; }
    show "registry-$#" "$debian" "$(PREPARE="from_registry $*" best 3 "$dkms" autoinstall -k "$K")"
    echo "registry         $pushed of $# packages are in the registry, and $(grep -l '"origin": *"registry' /var/lib/dkms/*/*/"$K"/*/.manifest.json | wc -l) came from there"
    ulimit -n "$(ulimit -H -n)"
    python3 /e2e/registry-clients.py /usr/libexec/dkms-registry "$R" "${1%/*}" 5 200 || true
    kill "$registry"
    rm /etc/dkms/framework.conf.d/{no-cache,registry}.conf /etc/dkms/registry.d/registry.pub
}
