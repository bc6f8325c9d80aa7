//! Names that have a meaning in bash, or in dkms 3's own shell, in the second pass.

/// Built-in commands and reserved words of bash 5, from `help`.
const BASH: &str = "\
    ! . : [ [[ ]] alias bg bind break builtin caller case cd command compgen complete compopt continue \
    coproc declare dirs disown do done echo elif else enable esac eval exec exit export false fc fg fi for \
    function getopts hash help history if in jobs kill let local logout mapfile popd printf pushd pwd read \
    readarray readonly return select set shift shopt source suspend test then time times trap true type \
    typeset ulimit umask unalias unset until wait while { } _";

/// Functions of dkms 3 whose names are not lower-case words with underscores.
const DKMS: &str = "VER CP die diewarn warn error deprecated autoinstall on_exit distro_version main";

/// Whether a command with this name could change a variable or end the shell; `true` if in doubt.
pub(crate) fn is_builtin(name: &str) -> bool {
    let function = name.contains('_') && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    function || [BASH, DKMS].iter().any(|names| names.split(' ').any(|known| known == name))
}
