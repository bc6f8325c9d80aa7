#!/bin/bash
# Every option and action of `dkms --help` is in dkms(8) and in the three completions, and nothing else is; every setting
# of framework.conf is in its manual page and in the file itself; every directive of dkms.conf in its page, in a sample, and
# offered by bash; every kind of JSON line in its table, every exit code in the manual. The program is $DKMS_BIN.
# shellcheck disable=SC2016 # dollars and backticks in patterns
here=$(cd "$(dirname "$0")/.." && pwd)
top=$here/..
bin=${DKMS_BIN:-$top/target/release/dkms}
[[ -x $bin ]] || { echo "skipped: options.sh needs the program, and $bin is not there"; exit 0; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
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

# --- what the program says
"$bin" --help >"$scratch/help"
sed -n '/^Options:/,/^$/p' "$scratch/help" | grep -oE '^ +(-[A-Za-z], )?-{1,2}[A-Za-z_-]+' | grep -oE -- '-{1,2}[A-Za-z_-]+' >"$scratch/options"
sed -n '/^Options:/,/^$/p' "$scratch/help" | grep -E '^ +-[^ ]*( [^ ]+)? <' | grep -oE '^ +(-[A-Za-z], )?-{1,2}[A-Za-z_-]+' |
    grep -oE -- '-{1,2}[A-Za-z_-]+' | sort -u >"$scratch/with-value"
sed -n '/^Actions:/,$p' "$scratch/help" | sed -n 's/^  \([a-z_]*\) .*/\1/p' >"$scratch/actions"

# --- dkms(8): the tags of its lists. "Fl q , -quiet": after a comma, the word is an option again, unless it is a macro.
tags() { # SECTION MACRO
    sed -n "/^\.S[hs] $1\$/,/^\.Sh /p" "$here/man/dkms.8" | sed -n 's/^\.It //p' | awk -v macro="$2" '{
        open = 0
        for (i = 1; i <= NF; i++) {
            if ($i == macro) open = 1
            else if ($i ~ /^[A-Z][a-z]$/) open = 0
            else if (open == 1 && $i != ",") { print $i; open = 2 }
            else if ($i == "," && open == 2) open = 1
        }
    }'
}
tags OPTIONS Fl | sed 's/^/-/' >"$scratch/man-options"
tags Actions Cm >"$scratch/man-actions"
same 'options: --help, dkms(8)' "$scratch/options" "$scratch/man-options"
same 'actions: --help, dkms(8)' "$scratch/actions" "$scratch/man-actions"

# --- bash: what it offers, for all actions together
offered() {
    bash --norc --noprofile -c 'source "$1"; shift; dkms() { :; }
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _dkms 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' - "$here/completions/dkms.bash" "$@"
}
while read -r action; do offered dkms "$action" -; done <"$scratch/actions" | grep . >"$scratch/bash-options"
offered dkms '' >"$scratch/bash-actions"
sed -n '/case ${words\[i\]} in/,/((i++))/p' "$here/completions/dkms.bash" | grep -oE -- '--[a-z_-]+|-\[[a-z]+\]' |
    sed -E 's/^-\[(.*)\]$/\1/; t split; b; :split; s/./-&\n/g' | grep . >"$scratch/bash-with-value"
same 'options: --help, bash' "$scratch/options" "$scratch/bash-options"
same 'actions: --help, bash' "$scratch/actions" "$scratch/bash-actions"
same 'options with a value: --help, bash' "$scratch/with-value" "$scratch/bash-with-value"

# --- zsh and fish: what is written there
grep -v '^ *#' "$here/completions/_dkms" | grep -oP "(?<=['{,*)])-{1,2}[A-Za-z_-]+(?=[][+=},])" >"$scratch/zsh-options"
sed -n '/^  actions=(/,/^  )/p' "$here/completions/_dkms" | sed -n "s/^ *'\([a-z_]*\):.*/\1/p" >"$scratch/zsh-actions"
same 'options: --help, zsh' "$scratch/options" "$scratch/zsh-options"
same 'actions: --help, zsh' "$scratch/actions" "$scratch/zsh-actions"
grep '^complete' "$here/completions/dkms.fish" | grep -oE -- ' -(l [a-z_-]+|s [A-Za-z])' | sed 's/^ -l /--/; s/^ -s /-/' >"$scratch/fish-options"
sed -n "s/^complete -c dkms -n 'not __dkms_action' -a '\{0,1\}\([a-z_ ]*\)'\{0,1\} -d .*/\1/p" "$here/completions/dkms.fish" | tr -s ' ' '\n' >"$scratch/fish-actions"
sed -n '/set wanted add/,/^ *end/p' "$here/completions/dkms.fish" | grep -oE '[a-z_]+' | grep -vxE 'set|wanted|end' >"$scratch/fish-known"
same 'options: --help, fish' "$scratch/options" "$scratch/fish-options"
same 'actions: --help, fish' "$scratch/actions" "$scratch/fish-actions"
same 'actions fish looks for' "$scratch/actions" "$scratch/fish-known"

