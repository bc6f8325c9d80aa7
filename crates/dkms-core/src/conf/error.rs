//! A configuration that cannot be used.

use std::path::PathBuf;

/// dkms.conf, an override of it, or framework.conf cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum ConfError {
    #[error("there is no dkms.conf at {0}")]
    Missing(PathBuf),
    #[error("{}", conf_problems(.0))]
    Invalid(Vec<ConfProblem>),
}

/// Something wrong in a configuration file, with its place.
#[derive(Clone, Debug, Default)]
pub struct ConfProblem {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1; 0 when it concerns the file as a whole.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// How much to underline, in characters.
    pub len: u32,
    /// The line itself.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl ConfProblem {
    /// The blanks before a snippet's bars.
    pub fn margin(&self) -> String {
        " ".repeat(self.line.to_string().len())
    }

    /// The line with its number, and marks under the place; three lines, the last without its end.
    pub fn snippet(&self) -> String {
        let margin = self.margin();
        let shown: String =
            self.text.chars().map(|c| if dkms_conf::is_unprintable(c) { ' ' } else { c }).take(160).collect();
        let indent = " ".repeat(self.column.saturating_sub(1).min(160) as usize);
        let marks = "^".repeat(self.len.clamp(1, 160) as usize);
        format!("{margin} |\n{} | {shown}\n{margin} | {indent}{marks}", self.line)
    }
}

fn conf_problems(problems: &[ConfProblem]) -> String {
    let mut out = String::new();
    let one_line = |text: &str| text.replace('\n', "\\n");
    for p in problems {
        if !out.is_empty() {
            out.push('\n');
        }
        let path = one_line(&p.path.to_string_lossy());
        let (message, help) = (one_line(&p.message), one_line(&p.help));
        if p.line > 0 {
            out.push_str(&format!("{path}:{}:{}: {}", p.line, p.column.max(1), message));
            let margin = p.margin();
            out.push_str(&format!("\n{}", p.snippet()));
            if !p.help.is_empty() {
                out.push_str(&format!("\n{margin} = write: {help}"));
            }
        } else {
            out.push_str(&format!("{path}: {message}"));
            if !p.help.is_empty() {
                out.push_str(&format!("\n  write: {help}"));
            }
        }
    }
    out
}
