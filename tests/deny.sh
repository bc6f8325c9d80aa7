#!/bin/bash
# cargo-deny: licences, advisories and sources of the dependencies. Skipped where it is not installed.
# DKMS_INSTALL_DENY=1 builds it first (some minutes).
set -eu
cd "$(dirname "$0")/.."
if ! cargo deny --version >/dev/null 2>&1; then
    if [[ ${DKMS_INSTALL_DENY:-} ]]; then
        cargo install --locked --quiet cargo-deny
    else
        echo 'skipped: cargo-deny is not installed (DKMS_INSTALL_DENY=1 builds it)'
        exit 77
    fi
fi
[[ -f deny.toml ]] || { echo 'skipped: there is no deny.toml'; exit 77; }
# Advisories need a database from the network; everything else is checked without it as well.
if ! cargo deny --locked fetch db >/dev/null 2>&1; then
    echo 'skipped: the advisory database cannot be fetched'
    exec cargo deny --locked check bans licenses sources
fi
exec cargo deny --locked check
