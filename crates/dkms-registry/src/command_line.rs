//! The command line.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Usage: dkms-registry SPOOL
       dkms-registry --help | --version

Fetches builds of kernel modules from OCI registries and pushes them there.
dkms starts it; see dkms-registry(8).

It reads requests from standard input and writes replies to standard output,
one JSON value per line. Files are exchanged in the directory SPOOL, which must
be empty or prepared by dkms, and private.
";

/// The action that the command line requests.
pub(crate) enum Action {
    /// Print this text.
    Print(String),
    /// The arguments are invalid; this is the message.
    Refuse(String),
    /// Handle requests, with this spool directory.
    Serve(PathBuf),
}

/// Parses the arguments, without the name of the program.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Action {
    let arguments: Vec<OsString> = arguments.collect();
    match arguments.as_slice() {
        [word] if word == "--help" || word == "-h" => Action::Print(HELP.into()),
        [word] if word == "--version" => {
            Action::Print(format!("dkms-registry {}\n", env!("CARGO_PKG_VERSION")))
        }
        [word] if word.as_encoded_bytes().starts_with(b"-") => {
            Action::Refuse(format!("unknown option {}\n{HELP}", word.to_string_lossy()))
        }
        [spool] => Action::Serve(spool.into()),
        _ => Action::Refuse(format!("one argument is needed: the spool directory\n{HELP}")),
    }
}

/// Writes to standard output. It is not an error if the reader has closed the pipe.
pub(crate) fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Writes a message to standard error, and returns the exit code.
pub(crate) fn complain(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "dkms-registry: {}", text.trim_end());
    ExitCode::from(code)
}
