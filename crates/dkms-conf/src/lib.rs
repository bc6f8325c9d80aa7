//! The language of `dkms.conf` and `framework.conf`: text in, directives out.
//!
//! dkms 3 sources these files with bash, twice: it writes the values of the first pass as `NAME[i]="value"`
//! lines with an unquoted `eval echo`, and sources those lines again. Packages depend on the result, although
//! it is unusual: blanks are folded, embedded quotes disappear, a remaining `$x` is expanded a second time.
//! [`evaluate`] computes exactly that result, without a shell, for files that only assign, expand and test.
//! At the first construct that it does not fully support, it returns a [`Decline`], and the caller passes the
//! whole file to bash ([`bash_program`]).
//!
//! The modules: [`lexer`] and [`parser`] build a tree with positions; [`eval`] evaluates it twice;
//! [`directives`] is the table of names; [`module_conf`] and [`framework_conf`] convert the directives to
//! types and report problems; [`kernel_match`] orders versions; [`registry`] checks names of registries;
//! [`lint`] checks a file for its author.
//! Nothing here starts a process, opens a file or reads a clock.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

mod ast;
mod bash;
mod builtins;
mod code;
mod diagnostic;
pub mod directives;
pub mod eval;
mod expand;
pub mod framework_conf;
mod fuzz;
pub mod glob;
pub mod kernel_match;
pub mod lexer;
pub mod lint;
mod locate;
pub mod module_conf;
pub mod parser;
mod printable;
pub mod registry;
mod suggest;
mod test_command;

pub use bash::{BashError, DESTINATION, bash_arguments, bash_program, explain_failure, parse_records};
pub use diagnostic::{Diagnostic, Edit, Location, Severity};
pub use directives::{Dialect, Directives, State};
pub use eval::{Decline, InvalidRegex, Matcher, evaluate};
#[doc(hidden)]
pub use fuzz::fuzz_evaluate;
pub use locate::{locate, suspicious, unknown_confinement};
pub use printable::is_unprintable;
pub use suggest::nearest;
