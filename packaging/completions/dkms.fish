# fish completion for dkms(8)

function __dkms_packages -d 'Registered module/version pairs'
    dkms status 2>/dev/null | string match -rg '^([^/,: ]*/[^,: ]*)[,:]' | sort -u
end

function __dkms_sources -d 'Registered pairs, and sources in /usr/src'
    __dkms_packages
    for conf in /usr/src/*-*/dkms.conf
        string replace -rf '^/usr/src/(.*)-([^-]*)/dkms.conf$' '$1/$2' -- $conf
    end
end

function __dkms_kernels -d 'Kernels that have a module directory'
    for dir in /lib/modules/*/
        path basename -- $dir
    end
end

function __dkms_action -d 'Is the action given one of these? Without arguments: is there one?'
    set -l actions (__dkms_actions)
    for word in (commandline -opc)[2..]
        if contains -- $word $actions
            test (count $argv) -eq 0; or contains -- $word $argv
            return
        end
    end
    return 1
end

complete -c dkms -f

# The tables of actions and options, from those of the program.
# TABLES
