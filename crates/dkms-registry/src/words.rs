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

/// What the command line asks for.
pub(crate) enum Wanted {
    /// To print this.
    Text(String),
    /// Nothing that makes sense.
    Wrong(String),
    /// To serve, with this spool directory.
    Serve(PathBuf),
}

/// Understands the arguments.
pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Wanted {
    let arguments: Vec<OsString> = arguments.collect();
    match arguments.as_slice() {
        [word] if word == "--help" || word == "-h" => Wanted::Text(HELP.into()),
        [word] if word == "--version" => {
            Wanted::Text(format!("dkms-registry {}\n", env!("CARGO_PKG_VERSION")))
        }
        [word] if word.as_encoded_bytes().starts_with(b"-") => {
            Wanted::Wrong(format!("unknown option {}\n{HELP}", word.to_string_lossy()))
        }
        [spool] => Wanted::Serve(spool.into()),
        _ => Wanted::Wrong(format!("one argument is needed: the spool directory\n{HELP}")),
    }
}

/// Writes to standard output. A reader that has seen enough is no failure.
pub(crate) fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Writes a message to standard error.
pub(crate) fn complain(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "dkms-registry: {}", text.trim_end());
    ExitCode::from(code)
}
