//! Makes tests independent of how they are started.
//!
//! A test binary inherits a lot from its parent process: ignored signals (`nohup` ignores SIGHUP, a shell
//! ignores SIGINT for background jobs), low limits, a umask, the variables of a `make` around it, standard
//! streams that are closed or full. dkms would inherit all of that in turn. [`normalise`] resets it once,
//! before the first test.

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the environment of the process that [`normalise`] started. Its value is `quiet` if standard output
/// failed.
const STARTED: &str = "DKMS_TESTS_STARTED";

/// Runs `"$@"` with the usual limits, the usual umask, no ignored signals, and without the variables of make.
const RESET: &str = r#"
raise() { ulimit -S "$1" unlimited 2>/dev/null || ulimit -S "$1" "$(ulimit -H "$1")"; }
{ ulimit -H -n 524288; ulimit -H -u unlimited; ulimit -H -f unlimited; ulimit -S -n 1024 || ulimit -S -n "$(ulimit -H -n)"; } 2>/dev/null
raise -u; raise -f
(($(ulimit -S -n) >= 256)) || echo "only $(ulimit -S -n) files may be open, and the limit cannot be raised: tests will fail" >&2
umask 022
[[ $DKMS_TESTS_STARTED != quiet ]] || exec >/dev/null
exec env --default-signal -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u DKMS_LOCKS_HELD -u TMPDIR -u LANGUAGE -u LC_ALL LANG=C.UTF-8 "$@"
"#;

/// Replaces this process with the same program in a normal environment, once. Returns in that program; also
/// where it cannot be started again (no bash), and everything stays as it is.
pub fn normalise(list: bool) {
    let started = env::var_os(STARTED);
    let quiet = match &started {
        Some(value) if value == "quiet" => return,
        // A list must not begin with an empty line; an output that fails is noticed when it is written.
        Some(_) if list || io::stdout().write_all(b"\n").and_then(|()| io::stdout().flush()).is_ok() => {
            return;
        }
        Some(_) => true,
        None => false,
    };
    let Ok(program) = env::current_exe() else { return };
    let mut again = Command::new("bash");
    again.env(STARTED, if quiet { "quiet" } else { "yes" });
    let error = again.args(["-c", RESET, "normalise"]).arg(program).args(env::args_os().skip(1)).exec();
    let _ =
        writeln!(io::stderr(), "the tests run with the limits and signals of their caller: bash: {error}");
}
