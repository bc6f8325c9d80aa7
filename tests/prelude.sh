# shellcheck shell=bash
# Sourced before every script that runs inside a private root: a few words the scenarios are written in.

# Put fixtures into /usr/src (NAME-VERSION folders) and, with "add", register them.
fixture() { local f; for f in "$@"; do cp -r "/e2e/fixtures/$f" /usr/src/; done; }

# A fixture under another version: fixture_as single-1.0 2.0
fixture_as() {
    local name=${1%-*} to=/usr/src/${1%-*}-$2
    cp -r "/e2e/fixtures/$1" "$to"
    sed -i "s/\"${1##*-}\"/\"$2\"/" "$to/dkms.conf" "$to/$name.c"
}

# Succeed when the command ends with this code: code 3 dkms add ...
code() {
    local want=$1 got=0
    shift
    "$@" || got=$?
    [[ $got == "$want" ]] || { echo "expected code $want, got $got: $*" >&2; return 99; }
}

# Succeed when the two texts are equal; show both otherwise.
same() { [[ $1 == "$2" ]] || { printf 'have: %s\nwant: %s\n' "$1" "$2" >&2; return 98; }; }

# Where the one file of this name (any compression) is installed below a kernel's folder.
installed() { find "/lib/modules/${2:-$K}/" \( -type f -o -type l \) -name "$1.ko*" -printf '%P\n' | sort; }

# Build a module outside dkms and print its path: the "kernel's own" modules of the tests.
foreign_module() { # FIXTURE NAME
    local dir
    dir=$(mktemp -d)
    cp -r "/e2e/fixtures/$1/." "$dir"
    make -s -C "/lib/modules/$K/build" M="$dir" >/dev/null
    echo "$dir/$2.ko"
}

# A program put before the real one on PATH that writes its arguments to /run/NAME.log, then runs it.
spy() {
    local real
    real=$(type -P "$1")
    mv "$real" "$real.real"
    # A script for sh: "$@" must arrive literally.
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "$*" >> /run/%s.log\nexec -a %s %s.real "$@"\n' "$1" "$1" "$real" >"$real"
    sed -i '1s,/bin/sh,/bin/bash,' "$real"
    chmod +x "$real"
}

# How often a spied program ran since the last call of this function.
spied() { local n=0; [[ ! -f /run/$1.log ]] || n=$(wc -l <"/run/$1.log"); rm -f "/run/$1.log"; echo "$n"; }
