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

function __dkms_action -d 'Has one of these actions been given? Without arguments: any'
    set -l given (commandline -opc)[2..]
    set -l wanted $argv
    if test (count $wanted) -eq 0
        set wanted add remove build unbuild install uninstall match autoinstall status config lint fsck verify ready pending \
            mktarball ldtarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk generate_mok mok \
            kernel_preinst kernel_postinst kernel_prerm
    end
    for word in $given
        contains -- $word $wanted; and return 0
    end
    return 1
end

complete -c dkms -f

complete -c dkms -n 'not __dkms_action' -a add -d 'Register sources'
complete -c dkms -n 'not __dkms_action' -a remove -d 'Uninstall, unbuild and forget'
complete -c dkms -n 'not __dkms_action' -a build -d 'Build'
complete -c dkms -n 'not __dkms_action' -a unbuild -d 'Delete what was built'
complete -c dkms -n 'not __dkms_action' -a install -d 'Install, building first where needed'
complete -c dkms -n 'not __dkms_action' -a uninstall -d 'Take out of the kernel, keep what was built'
complete -c dkms -n 'not __dkms_action' -a match -d 'Install what another kernel has'
complete -c dkms -n 'not __dkms_action' -a autoinstall -d 'Install all modules that ask for it'
complete -c dkms -n 'not __dkms_action' -a status -d 'Show what is added, built and installed'
complete -c dkms -n 'not __dkms_action' -a config -d 'Show what a dkms.conf comes to'
complete -c dkms -n 'not __dkms_action' -a lint -d 'Say what could be better in a dkms.conf'
complete -c dkms -n 'not __dkms_action' -a fsck -d 'Look for what is not in order, and repair it'
complete -c dkms -n 'not __dkms_action' -a verify -d 'Say whether the kernel would load a module'
complete -c dkms -n 'not __dkms_action' -a ready -d 'Say whether a kernel is safe to boot'
complete -c dkms -n 'not __dkms_action' -a pending -d 'List what waits, and for what'
complete -c dkms -n 'not __dkms_action' -a mktarball -d 'Pack into an archive'
complete -c dkms -n 'not __dkms_action' -a ldtarball -d 'Load from an archive'
complete -c dkms -n 'not __dkms_action' -a mkdeb -d 'Pack into a Debian package'
complete -c dkms -n 'not __dkms_action' -a mkdsc -d 'Pack into a Debian source package'
complete -c dkms -n 'not __dkms_action' -a mkbmdeb -d 'Pack what is built into Debian packages'
complete -c dkms -n 'not __dkms_action' -a mkrpm -d 'Pack into an rpm package'
complete -c dkms -n 'not __dkms_action' -a mkkmp -d 'Pack into a source package for SUSE'
complete -c dkms -n 'not __dkms_action' -a mkdriverdisk -d 'Pack what is built into an image for an installer'
complete -c dkms -n 'not __dkms_action' -a generate_mok -d 'Make the signing key'
complete -c dkms -n 'not __dkms_action' -a mok -d 'The signing key, and whether this machine trusts it'
complete -c dkms -n 'not __dkms_action' -a 'kernel_preinst kernel_postinst kernel_prerm' -d 'For package scripts'

complete -c dkms -n '__dkms_action remove unbuild uninstall match status fsck verify mktarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk' -a '(__dkms_packages)'
complete -c dkms -n '__dkms_action add build install config lint' -a '(__dkms_sources)'
complete -c dkms -n '__dkms_action add build install config lint verify ldtarball' -F
complete -c dkms -n '__dkms_action mok; and not __dkms_action status enroll rotate' -a 'status enroll rotate'

