//! The fallback: a bash program that evaluates a file as dkms 3 does, and the parser for its output.
//!
//! Run it as `bash --noprofile --norc -c PROGRAM dkms FILE ARGUMENTS...` with [`bash_arguments`]. FILE must
//! be an absolute path, the working directory empty (dkms 3 does not protect patterns from pathname
//! expansion), and stdin empty. Output of the file itself is discarded; standard output contains only
//! records.

use crate::directives::{Dialect, Directives, State};

/// The program, after the line that sets `__dkms_names` to the names of all directives. Its first argument is
/// the file, the others are `NAME=value` or `NAME[index]=value`.
///
/// Pass one sources the file in a subshell and echoes each known variable, without one trailing carriage
/// return and without quotes around the argument of echo, so that blanks are folded. Pass two evaluates those
/// lines in a shell that has not read the file.
///
/// Pass one has a trap because bash 5.2 replaces the subshell by the file's very last command if that is an
/// external command after `;`, `&&` or `||`; then nothing would be echoed. dkms 3 loses all directives of
/// such a file. This is one of the few intended differences.
///
/// Files call three of dkms 3's functions: `override_dest_module_location`, to know where a module will be;
/// `distro_version`; and `VER`, which pads numbers so that versions can be compared as strings.
///
/// Each inner step of pass one proves that it ended normally. Pass one itself ends with a mark, and the
/// output of pass two ends with an empty record. So an incomplete output is recognised, even if a process is
/// killed or cannot be created. The output consists of name, index and value, each terminated by NUL, for
/// every known variable that is set.
static PROGRAM: &str = r#"shopt -s extglob
override_dest_module_location() {
    builtin echo "${__dkms_destination:-$1}"
}
distro_version() {
    builtin echo "$running_distribution"
}
VER() {
    local left="$1" padded= digits
    while [[ $left =~ ^([^0-9]*)([0-9]+)(.*)$ ]]; do
        digits=${BASH_REMATCH[2]} left=${BASH_REMATCH[3]}
        case $digits in
            ?) digits=00$digits ;;
            ??) digits=0$digits ;;
        esac
        padded+=${BASH_REMATCH[1]}$digits
    done
    builtin echo "$padded$left"
}
__dkms_pass_one() {
    local __dkms_file="$1" __dkms_name __dkms_index __dkms_indices
    local -r CR=$'\r'
    set --
    trap : USR1
    builtin : >/dev/null || builtin exit 97
    . "$__dkms_file" >/dev/null
    for __dkms_name in "${__dkms_names[@]}"; do
        __dkms_indices=$(builtin eval builtin echo "\${!$__dkms_name[@]}" && builtin printf .)
        [[ $__dkms_indices == *. ]] || builtin exit 98
        for __dkms_index in ${__dkms_indices%$'\n.'}; do
            builtin eval builtin echo "$__dkms_name[$__dkms_index]=\\\"\${$__dkms_name[$__dkms_index]%\$CR}\\\"" || builtin exit 99
        done
    done
    builtin printf '#dkms'
}
__dkms_pass_two() {
    local __dkms_lines="$1"
    set --
    eval "$__dkms_lines"
}
__dkms_answer() {
    local -n __dkms_array
    local __dkms_index
    for __dkms_name in "${__dkms_names[@]}"; do
        declare -n __dkms_array="$__dkms_name"
        for __dkms_index in "${!__dkms_array[@]}"; do
            builtin printf '%s\0%s\0%s\0' "$__dkms_name" "$__dkms_index" "${__dkms_array[__dkms_index]}"
        done
    done
    builtin printf '\0\0\0'
}
for __dkms_given in "${@:2}"; do
    printf -v "${__dkms_given%%=*}" %s "${__dkms_given#*=}"
done
__dkms_lines=$(__dkms_pass_one "$1")
__dkms_status=$?
if [[ $__dkms_lines != *'#dkms' ]]; then
    builtin printf 'dkms: pass one ended with %s\n' "$__dkms_status" >&2
    builtin exit 96
fi
__dkms_pass_two "${__dkms_lines%'#dkms'}" >/dev/null
unset IFS
__dkms_answer
"#;

/// The name of the variable with the machine's destination for modules, for `override_dest_module_location`.
/// It is empty if DEST_MODULE_LOCATION decides.
pub const DESTINATION: &str = "__dkms_destination";

/// The bash program for a kind of file. The module's documentation describes how to run it.
pub fn bash_program(dialect: Dialect) -> String {
    let names: Vec<&str> = dialect.table().iter().map(|info| info.name).collect();
    format!("readonly -a __dkms_names=({})\n{PROGRAM}", names.join(" "))
}