# --- the settings
sed -n 's/^    pub \([a-z_]*\): Option<.*/\1/p' "$top/crates/dkms-conf/src/framework_conf.rs" >"$scratch/settings"
# Read by common.postinst, not by the program.
echo continue_on_error >>"$scratch/settings"
sed -n 's/^\.It Cm //p' "$here/man/dkms-framework.conf.5" | tr -d ' ' | tr ',' '\n' >"$scratch/man-settings"
sed -n 's/^#\([a-z_]*\)=.*/\1/p' "$here/framework.conf" >"$scratch/file-settings"
same 'settings: program, dkms-framework.conf(5)' "$scratch/settings" "$scratch/man-settings"
same 'settings: program, framework.conf' "$scratch/settings" "$scratch/file-settings"

# --- the directives of dkms.conf: the program's table, the page, what bash offers behind --directive
table() { sed -n "/^static $1/,/^];/p" "$top/crates/dkms-conf/src/directives.rs"; }
table MODULE | tr -d '\n' | grep -oE '(row|old)\( *"[A-Z_]+"' | grep -oE '[A-Z_]+"' | tr -d '"' >"$scratch/directives"
table MODULE | tr -d '\n' | grep -oE 'row\( *"[A-Z_]+"' | grep -oE '[A-Z_]+"' | grep -oE '[A-Z_]+' | grep -vE '^PACKAGE_' >"$scratch/offered-directives"
sed -n '/^\.Sh DIRECTIVES/,/^\.Sh VARIABLES/s/^\.It Cm //p' "$here/man/dkms.conf.5" | tr -d ' ' | tr ',' '\n' | sed 's/\[#\]$//' >"$scratch/man-directives"
offered dkms build --directive '' | tr -d = >"$scratch/bash-directives"
same 'directives: program, dkms.conf(5)' "$scratch/directives" "$scratch/man-directives"
same 'directives: program, bash' "$scratch/offered-directives" "$scratch/bash-directives"
# An array is written with [#] there, and nothing else is.
table MODULE | tr -d '\n' | sed 's/\(row\|old\)(/\n&/g' | grep 'Kind::Array' | grep -oE '"[A-Z_]+"' | tr -d '"' >"$scratch/arrays"
sed -n '/^\.Sh DIRECTIVES/,/^\.Sh VARIABLES/s/^\.It Cm //p' "$here/man/dkms.conf.5" | tr -d ' ' | tr ',' '\n' | sed -n 's/\[#\]$//p' >"$scratch/man-arrays"
same 'arrays: program, dkms.conf(5)' "$scratch/arrays" "$scratch/man-arrays"
# The sample with everything has all that is not of old.
# What a package's builds may do is not the package's to say, so its sample has nothing of that.
{ grep -v '^CONFINE' "$scratch/offered-directives"; printf 'PACKAGE_%s\n' NAME VERSION; } >"$scratch/current"
grep -oE '^[A-Z_]+' "$top/examples/6-everything/dkms.conf" >"$scratch/sample"
same 'directives: program, examples/6-everything' "$scratch/current" "$scratch/sample"
# framework.conf: the table that reads it against the page.
table FRAMEWORK | tr -d '\n' | grep -oE 'row\( *"[a-z_]+"' | grep -oE '[a-z_]+"' | tr -d '"' >"$scratch/read-settings"
same 'settings: table, dkms-framework.conf(5)' "$scratch/read-settings" "$scratch/man-settings"

# --- the kinds of JSON lines
sed -nE 's/.*put\("event", "([a-z-]+)".*/\1/p; s/.*"event": "([a-z-]+)".*/\1/p; s/.*(of|on_kernel|with_path|reasoned)\(&mut put, "([a-z-]+)".*/\2/p' \
    "$top/crates/dkms/src/render/json.rs" | grep -vx other >"$scratch/events"
{ sed -n '/^| `event` |/,/^$/p' "$top/docs/json-schema.md" | sed -nE 's/^\| `([a-z-]+)` \|.*/\1/p' | grep -vx event; echo result; } >"$scratch/doc-events"
same 'events: program, docs/json-schema.md' "$scratch/events" "$scratch/doc-events"

# --- exit codes
grep -oE '=> [0-9]+,' "$top/crates/dkms/src/exit.rs" | tr -dc '0-9\n' >"$scratch/codes"
sed -n '/^\.Sh EXIT STATUS/,/^\.El/s/^\.It //p' "$here/man/dkms.8" >"$scratch/man-codes"
same 'exit codes: program, dkms(8)' "$scratch/codes" "$scratch/man-codes"

echo "options: $passed passed, $failed failed"
((failed == 0))
