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

# The tables are written by a test from those of the program.
# BEGIN GENERATED: DKMS_REGENERATE=1 cargo test -p dkms generated_files
function __dkms_actions -d 'Every action'
    printf '%s\n' \
        add build install uninstall unbuild remove status autoinstall match config lint verify ready \
        pending fsck mktarball ldtarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk mkimage \
        mksysext generate_mok mok push pull matrix registry-key cache kernel_preinst kernel_postinst \
        kernel_prerm help
end

complete -c dkms -n 'not __dkms_action' -a add -d 'register a module'
complete -c dkms -n 'not __dkms_action' -a build -d 'build a module for kernels'
complete -c dkms -n 'not __dkms_action' -a install -d 'install a module for kernels; adds and builds it first'
complete -c dkms -n 'not __dkms_action' -a uninstall -d 'remove a module from kernels; it stays built'
complete -c dkms -n 'not __dkms_action' -a unbuild -d 'uninstall a module and delete what was built'
complete -c dkms -n 'not __dkms_action' -a remove -d 'unbuild a module; the last kernel unregisters it'
complete -c dkms -n 'not __dkms_action' -a status -d 'show the state of each module'
complete -c dkms -n 'not __dkms_action' -a autoinstall -d 'install every module with AUTOINSTALL=yes'
complete -c dkms -n 'not __dkms_action' -a match -d 'install for a kernel what another kernel has'
complete -c dkms -n 'not __dkms_action' -a config -d 'show how dkms understands a dkms.conf, as JSON'
complete -c dkms -n 'not __dkms_action' -a lint -d 'check a dkms.conf for mistakes'
complete -c dkms -n 'not __dkms_action' -a verify -d 'check whether a kernel would load modules'
complete -c dkms -n 'not __dkms_action' -a ready -d 'check whether a kernel is safe to boot next'
complete -c dkms -n 'not __dkms_action' -a pending -d 'list modules that are not installed yet, and why'
complete -c dkms -n 'not __dkms_action' -a fsck -d 'check the tree and the kernels\' modules, and repair'
complete -c dkms -n 'not __dkms_action' -a mktarball -d 'write an archive of a module'
complete -c dkms -n 'not __dkms_action' -a ldtarball -d 'load a module from an archive or package'
complete -c dkms -n 'not __dkms_action' -a mkdeb -d 'write a Debian package of a module'
complete -c dkms -n 'not __dkms_action' -a mkdsc -d 'write a Debian source package of a module'
complete -c dkms -n 'not __dkms_action' -a mkbmdeb -d 'write Debian packages of built modules'
complete -c dkms -n 'not __dkms_action' -a mkrpm -d 'write an RPM package of a module'
complete -c dkms -n 'not __dkms_action' -a mkkmp -d 'write a source package of a SUSE kernel module package'
complete -c dkms -n 'not __dkms_action' -a mkdriverdisk -d 'write a driver disk for the installers of Fedora and RHEL'
complete -c dkms -n 'not __dkms_action' -a mkimage -d 'write container images of built modules, as KMM loads them'
complete -c dkms -n 'not __dkms_action' -a mksysext -d 'write a system extension of built modules'
complete -c dkms -n 'not __dkms_action' -a generate_mok -d 'create the signing key if there is none'
complete -c dkms -n 'not __dkms_action' -a mok -d 'show, enroll or rotate the signing key'
complete -c dkms -n 'not __dkms_action' -a push -d 'publish builds in a registry'
complete -c dkms -n 'not __dkms_action' -a pull -d 'fetch builds from a registry into the cache'
complete -c dkms -n 'not __dkms_action' -a matrix -d 'list the builds that the registry lacks'
complete -c dkms -n 'not __dkms_action' -a registry-key -d 'create the key that signs published builds'
complete -c dkms -n 'not __dkms_action' -a cache -d 'show or clear the cache of builds'
complete -c dkms -n 'not __dkms_action' -a kernel_preinst -d 'for package scripts: before a kernel is unpacked'
complete -c dkms -n 'not __dkms_action' -a kernel_postinst -d 'for package scripts: after a kernel is installed'
complete -c dkms -n 'not __dkms_action' -a kernel_prerm -d 'for package scripts: before a kernel is removed'
complete -c dkms -n 'not __dkms_action' -a help -d 'print help, for one action if one is given'