complete -c dkms -n 'not __dkms_action match autoinstall ready pending ldtarball generate_mok mok kernel_preinst kernel_postinst kernel_prerm' -s m -l module -x -a '(__dkms_sources)' -d 'Module/version'
complete -c dkms -n 'not __dkms_action match autoinstall ready pending ldtarball generate_mok mok kernel_preinst kernel_postinst kernel_prerm' -s v -x -a '(__dkms_packages | string replace -r ".*/" "")' -d 'Version'
complete -c dkms -n 'not __dkms_action add generate_mok' -s k -l kernelver -x -a '(__dkms_kernels)' -d Kernel
complete -c dkms -n 'not __dkms_action add generate_mok mok' -s a -l arch -x -a '(uname -m)' -d Architecture
complete -c dkms -n '__dkms_action add build install config lint' -s c -r -F -d 'Use this dkms.conf'
complete -c dkms -n '__dkms_action build install match autoinstall kernel_preinst kernel_postinst kernel_prerm' -s j -x -d 'Parallel jobs, 0 without limit'
complete -c dkms -n '__dkms_action build install config' -l config -r -F -d 'Configuration of the kernel'
complete -c dkms -n '__dkms_action build install config' -l kernelsourcedir -x -a '(__fish_complete_directories)' -d 'Headers of the kernel'
complete -c dkms -n '__dkms_action add build install config' -l directive -x -d 'Override a directive (NAME=value)'
complete -c dkms -l dkmstree -x -a '(__fish_complete_directories)' -d 'Where dkms keeps what it builds'
complete -c dkms -l sourcetree -x -a '(__fish_complete_directories)' -d 'Where the sources are'
complete -c dkms -l installtree -x -a '(__fish_complete_directories)' -d 'Where kernels have their modules'
complete -c dkms -l root -x -a '(__fish_complete_directories)' -d 'Work on the system in a directory'
complete -c dkms -l mok-signing-key -r -F -d 'Sign with this key'
complete -c dkms -l mok-certificate -r -F -d 'The certificate of that key'
complete -c dkms -n '__dkms_action mktarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk ldtarball add' -l archive -r -F -d Archive
complete -c dkms -n '__dkms_action mktarball mkdeb mkdsc mkrpm' -l binaries-only -d 'Without sources'
complete -c dkms -n '__dkms_action mktarball mkdeb mkdsc mkrpm' -l source-only -d 'Without built modules'
complete -c dkms -n '__dkms_action mkkmp mkdriverdisk' -l spec -r -F -d 'Spec file'
complete -c dkms -n '__dkms_action fsck' -l repair -d 'Repair what is safe'
complete -c dkms -n '__dkms_action lint' -l fix -d 'Mend what is safe'
complete -c dkms -n '__dkms_action match' -l templatekernel -x -a '(__dkms_kernels)' -d 'Kernel to take after'
complete -c dkms -n '__dkms_action remove unbuild uninstall mktarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk' -l all -d 'For every kernel'
complete -c dkms -n '__dkms_action add build install match autoinstall ldtarball mok' -l force -d 'Do it again, whatever is there'
complete -c dkms -n '__dkms_action install match autoinstall' -l force-version-override -d 'Install over a newer module'
complete -c dkms -n '__dkms_action install match autoinstall' -l modprobe-on-install -d 'Load the modules when installed'
complete -c dkms -n '__dkms_action install match autoinstall' -l symlink-modules -d 'Link instead of copying'
complete -c dkms -n '__dkms_action install uninstall unbuild remove match autoinstall' -l no-depmod -d 'Do not run depmod'
complete -c dkms -n '__dkms_action add install remove' -l rpm_safe_upgrade -d 'Part of an RPM transaction'
complete -c dkms -l dry-run -d 'Show what would be done'
complete -c dkms -n '__dkms_action autoinstall' -l all-kernels -d 'Every kernel with headers'
complete -c dkms -l lock-timeout -x -d 'Seconds to wait for another dkms'
complete -c dkms -l json -d 'Machine-readable output'
complete -c dkms -l verbose -d 'Show commands and their output'
complete -c dkms -l debug -d 'Show everything'
complete -c dkms -s q -l quiet -d 'Say nothing'
complete -c dkms -s V -l version -d 'Show the version'
complete -c dkms -s h -l help -d 'Show help'
