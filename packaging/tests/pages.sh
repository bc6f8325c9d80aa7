#!/bin/bash
# Renders the manual pages with mandoc and with man (groff), for terminals and as HTML. Checks that there are
# no warnings, no empty output and no markup in the text, and that every section of the source is present.
here=$(cd "$(dirname "$0")/.." && pwd)
said=$(mktemp)
trap 'rm -f "$said"' EXIT
passed=0 failed=0
expect() { # TITLE COMMAND ...
    local title=$1
    shift
    if "$@"; then ((++passed)); else ((++failed)); echo "FAILED: $title"; fi
}
plain() { sed 's/.\x08//g'; } # bold and underlined letters are overstruck
sections() { sed -n 's/^\.Sh //p' "$1" | tr -d '"'; }

# judge TITLE PAGE TEXT COMPLAINTS
judge() {
    local title=$1 page=$2 text=$3 section missing=''
    expect "$title: $4" [ -z "$4" ]
    while read -r section; do
        grep -qx "$section" <<<"$text" || missing+=" $section;"
    done < <(sections "$page")
    expect "$title: sections missing:$missing" [ -z "$missing" ]
    expect "$title: markup in the text: $(grep -nE '^\.[A-Z][a-z]|(^|[ (])(Xr|Pa|Cm|Fl|Ar|Ql|Ns|Op|Oc|Pq) ' <<<"$text" | head -n 3)" \
        [ -z "$(grep -E '^\.[A-Z][a-z]|(^|[ (])(Xr|Pa|Cm|Fl|Ar|Ql|Ns|Op|Oc|Pq) ' <<<"$text")" ]
}

for page in "$here"/man/*.[58]; do
    name=${page##*/}
    if command -v mandoc >/dev/null; then
        for form in ascii utf8; do
            text=$(mandoc -W warning -T "$form" "$page" 2>"$said" | plain)
            # References to pages that are not installed here are fine.
            complaints=$(grep -v 'referenced manual not found\|outdated mandoc.db' "$said")
            judge "mandoc -T $form $name" "$page" "$text" "$complaints"
        done
        expect "$name: a line of a terminal is longer than 80" [ -z "$(mandoc -T ascii "$page" 2>/dev/null | plain | grep -E '^.{81}')" ]
        expect "$name as HTML" grep -q '<h1 class="Sh"' <(mandoc -T html "$page" 2>/dev/null)
    else
        echo 'skipped: mandoc is not installed'
    fi
    if command -v man groff >/dev/null && man --version 2>/dev/null | grep -q '^man '; then
        text=$(MANWIDTH=80 LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l "$page" 2>"$said" | plain)
        judge "man -l $name" "$page" "$text" "$(<"$said")"
    else
        echo 'skipped: man with groff is not installed'
    fi
done

echo "pages: $passed passed, $failed failed"
((failed == 0))
