#!/bin/bash
# Completes command lines with completions/dkms.bash in real bash, against a made-up "dkms status"; then lets zsh and fish,
# where they are installed, read their files and complete once each.
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
passed=0 failed=0

verdict() { # TITLE EXPECTED GOT
    if [[ $2 == "$3" ]]; then
        ((++passed))
    else
        ((++failed))
        printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
    fi
}

# complete_line WORD ...: what bash offers for the last word of the command line.
complete_line() {
    bash --norc --noprofile -c '
        [[ ! $1 ]] || source "$1"
        shift; source "$1"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        _dkms dkms "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}" | sort -u | paste -sd " "' - "$library" "$here/completions/dkms.bash" "$@" 2>&1
}
offers() { # EXPECTED WORD ...
    local expected=$1
    shift
    verdict "[${library##*/}] $*" "$expected" "$(complete_line "$@")"
}

for library in '' /usr/share/bash-completion/bash_completion; do
    [[ -z $library || -r $library ]] || { echo "skipped: no bash-completion library here"; continue; }
    offers 'unbuild uninstall' dkms un
    offers 'kernel_postinst kernel_preinst kernel_prerm' dkms kernel
    offers 'hello/1.0 hello/2.0 zfs/2.1.11' dkms remove ''
    offers 'hello/1.0 hello/2.0' dkms remove hel
    offers 'hello/1.0 hello/2.0' dkms status -m h
    offers '1.0 2.0' dkms status -m hello -v ''
    offers '2.1.11' dkms status -m zfs -v ''
    offers '--all --arch' dkms remove --a
    offers '--arch --archive' dkms ldtarball --a
    offers '--all' dkms mktarball --al
    offers '--lock-timeout' dkms build --lo
    # Its value is no action either.
    offers '60 600' dkms build --lock-timeout 6
    offers '' dkms build --all
    offers '--json' dkms --j
    offers 'BUILD_EXCLUSIVE_KERNEL= BUILD_EXCLUSIVE_KERNEL_MAX= BUILD_EXCLUSIVE_KERNEL_MIN=' dkms build --directive BUILD_EXCLUSIVE_K
    offers "$(uname -m)" dkms build -a ''
    # An action's name as the value of an option is no action.
    offers 'status' dkms -m status sta
    for dir in /lib/modules/*/; do
        dir=${dir%/} dir=${dir##*/}
        [[ $dir != '*' ]] || continue
        offers "$dir" dkms build -k "$dir"
        offers "$dir" dkms match --templatekernel "$dir"
    done
done

if command -v zsh >/dev/null; then
    verdict 'zsh reads its file' '' "$(zsh -fn "$here/completions/_dkms" 2>&1)"
    got=$(zsh -f "$here/tests/complete.zsh" "$here/completions" 'dkms remove hel' 2>&1 | tr -d '\r')
    [[ $got == *hello/1.0*hello/2.0* ]] && got=right
    verdict 'zsh completes a package' right "$got"
else
    echo "skipped: zsh is not installed"
fi
if command -v fish >/dev/null; then
    fish_offers() { fish --no-config -c "source '$here/completions/dkms.fish'; complete -C '$2'" 2>&1 | cut -f1 | sort -u | paste -sd ' '; }
    verdict 'fish completes an action' 'unbuild uninstall' "$(fish_offers x 'dkms un')"
    verdict 'fish completes a package' 'hello/1.0 hello/2.0' "$(fish_offers x 'dkms remove hel')"
    verdict 'fish completes an option' '--all' "$(fish_offers x 'dkms remove --al')"
else
    echo "skipped: fish is not installed"
fi
echo "completions: $passed passed, $failed failed"
((failed == 0))
