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

# The tables are written by a test from those of the program. They set variables of their caller.
# shellcheck disable=SC2034
# BEGIN GENERATED: DKMS_REGENERATE=1 cargo test -p dkms generated_files
# Sets actions, and common: the options of every action.
__dkms_tables() {
    actions='
        add build install uninstall unbuild remove status autoinstall match config lint verify ready
        pending fsck mktarball ldtarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk mkimage
        mksysext generate_mok mok push pull matrix registry-key cache kernel_preinst kernel_postinst
        kernel_prerm help'
    common='--dkmstree --sourcetree --installtree --root --json -q --quiet --verbose --debug -V --version -h --help'
}

# Sets options: those of the action $1.
__dkms_options() {
    case $1 in
    add)
        options='
            -m --module -v -c --directive --force --lock-timeout --rpm_safe_upgrade --dry-run
            --archive'
        ;;
    build)
        options='
            -m --module -v -k --kernelver -a --arch -c --directive --kernelsourcedir --config -j
            --force --no-cache --registry --prebuilt --lock-timeout --mok-signing-key
            --mok-certificate --dry-run'
        ;;
    install)
        options='
            -m --module -v -k --kernelver -a --arch -c --directive --kernelsourcedir --config -j
            --force --no-cache --registry --prebuilt --lock-timeout --mok-signing-key
            --mok-certificate --force-version-override --no-depmod --modprobe-on-install
            --symlink-modules --rpm_safe_upgrade --dry-run'
        ;;
    uninstall)
        options='
            -m --module -v -k --kernelver -a --arch --all --force --lock-timeout --no-depmod
            --dry-run'
        ;;
    unbuild)
        options='
            -m --module -v -k --kernelver -a --arch --all --force --lock-timeout --no-depmod
            --dry-run'
        ;;
    remove)
        options='
            -m --module -v -k --kernelver -a --arch --all --force --lock-timeout --no-depmod
            --rpm_safe_upgrade --dry-run'
        ;;
    status)
        options='
            -m --module -v -k --kernelver -a --arch'
        ;;
    autoinstall)
        options='
            -k --kernelver -a --arch --all-kernels -j --force --no-cache --registry --prebuilt
            --lock-timeout --mok-signing-key --mok-certificate --force-version-override --no-depmod
            --modprobe-on-install --symlink-modules --dry-run'
        ;;
    match)
        options='
            -m --module -k --kernelver -a --arch --templatekernel -j --force --no-cache --registry
            --prebuilt --lock-timeout --mok-signing-key --mok-certificate --force-version-override
            --no-depmod --modprobe-on-install --symlink-modules --dry-run'
        ;;
    config)
        options='
            -m --module -v -k --kernelver -a --arch -c --directive --fingerprint --kernelsourcedir
            --config'
        ;;
    lint)
        options='
            -m --module -v -k --kernelver -a --arch -c --fix --dry-run'
        ;;
    verify)
        options='
            -m --module -v -k --kernelver -a --arch'
        ;;
    ready)
        options='
            -k --kernelver -a --arch'
        ;;
    pending)
        options='
            -k --kernelver -a --arch'
        ;;
    fsck)
        options='
            -m --module -v -k --kernelver -a --arch --lock-timeout --repair --dry-run'
        ;;
    mktarball)
        options='
            -m --module -v -k --kernelver -a --arch --all --lock-timeout --dry-run --archive
            --binaries-only --source-only'
        ;;
    ldtarball)
        options='
            -k --kernelver -a --arch --force --lock-timeout --dry-run --archive'
        ;;
    mkdeb)
        options='
            -m --module -v -k --kernelver -a --arch --all --lock-timeout --dry-run --archive
            --binaries-only --source-only'
        ;;
    mkdsc)
        options='
            -m --module -v -k --kernelver -a --arch --all --lock-timeout --dry-run --archive
            --binaries-only --source-only'
        ;;
    mkbmdeb)
        options='
            -m --module -v -k --kernelver -a --arch --all --lock-timeout --dry-run --archive'
        ;;
    mkrpm)
        options='
            -m --module -v -k --kernelver -a --arch --all --lock-timeout --dry-run --archive
            --binaries-only --source-only'
        ;;
    mkkmp)
        options='
            -m --module -v -k --kernelver -a --arch --all --lock-timeout --dry-run --archive --spec'
        ;;
    mkdriverdisk)
        options='
            -m --module -v -k --kernelver -a --arch --all --lock-timeout --dry-run --archive --spec'
        ;;
    mkimage)
        options='
            -m --module -v -k --kernelver -a --arch --all --force --lock-timeout --dry-run -o
            --output --image --base --prefix --kmm'
        ;;
    mksysext)
        options='
            -m --module -v -k --kernelver -a --arch --all --force --lock-timeout --dry-run -o
            --output --format --os --sysext-level --load'
        ;;
    generate_mok)
        options='
            --lock-timeout --dry-run'
        ;;
    mok)
        options='
            -k --kernelver --force --lock-timeout --mok-signing-key --mok-certificate --dry-run'
        ;;
    push)
        options='
            -m --module -v -k --kernelver -a --arch --all --registry'
        ;;
    pull)
        options='
            -m --module -v -k --kernelver -a --arch --all-kernels --registry'
        ;;
    matrix)
        options='
            -k --kernelver -a --arch --registry'
        ;;
    registry-key)
        options='
