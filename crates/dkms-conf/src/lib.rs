//! The language of `dkms.conf` and `framework.conf`: text in, directives out.
//!
//! dkms has bash source these files, and it does so twice: what the file set is written out as `NAME[i]="value"` lines
//! through an unquoted `eval echo`, and those lines are sourced again. Packages depend on the result, odd as it is
//! (blanks fold, embedded quotes vanish, a surviving `$x` is expanded a second time). [`evaluate`] gives exactly that
//! result without a shell for the files that only assign, expand and test; on the first construct it does not
//! understand completely it declines, and the caller hands the whole file to real bash ([`bash_program`]).
//!
//! The rooms: [`lexer`] and [`parser`] make a tree with positions; [`eval`] carries it out, twice; [`directives`] is the
//! table of names; [`module_conf`] and [`framework_conf`] give the directives types and say what is wrong with them;
//! [`kernel_match`] orders versions; [`lint`] says what an author could do better. Nothing here starts a process, opens a file or looks at a clock.

#![forbid(unsafe_code)]

mod ast;
mod bash;
mod builtins;
mod code;
pub mod directives;
pub mod eval;
mod expand;
pub mod framework_conf;
mod fuzz;
mod glob;
pub mod kernel_match;
pub mod lexer;
pub mod lint;
mod locate;
pub mod module_conf;
pub mod parser;
mod printable;
mod problem;
mod test_command;

pub use bash::{bash_arguments, bash_program, explain_failure, parse_records};
pub use directives::{Dialect, Directives, State};
pub use eval::{Decline, Matcher, evaluate};
#[doc(hidden)]
pub use fuzz::fuzz_evaluate;
pub use locate::{Location, Suspicion, locate, suspicious, unknown_confinement};
pub use printable::is_unprintable;
pub use problem::{Problem, Severity};