complete -c dkms -n '__dkms_action uninstall unbuild remove status match verify fsck mktarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk mkimage mksysext push pull' -a '(__dkms_packages)'
complete -c dkms -n '__dkms_action add build install config lint' -a '(__dkms_sources)'
complete -c dkms -n '__dkms_action add build install config lint verify ldtarball' -F
complete -c dkms -n '__dkms_action mok; and not __fish_seen_subcommand_from status enroll rotate' -a 'status enroll rotate'
complete -c dkms -n '__dkms_action registry-key; and not __fish_seen_subcommand_from generate' -a 'generate'
complete -c dkms -n '__dkms_action cache; and not __fish_seen_subcommand_from show size clear why' -a 'show size clear why'
complete -c dkms -n '__dkms_action help' -a '(__dkms_actions)'

complete -c dkms -n 'not __dkms_action; or __dkms_action add build install uninstall unbuild remove status match config lint verify fsck mktarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk mkimage mksysext push pull cache' -s m -l module -x -a '(__dkms_sources)' -d 'The module, or module and version'
complete -c dkms -n 'not __dkms_action; or __dkms_action add build install uninstall unbuild remove status config lint verify fsck mktarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk mkimage mksysext push pull cache' -s v -x -a '(__dkms_packages | string replace -r ".*/" "")' -d 'The version of the module'
complete -c dkms -n 'not __dkms_action; or __dkms_action build install uninstall unbuild remove status autoinstall match config lint verify ready pending fsck mktarball ldtarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk mkimage mksysext mok push pull matrix cache kernel_preinst kernel_postinst kernel_prerm' -s k -l kernelver -x -a '(__dkms_kernels)' -d 'The kernel'
complete -c dkms -n 'not __dkms_action; or __dkms_action build install uninstall unbuild remove status autoinstall match config lint verify ready pending fsck mktarball ldtarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk mkimage mksysext push pull matrix cache kernel_preinst kernel_postinst kernel_prerm' -s a -l arch -x -a '(uname -m)' -d 'The architecture'
complete -c dkms -n '__dkms_action autoinstall pull kernel_postinst' -l all-kernels -d 'Every kernel that has headers'
complete -c dkms -n '__dkms_action uninstall unbuild remove mktarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk mkimage mksysext push' -l all -d 'Every kernel that the module is built for'
complete -c dkms -n '__dkms_action match' -l templatekernel -x -a '(__dkms_kernels)' -d 'The kernel whose installed modules are matched'
complete -c dkms -n '__dkms_action add build install config lint cache' -s c -r -F -d 'Use this dkms.conf instead of the module\'s'
complete -c dkms -n '__dkms_action add build install config cache' -l directive -x -d 'Override a directive of dkms.conf'
complete -c dkms -n '__dkms_action config' -l fingerprint -d 'Print the inputs of a build, one a line, and their digest'
complete -c dkms -n '__dkms_action build install config cache' -l kernelsourcedir -x -a '(__fish_complete_directories)' -d 'The kernel\'s headers'
complete -c dkms -n '__dkms_action build install config cache' -l config -r -F -d 'The kernel\'s configuration'
complete -c dkms -n '__dkms_action build install autoinstall match kernel_postinst' -s j -x -d 'How many jobs may run at once; 0 means no limit'
complete -c dkms -n '__dkms_action add build install uninstall unbuild remove autoinstall match ldtarball mkimage mksysext mok kernel_postinst' -l force -d 'Override safety checks'
complete -c dkms -n '__dkms_action build install autoinstall match kernel_postinst' -l no-cache -d 'Neither use nor fill the cache of builds'
complete -c dkms -n '__dkms_action build install autoinstall match push pull matrix kernel_postinst' -l registry -x -d 'Use this registry of builds instead of those of framework.conf'
complete -c dkms -n '__dkms_action build install autoinstall match kernel_postinst' -l prebuilt -x -d 'Whether builds of a registry are used'
complete -c dkms -n '__dkms_action add build install uninstall unbuild remove autoinstall match fsck mktarball ldtarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk mkimage mksysext generate_mok mok kernel_preinst kernel_postinst kernel_prerm' -l lock-timeout -x -d 'How long to wait for another dkms'
complete -c dkms -n '__dkms_action build install autoinstall match mok kernel_postinst' -l mok-signing-key -r -F -d 'Sign with this private key'
complete -c dkms -n '__dkms_action build install autoinstall match mok kernel_postinst' -l mok-certificate -r -F -d 'The certificate that belongs to --mok-signing-key'
complete -c dkms -n '__dkms_action install autoinstall match kernel_postinst' -l force-version-override -d 'Do not compare versions with those of modules that the kernel already has'
complete -c dkms -n '__dkms_action install uninstall unbuild remove autoinstall match kernel_preinst kernel_postinst kernel_prerm' -l no-depmod -d 'Do not run depmod(8)'
complete -c dkms -n '__dkms_action install autoinstall match kernel_postinst' -l modprobe-on-install -d 'Load newly installed modules that this machine\'s hardware needs'
complete -c dkms -n '__dkms_action install autoinstall match kernel_postinst' -l symlink-modules -d 'Install symbolic links instead of copies'
complete -c dkms -n '__dkms_action add install remove' -l rpm_safe_upgrade -d 'For the scriptlets of RPM packages'
complete -c dkms -n '__dkms_action fsck' -l repair -d 'Repair what is safe to repair'
complete -c dkms -n '__dkms_action lint' -l fix -d 'Fix in the file what is safe to fix'
complete -c dkms -n '__dkms_action add build install uninstall unbuild remove autoinstall match lint fsck mktarball ldtarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk mkimage mksysext generate_mok mok cache kernel_preinst kernel_postinst kernel_prerm' -l dry-run -d 'Print step by step what would be done, and do not change anything'
complete -c dkms -n '__dkms_action add mktarball ldtarball mkdeb mkdsc mkbmdeb mkrpm mkkmp mkdriverdisk' -l archive -r -F -d 'The archive or package to write or to load'
complete -c dkms -n '__dkms_action mktarball mkdeb mkdsc mkrpm' -l binaries-only -d 'Leave out the sources'
complete -c dkms -n '__dkms_action mktarball mkdeb mkdsc mkrpm' -l source-only -d 'Leave out the built modules'
complete -c dkms -n '__dkms_action mkkmp mkdriverdisk' -l spec -r -F -d 'The spec file to use'
complete -c dkms -n '__dkms_action mkimage mksysext' -s o -l output -r -F -d 'The image or system extension to write'
complete -c dkms -n '__dkms_action mkimage' -l image -x -d 'The name of the image'
complete -c dkms -n '__dkms_action mkimage' -l base -r -F -d 'The OCI layout whose image is the base'
complete -c dkms -n '__dkms_action mkimage' -l prefix -x -a '(__fish_complete_directories)' -d 'The directory above lib/modules in the image'
complete -c dkms -n '__dkms_action mkimage' -l kmm -d 'Print the resource Module for KMM, too'
complete -c dkms -n '__dkms_action mksysext' -l format -x -d 'The form: directory, squashfs or erofs'
complete -c dkms -n '__dkms_action mksysext' -l os -x -d 'The systems that may merge the extension'
complete -c dkms -n '__dkms_action mksysext' -l sysext-level -x -d 'The SYSEXT_LEVEL of these systems, instead of a version'
complete -c dkms -n '__dkms_action mksysext' -l load -d 'Load the modules of the extension at boot'
complete -c dkms -l dkmstree -x -a '(__fish_complete_directories)' -d 'Where dkms keeps its tree'
complete -c dkms -l sourcetree -x -a '(__fish_complete_directories)' -d 'Where sources are'
complete -c dkms -l installtree -x -a '(__fish_complete_directories)' -d 'Where kernels have their modules'
complete -c dkms -l root -x -a '(__fish_complete_directories)' -d 'Work on the system in this directory, such as an image or a chroot'
complete -c dkms -l json -d 'Print JSON instead of text'
complete -c dkms -s q -l quiet -d 'Print nothing, not even errors'
complete -c dkms -l verbose -d 'Print more'
complete -c dkms -l debug -d 'Print every event, on standard error'
complete -c dkms -s V -l version -d 'Print the version'
complete -c dkms -s h -l help -d 'Print help, for one action if one is given'
# END GENERATED
