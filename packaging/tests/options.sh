#!/bin/bash
# Every setting of framework.conf is in its manual page and in the file itself; every directive of dkms.conf
# is in its page, in a sample, and offered by bash; every kind of JSON line is in its table, and every exit
# code in the manual. Lines of documents have at most 120 columns, and the files that they name exist.
# shellcheck disable=SC2016 # dollars and backticks in patterns
here=$(cd "$(dirname "$0")/.." && pwd)
top=$here/..
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$here/completions/assemble" bash >"$scratch/dkms.bash"
passed=0 failed=0

same() { # TITLE FILE FILE: two lists
    sort -u "$2" -o "$2"
    sort -u "$3" -o "$3"
    if [[ -s $2 ]] && cmp -s "$2" "$3"; then
        ((++passed))
    else
        ((++failed))
        printf 'FAILED: %s\n  only the first:  %s\n  only the second: %s\n' "$1" \
            "$(comm -23 "$2" "$3" | paste -sd ' ')" "$(comm -13 "$2" "$3" | paste -sd ' ')"
    fi
}

# The words that bash offers for a command line. A unit test compares the actions and options among them.
offered() {
    bash --norc --noprofile -c 'source "$1"; shift; dkms() { :; }
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _dkms 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' - "$scratch/dkms.bash" "$@"
}

# --- the settings
sed -n 's/^    pub \([a-z_0-9]*\): \(Option\|Vec\)<.*/\1/p' "$top/crates/dkms-conf/src/framework_conf.rs" >"$scratch/settings"
# Read by common.postinst, not by the program.
echo continue_on_error >>"$scratch/settings"
sed -n 's/^\.It Cm //p' "$here/man/dkms-framework.conf.5" | tr -d ' ' | tr ',' '\n' >"$scratch/man-settings"
sed -n 's/^#\([a-z_0-9]*\)=.*/\1/p' "$here/framework.conf" >"$scratch/file-settings"
same 'settings: program, dkms-framework.conf(5)' "$scratch/settings" "$scratch/man-settings"
same 'settings: program, framework.conf' "$scratch/settings" "$scratch/file-settings"

# --- the directives of dkms.conf: the program's table, the page, what bash offers after --directive
table() { sed -n "/^static $1/,/^];/p" "$top/crates/dkms-conf/src/directives.rs"; }
table MODULE | tr -d '\n' | grep -oE '(row|old)\( *"[A-Z_]+"' | grep -oE '[A-Z_]+"' | tr -d '"' >"$scratch/directives"
table MODULE | tr -d '\n' | grep -oE 'row\( *"[A-Z_]+"' | grep -oE '[A-Z_]+"' | grep -oE '[A-Z_]+' | grep -vE '^PACKAGE_' >"$scratch/offered-directives"
sed -n '/^\.Sh DIRECTIVES/,/^\.Sh VARIABLES/s/^\.It Cm //p' "$here/man/dkms.conf.5" | tr -d ' ' | tr ',' '\n' | sed 's/\[#\]$//' >"$scratch/man-directives"
offered dkms build --directive '' | tr -d = >"$scratch/bash-directives"
same 'directives: program, dkms.conf(5)' "$scratch/directives" "$scratch/man-directives"
same 'directives: program, bash' "$scratch/offered-directives" "$scratch/bash-directives"
# Arrays, and only arrays, are written with [#] there.
table MODULE | tr -d '\n' | sed 's/\(row\|old\)(/\n&/g' | grep 'Kind::Array' | grep -oE '"[A-Z_]+"' | tr -d '"' >"$scratch/arrays"
sed -n '/^\.Sh DIRECTIVES/,/^\.Sh VARIABLES/s/^\.It Cm //p' "$here/man/dkms.conf.5" | tr -d ' ' | tr ',' '\n' | sed -n 's/\[#\]$//p' >"$scratch/man-arrays"
same 'arrays: program, dkms.conf(5)' "$scratch/arrays" "$scratch/man-arrays"
# The sample with everything has all directives except obsolete ones and those that only administrators set.
{ grep -vE '^(CONFINE|CACHE$)' "$scratch/offered-directives"; printf 'PACKAGE_%s\n' NAME VERSION; } >"$scratch/current"
grep -oE '^[A-Z_]+' "$top/examples/6-everything/dkms.conf" >"$scratch/sample"
same 'directives: program, examples/6-everything' "$scratch/current" "$scratch/sample"
# framework.conf: the table of settings and the page.
table FRAMEWORK | tr -d '\n' | grep -oE 'row\( *"[a-z_0-9]+"' | grep -oE '[a-z_0-9]+"' | tr -d '"' >"$scratch/read-settings"
same 'settings: table, dkms-framework.conf(5)' "$scratch/read-settings" "$scratch/man-settings"

# --- the kinds of JSON lines
# The rows of `subject`: ("NAME", ...), and the result.
sed -nE 's/^ +Event::.* => \("([a-z-]+)", .*/\1/p; s/.*"event": "([a-z-]+)".*/\1/p' \
    "$top/crates/dkms/src/render/json.rs" >"$scratch/events"
{ sed -n '/^| `event` |/,/^$/p' "$top/docs/json-schema.md" | sed -nE 's/^\| `([a-z-]+)` \|.*/\1/p' | grep -vx event; echo result; } >"$scratch/doc-events"
same 'events: program, docs/json-schema.md' "$scratch/events" "$scratch/doc-events"

# --- exit codes
grep -oE '=> [0-9]+,' "$top/crates/dkms/src/exit.rs" | tr -dc '0-9\n' >"$scratch/codes"
sed -n '/^\.Sh EXIT STATUS/,/^\.El/s/^\.It //p' "$here/man/dkms.8" >"$scratch/man-codes"
same 'exit codes: program, dkms(8)' "$scratch/codes" "$scratch/man-codes"

# --- the width of documents; code blocks and the targets of links may be wider
for page in "$top"/*.md "$top"/{docs,docs/decisions,examples,tests}/*.md; do
    wide=$(awk '/^ *```/ { code = !code } { print code || /^    / ? "" : $0 }' "$page" | sed 's/](\S*)//g' |
        LC_ALL=C.UTF-8 grep -nE '^.{121}' | cut -d: -f1 | paste -sd ' ')
    if [[ -z $wide ]]; then ((++passed)); else ((++failed)); echo "FAILED: lines over 120 columns: ${page#"$top/"}: $wide"; fi
done

# --- documents name existing files, and architecture.md names the files in which types are defined
while IFS='|' read -r page path; do
    if [[ -e $top/$path ]]; then ((++passed)); else ((++failed)); echo "FAILED: ${page#"$top/"} names $path, which is not there"; fi
done < <(grep -oE '`(crates|tests|packaging)/[A-Za-z0-9_./-]+`' "$top"/{README,CONTRIBUTING,SECURITY}.md "$top"/docs/{,decisions/}*.md |
    tr -d '`' | tr ':' '|' | grep -v NAME | sort -u)
while read -r type path; do
    if grep -qE "(enum|struct) $type\b" "$top/$path"; then ((++passed)); else ((++failed)); echo "FAILED: docs/architecture.md: no $type in $path"; fi
done < <(tr '\n' ' ' <"$top/docs/architecture.md" | tr -s ' ' | sed -nE 's/variant of `([A-Za-z]+)` in `([^`]+)`/\n@\1 \2\n/gp' | sed -n 's/^@//p')

echo "options: $passed passed, $failed failed"
((failed == 0))
