#!/bin/bash
# cargo-deny: licences, advisories and sources of the dependencies.
set -eu
cd "$(dirname "$0")/.."
# Advisories need a database from the network; everything else is checked without it as well.
if ! cargo deny --locked fetch db >/dev/null 2>&1; then
    echo 'skipped: the advisory database cannot be fetched'
    exec cargo deny --locked check bans licenses sources
fi
exec cargo deny --locked check