/// The arguments after the file: the values that are known before the file is read, except those with an
/// invalid name.
pub fn bash_arguments(before: &State) -> Vec<String> {
    let variables = before.variables.iter().filter(|(name, _)| is_name(name));
    let variables = variables.map(|(name, value)| format!("{name}={value}"));
    let directives = before.directives.iter().filter(|(name, _, _)| is_name(name));
    let directives = directives.map(|(name, index, value)| format!("{name}[{index}]={value}"));
    variables.chain(directives).filter(|argument| !argument.contains('\0')).collect()
}

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BashError {
    /// `fork` failed.
    #[error("bash could not create a process: there are too many processes, or not enough memory")]
    NoProcess,
    /// The first pass had no standard output.
    #[error("/dev/null cannot be opened")]
    NoNullDevice,
    /// A signal ended the first pass.
    #[error("bash was killed by signal {0} while it evaluated the file")]
    KilledInFile(i32),
    /// A process of the second pass failed.
    #[error("a process of bash was killed or failed while it read the values")]
    LostProcess,
    /// The file contains `exit` or a similar command.
    #[error("the file ended the shell before its values were printed")]
    EndedEarly,
    /// A signal ended bash.
    #[error("bash was killed by signal {0}")]
    Killed(i32),
    /// Another exit code.
    #[error("bash exited with code {code} ({})", .message.as_deref().unwrap_or("without a message"))]
    Exited {
        /// The exit code.
        code: i32,
        /// The last line of its standard error.
        message: Option<String>,
    },
    /// The output is not text.
    #[error("a value is not UTF-8 text")]
    NotText(#[from] std::str::Utf8Error),
    /// The name of a record is not a variable name.
    #[error("the shell printed '{}', which is not a record", .0.escape_debug())]
    NotARecord(String),
    /// The index of a record is not a number.
    #[error("{name} has the index '{index}'")]
    Index {
        /// The directive.
        name: String,
        /// The index.
        index: String,
        /// Why it is not a number.
        source: std::num::ParseIntError,
    },
    /// There is more output after the last record.
    #[error("the shell printed more than its values")]
    Surplus,
}

/// Determines why an evaluation failed, from the exit code of bash and its standard error. `None` if bash
/// succeeded.
pub fn explain_failure(code: i32, errors: &str) -> Option<BashError> {
    if code == 0 {
        return None;
    }
    let forks = errors.lines().any(|l| l.contains("fork: ") || l.contains("cannot make child"));
    let inner = errors.lines().rev().find_map(|l| l.strip_prefix("dkms: pass one ended with ")?.parse().ok());
    let last = errors.lines().rev().find(|l| !l.starts_with("dkms: pass one"));
    Some(match (code, inner) {
        _ if forks => BashError::NoProcess,
        (PASS_ONE_FAILED, Some(NULL_FAILED)) => BashError::NoNullDevice,
        (PASS_ONE_FAILED, Some(inner @ 129..)) => BashError::KilledInFile(inner - 128),
        (PASS_ONE_FAILED, Some(STEP_FAILED..=ECHO_FAILED)) => BashError::LostProcess,
        (PASS_ONE_FAILED, _) => BashError::EndedEarly,
        (129.., _) => BashError::Killed(code - 128),
        _ => BashError::Exited { code, message: last.map(str::to_owned) },
    })
}

// The program's own exit codes.
const PASS_ONE_FAILED: i32 = 96;
const NULL_FAILED: i32 = 97;
const STEP_FAILED: i32 = 98;
const ECHO_FAILED: i32 = 99;

/// Parses the program's output.
///
/// # Errors
/// The output is incomplete (the file ended the shell), is not UTF-8, or does not consist of records.
pub fn parse_records(out: &[u8]) -> Result<Directives, BashError> {
    let text = std::str::from_utf8(out)?;
    let mut directives = Directives::new();
    let mut fields = text.split('\0');
    loop {
        let (Some(name), Some(index), Some(value)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(BashError::EndedEarly);
        };
        if name.is_empty() {
            break;
        }
        if !is_name(name) {
            return Err(BashError::NotARecord(name.to_owned()));
        }
        let number: usize = index.parse().map_err(|source| BashError::Index {
            name: name.to_owned(),
            index: index.to_owned(),
            source,
        })?;
        directives.set(name, number, value);
    }
    match (fields.next(), fields.next()) {
        (Some(""), None) => Ok(directives),
        _ => Err(BashError::Surplus),
    }
}

/// Whether bash accepts this as the name of a variable.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_contain_the_names_of_the_tables_in_order() {
        for dialect in [Dialect::Module, Dialect::Framework] {
            let program = bash_program(dialect);
            let list = program.split(['(', ')']).nth(1).unwrap_or_default();
            let table: Vec<&str> = dialect.table().iter().map(|d| d.name).collect();
            assert_eq!(list.split_whitespace().collect::<Vec<_>>(), table);
        }
    }

    #[test]
    fn failures_are_named() {
        for (code, errors, expected) in [
            (96, "dkms: pass one ended with 137", "killed by signal 9"),
            (96, "dkms: pass one ended with 98", "killed or failed"),
            (96, "/dev/null: Permission denied\ndkms: pass one ended with 97", "/dev/null"),
            (96, "dkms: pass one ended with 0", "ended the shell"),
            (
                96,
                "x: fork: retry: Resource temporarily unavailable\ndkms: pass one ended with 254",
                "create a process",
            ),
            (137, "", "killed by signal 9"),
            (2, "some words", "code 2 (some words)"),
        ] {
            let reason = explain_failure(code, errors).map(|e| e.to_string()).unwrap_or_default();
            assert!(reason.contains(expected), "{code} {errors}: {reason}");
        }
        assert_eq!(explain_failure(0, "noise"), None);
    }

    #[test]
    fn arguments_and_records() {
        let mut before = State::default();
        before.variables.insert("kernelver".into(), "6.1 x".into());
        before.variables.insert("not a name".into(), "1".into());
        before.directives.set("MAKE", 3, "a=b");
        assert_eq!(bash_arguments(&before), ["kernelver=6.1 x", "MAKE[3]=a=b"]);
        let read = parse_records(b"MAKE\x003\0a\nb\0\0\0\0").unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [("MAKE", 3, "a\nb")]);
        assert_eq!(parse_records(b"\0\0\0"), Ok(Directives::new()));
        for bad in [
            &b""[..],
            b"MAKE\x003\0a\0",
            b"\0\0\0more",
            b"MAKE\0x\0a\0\0\0\0",
            b"a b\x000\0\0\0\0\0",
            b"\xff",
        ] {
            assert!(parse_records(bad).is_err(), "{bad:?}");
        }
    }
}
