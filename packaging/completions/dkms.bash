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

_dkms() {
    local cur prev words cword i action='' reply=()
    local actions='add remove build unbuild install uninstall match autoinstall status config lint fsck verify ready pending
        mktarball ldtarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk generate_mok mok kernel_preinst kernel_postinst kernel_prerm'
    local common='-q --quiet --verbose --debug --json --dry-run --lock-timeout --dkmstree --sourcetree --installtree --root
        --mok-signing-key --mok-certificate -h --help -V --version'

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
        case ${words[i]} in
        -[mvkacj] | --module | --kernelver | --arch | --templatekernel | --config | --archive | --spec | --kernelsourcedir | \
            --dkmstree | --sourcetree | --installtree | --root | --mok-signing-key | --mok-certificate | --directive | --lock-timeout) ((i++)) ;;
        -*) ;;
        *) [[ " ${actions//[[:space:]]/ } " == *" ${words[i]} "* ]] && [[ $action != mok ]] && action=${words[i]} ;;
        esac
    done

    case $prev in
    -m | --module)
        case $action in
        add | build | install) reply=($(compgen -W "$(__dkms_sources)" -- "$cur")) ;;
        *) reply=($(compgen -W "$(__dkms_packages)" -- "$cur")) ;;
        esac
        ;;
    -v) # versions of the package named by -m, or all
        local name=''
        for ((i = 1; i < cword; i++)); do
            [[ ${words[i]} == -m || ${words[i]} == --module ]] && name=${words[i + 1]}
        done
        reply=($(compgen -W "$(__dkms_packages | sed -n "s,^${name:-[^/]*}/,,p")" -- "$cur"))
        ;;
    -k | --kernelver | --templatekernel) reply=($(compgen -W "$(__dkms_kernels)" -- "$cur")) ;;
    -a | --arch) reply=($(compgen -W "$(uname -m)" -- "$cur")) ;;
    -c | --config | --archive | --spec | --mok-signing-key | --mok-certificate) compopt -o filenames 2>/dev/null; reply=($(compgen -f -- "$cur")) ;;
    --kernelsourcedir | --dkmstree | --sourcetree | --installtree | --root)
        compopt -o filenames 2>/dev/null
        reply=($(compgen -d -- "$cur"))
        ;;
    --lock-timeout) reply=($(compgen -W '0 60 600' -- "$cur")) ;;
    -j) reply=($(compgen -W "0 1 $(nproc 2>/dev/null)" -- "$cur")) ;;
    --directive)
        compopt -o nospace 2>/dev/null
        reply=($(compgen -S = -W 'AUTOINSTALL BUILD_DEPENDS BUILD_DEPENDS_REBUILD BUILD_EXCLUSIVE_ARCH BUILD_EXCLUSIVE_CONFIG
            BUILD_EXCLUSIVE_KERNEL BUILD_EXCLUSIVE_KERNEL_MAX BUILD_EXCLUSIVE_KERNEL_MIN BUILT_MODULE_LOCATION BUILT_MODULE_NAME
            CONFINE CONFINE_NETWORK CONFINE_WRITE DEST_MODULE_LOCATION DEST_MODULE_NAME MAKE MAKE_MATCH NO_WEAK_MODULES PATCH PATCH_MATCH POST_ADD POST_BUILD
            POST_INSTALL POST_REMOVE PRE_BUILD PRE_INSTALL STRIP' -- "$cur"))
        ;;
    *)
        if [[ -z $action && $cur != -* ]]; then
            reply=($(compgen -W "$actions" -- "$cur"))
        elif [[ $cur == -* ]]; then
            local options='-m -v -k -a --module --kernelver --arch'
            local build='-c -j --config --kernelsourcedir --directive --force'
            local install='--force-version-override --no-depmod --modprobe-on-install --symlink-modules'
            case $action in
            add) options='-m -v -c --module --archive --directive --rpm_safe_upgrade --force' ;;
            build) options="$options $build" ;;
            install) options="$options $build $install --rpm_safe_upgrade" ;;
            match) options="-k -a -j --kernelver --arch --templatekernel --force $install" ;;
            autoinstall) options="-k -a -j --kernelver --arch --all-kernels --force $install" ;;
            kernel_*) options='-k -a -j --kernelver --arch' ;;
            remove) options="$options --all --no-depmod --rpm_safe_upgrade" ;;
            unbuild | uninstall) options="$options --all --no-depmod" ;;
            mktarball | mkdeb | mkdsc | mkrpm) options="$options --all --archive --binaries-only --source-only" ;;
            mkbmdeb) options="$options --all --archive" ;;
            mkkmp | mkdriverdisk) options="$options --all --archive --spec" ;;
            fsck) options="$options --repair" ;;
            ready | pending) options='-k -a --kernelver --arch' ;;
            config) options="$options -c --config --kernelsourcedir --directive" ;;
            lint) options="$options -c --fix" ;;
            ldtarball) options='-k -a --kernelver --arch --archive --force' ;;
            generate_mok) options='' ;;
            mok) options='-k --kernelver --force' ;;
            esac
            reply=($(compgen -W "$options $common" -- "$cur"))
        else
            case $action in
            add | build | install | config | lint)
                compopt -o filenames 2>/dev/null
                reply=($(compgen -W "$(__dkms_sources)" -- "$cur") $(compgen -f -- "$cur"))
                ;;
            ldtarball) compopt -o filenames 2>/dev/null; reply=($(compgen -f -- "$cur")) ;;
            mok) reply=($(compgen -W 'status enroll rotate' -- "$cur")) ;;
            autoinstall | ready | pending | generate_mok | kernel_*) ;;
            *) reply=($(compgen -W "$(__dkms_packages)" -- "$cur")) ;;
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