'
        ;;
    cache)
        options='
            -m --module -v -k --kernelver -a --arch -c --directive --kernelsourcedir --config
            --dry-run'
        ;;
    kernel_preinst)
        options='
            -k --kernelver -a --arch --lock-timeout --no-depmod --dry-run'
        ;;
    kernel_postinst)
        options='
            -k --kernelver -a --arch --all-kernels -j --force --no-cache --registry --prebuilt
            --lock-timeout --mok-signing-key --mok-certificate --force-version-override --no-depmod
            --modprobe-on-install --symlink-modules --dry-run'
        ;;
    kernel_prerm)
        options='
            -k --kernelver -a --arch --lock-timeout --no-depmod --dry-run'
        ;;
    help) options='' ;;
    *) options='-m --module -v -k --kernelver -a --arch' ;;
    esac
}

# Sets value: what the option $1 takes; empty if it takes nothing.
__dkms_value() {
    case $1 in
    -m | --module) value='module' ;;
    -v) value='version' ;;
    -k | --kernelver | --templatekernel) value='kernel' ;;
    -a | --arch) value='arch' ;;
    -c | --config | --mok-signing-key | --mok-certificate | --archive | --spec | -o | --output | --base) value='file' ;;
    --kernelsourcedir | --prefix | --dkmstree | --sourcetree | --installtree | --root) value='directory' ;;
    --directive) value='directive' ;;
    -j) value='jobs' ;;
    --lock-timeout) value='seconds' ;;
    --registry | --prebuilt | --image | --format | --os | --sysext-level | -d | --distro | --media | -r | --release | --legacy-postinst) value='text' ;;
    *) value='' ;;
    esac
}

# Sets operands: what the action $1 works on.
__dkms_operands() {
    case $1 in
    uninstall | unbuild | remove | status | match | fsck | mktarball | mkdeb | mkdsc | mkbmdeb | mkrpm | mkkmp | mkdriverdisk | push | pull) operands='package' ;;
    mkimage | mksysext) operands='package' ;;
    add | build | install | config | lint) operands='source' ;;
    verify) operands='package-or-file' ;;
    ldtarball) operands='file' ;;
    mok) operands='status enroll rotate' ;;
    registry-key) operands='generate' ;;
    cache) operands='show size clear why' ;;
    help) operands=$actions ;;
    *) operands='' ;;
    esac
}
# END GENERATED

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
            CONFINE CONFINE_NETWORK CONFINE_WRITE DEST_MODULE_LOCATION DEST_MODULE_NAME MAKE MAKE_MATCH NO_WEAK_MODULES PATCH PATCH_MATCH POST_ADD POST_BUILD
            POST_INSTALL POST_REMOVE PRE_BUILD PRE_INSTALL STRIP' -- "$cur"))
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
