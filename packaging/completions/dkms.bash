# bash completion for dkms(8)                                              -*- shell-script -*-

# The first word of each status line is M/V (a comma or a colon follows), or M, V for weak links.
__dkms_packages() {
    dkms status 2>/dev/null | sed -n 's/^\([^/,: ]*\/[^,: ]*\)[,:].*/\1/p' | sort -u
}

# Registered packages, and NAME/VERSION of sources in /usr/src that are not registered yet.
__dkms_sources() {
    local conf
    __dkms_packages
    for conf in /usr/src/*-*/dkms.conf; do
        [[ -r $conf ]] || continue
        conf=${conf%/dkms.conf} conf=${conf##*/}
        echo "${conf%-*}/${conf##*-}"
    done
}

__dkms_kernels() {
    local dir
    for dir in /lib/modules/*/; do
        [[ -d $dir ]] && dir=${dir%/} && echo "${dir##*/}"
    done
}

# The tables of actions and options, from those of the program. They set variables of their caller.
# shellcheck disable=SC2034
# TABLES

_dkms() {
    local cur prev words cword i actions common options value operands action='' reply=()
    __dkms_tables
    actions=${actions//[[:space:]]/ }

    # "=" stays part of a word, so that --option=value is one word whatever COMP_WORDBREAKS holds.
    if declare -F _comp_initialize >/dev/null; then
        _comp_initialize -n =: -- "$@" || return
    elif declare -F _init_completion >/dev/null; then
        _init_completion -n =: || return
    else
        cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    fi
    local prefix=''
    if [[ $cur == --*=* ]]; then
        prev=${cur%%=*} prefix=$prev= cur=${cur#*=}
    fi
    for ((i = 1; i < cword; i++)); do
        # The word after an option that takes a value is no action, whatever it looks like.
        __dkms_value "${words[i]}"
        if [[ $value ]]; then
            ((i++))
        elif [[ -z $action && ${words[i]} != -* && " $actions " == *" ${words[i]} "* ]]; then
            action=${words[i]}
        fi
    done
    __dkms_options "$action"
    __dkms_operands "$action"
    __dkms_value "$prev"

    case $value in
    module)
        case $operands in
        source) reply=($(compgen -W "$(__dkms_sources)" -- "$cur")) ;;
        *) reply=($(compgen -W "$(__dkms_packages)" -- "$cur")) ;;
        esac
        ;;
    version) # versions of the package named by -m, or all
        local name=''
        for ((i = 1; i < cword; i++)); do
            [[ ${words[i]} == -m || ${words[i]} == --module ]] && name=${words[i + 1]}
        done
        reply=($(compgen -W "$(__dkms_packages | sed -n "s,^${name:-[^/]*}/,,p")" -- "$cur"))
        ;;
    kernel) reply=($(compgen -W "$(__dkms_kernels)" -- "$cur")) ;;
    arch) reply=($(compgen -W "$(uname -m)" -- "$cur")) ;;
    file) compopt -o filenames 2>/dev/null; reply=($(compgen -f -- "$cur")) ;;
    directory) compopt -o filenames 2>/dev/null; reply=($(compgen -d -- "$cur")) ;;
    seconds) reply=($(compgen -W '0 60 600' -- "$cur")) ;;
    jobs) reply=($(compgen -W "0 1 $(nproc 2>/dev/null)" -- "$cur")) ;;
    directive)
        compopt -o nospace 2>/dev/null
        reply=($(compgen -S = -W 'AUTOINSTALL BUILD_DEPENDS BUILD_DEPENDS_REBUILD BUILD_EXCLUSIVE_ARCH BUILD_EXCLUSIVE_CONFIG
            BUILD_EXCLUSIVE_KERNEL BUILD_EXCLUSIVE_KERNEL_MAX BUILD_EXCLUSIVE_KERNEL_MIN BUILT_MODULE_LOCATION BUILT_MODULE_NAME
            CACHE CONFINE CONFINE_NETWORK CONFINE_WRITE DEST_MODULE_LOCATION DEST_MODULE_NAME MAKE MAKE_MATCH
            NO_WEAK_MODULES PATCH PATCH_MATCH POST_ADD POST_BUILD POST_INSTALL POST_REMOVE PRE_BUILD PRE_INSTALL STRIP' -- "$cur"))
        ;;
    text) ;;
    *)
        if [[ $cur == -* ]]; then
            reply=($(compgen -W "$options $common" -- "$cur"))
        elif [[ -z $action ]]; then
            reply=($(compgen -W "$actions" -- "$cur"))
        else
            case $operands in
            package) reply=($(compgen -W "$(__dkms_packages)" -- "$cur")) ;;
            package-or-file)
                compopt -o filenames 2>/dev/null
                reply=($(compgen -W "$(__dkms_packages)" -- "$cur") $(compgen -f -- "$cur"))
                ;;
            source)
                compopt -o filenames 2>/dev/null
                reply=($(compgen -W "$(__dkms_sources)" -- "$cur") $(compgen -f -- "$cur"))
                ;;
            file) compopt -o filenames 2>/dev/null; reply=($(compgen -f -- "$cur")) ;;
            *) reply=($(compgen -W "$operands" -- "$cur")) ;;
            esac
        fi
        ;;
    esac
    # readline replaces only what follows the "=", unless "=" does not break words there.
    if [[ $prefix && $COMP_WORDBREAKS != *=* ]]; then
        reply=("${reply[@]/#/$prefix}")
    fi
    COMPREPLY=("${reply[@]}")
} && complete -F _dkms dkms
