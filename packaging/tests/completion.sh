#!/bin/bash
# Completes command lines with completions/dkms.bash in real bash, with and without the bash-completion
# library, against a fake "dkms status". zsh and fish, if they are installed, must then offer the same for
# every action.
here=$(cd "$(dirname "$0")/.." && pwd)
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
cat >"$bin/dkms" <<'FAKE'
#!/bin/sh
[ "$1" = status ] || exit 2
echo 'hello/1.0, 6.1.0-9, x86_64: installed (Original modules exist)'
echo 'hello/1.0, 6.1.0-10, x86_64: built'
echo 'hello/2.0: added'
echo 'zfs/2.1.11: broken'
echo 'kmod, 3, 6.1.0-9, x86_64: installed-weak from 6.1.0-8'
FAKE
chmod +x "$bin/dkms"
PATH=$bin:$PATH
completions=$bin/completions
mkdir "$completions"
"$here/completions/assemble" bash >"$completions/dkms.bash"
"$here/completions/assemble" zsh >"$completions/_dkms"
"$here/completions/assemble" fish >"$completions/dkms.fish"
passed=0 failed=0

verdict() { # TITLE EXPECTED GOT
    if [[ $2 == "$3" ]]; then
        ((++passed))
    else
        ((++failed))
        printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
    fi
}

# complete_line WORD ...: prints the completions of bash for the last word of the command line.
complete_line() {
    bash --norc --noprofile -c '
        [[ ! $1 ]] || source "$1"
        shift; source "$1"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        _dkms dkms "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}" | sort -u | paste -sd " "' - "$library" "$completions/dkms.bash" "$@" 2>&1
}
offers() { # EXPECTED WORD ...
    local expected=$1
    shift
    verdict "[${library##*/}] $*" "$expected" "$(complete_line "$@")"
}

for library in '' /usr/share/bash-completion/bash_completion; do
    [[ -z $library || -r $library ]] || { echo "skipped: no bash-completion library here"; continue; }
    offers 'unbuild uninstall' dkms un
    offers 'kernel_hold kernel_postinst kernel_preinst kernel_prerm' dkms help kernel
    offers 'help' dkms he
    offers 'kernel_hold kernel_postinst kernel_preinst kernel_prerm' dkms kernel
    offers 'hello/1.0 hello/2.0 zfs/2.1.11' dkms remove ''
    offers 'hello/1.0 hello/2.0' dkms remove hel
    offers 'hello/1.0 hello/2.0' dkms status -m h
    offers '1.0 2.0' dkms status -m hello -v ''
    offers '2.1.11' dkms status -m zfs -v ''
    offers '--all --arch' dkms remove --a
    offers '--arch --archive' dkms ldtarball --a
    offers '--all' dkms mktarball --al
    offers '--lock-timeout' dkms build --lo
    # Its value is not an action either.
    offers '60 600' dkms build --lock-timeout 6
    offers '' dkms build --all
    offers '--json' dkms --j
    offers 'BUILD_EXCLUSIVE_KERNEL= BUILD_EXCLUSIVE_KERNEL_MAX= BUILD_EXCLUSIVE_KERNEL_MIN=' dkms build --directive BUILD_EXCLUSIVE_K
    offers "$(uname -m)" dkms build -a ''
    # An action's name as the value of an option is not an action.
    offers 'status' dkms -m status sta
    for dir in /lib/modules/*/; do
        dir=${dir%/} dir=${dir##*/}
        [[ $dir != '*' ]] || continue
        offers "$dir" dkms build -k "$dir"
        offers "$dir" dkms match --templatekernel "$dir"
    done
done

# --- zsh and fish: for each action, the same options and the same operands as bash offers
mkdir "$bin/empty"
cd "$bin/empty" || exit 1
library=''
lines=()
for action in $(bash -c 'source "$1" 2>/dev/null; __dkms_tables; echo $actions' - "$completions/dkms.bash"); do
    lines+=("dkms $action -" "dkms $action hel")
done
lines+=('dkms un' 'dkms kernel' 'dkms -' 'dkms mok e' 'dkms mok status --f' 'dkms help mkd' 'dkms lint --f' 'dkms -m hello/1.0 sta')
for line in "${lines[@]}"; do
    read -ra words <<<"$line"
    complete_line "${words[@]}"
done >"$bin/bash"
# Reads command lines, and prints the sorted completions of each on one line.
by_zsh() { timeout 120 zsh -f "$here/tests/complete.zsh" "$completions"; }
by_fish() {
    timeout 120 fish --no-config -c "source '$completions/dkms.fish'
        while read -l line; complete -C \$line | cut -f1 | sort -u | paste -sd ' '; end"
}
export LC_ALL=C
verdict 'zsh reads its file' '' "$(! command -v zsh >/dev/null || zsh -fn "$completions/_dkms" 2>&1)"
for shell in zsh fish; do
    command -v "$shell" >/dev/null || { echo "skipped: $shell is not installed"; continue; }
    printf '%s\n' "${lines[@]}" | "by_$shell" >"$bin/$shell" 2>"$bin/$shell.errors"
    verdict "[$shell] prints nothing else" '' "$(<"$bin/$shell.errors")"
    for i in "${!lines[@]}"; do
        verdict "[$shell] ${lines[i]}" "$(sed -n "$((i + 1))p" "$bin/bash")" "$(sed -n "$((i + 1))p" "$bin/$shell")"
    done
done
echo "completions: $passed passed, $failed failed"
((failed == 0))
