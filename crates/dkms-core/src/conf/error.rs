//! A configuration that cannot be used.

use dkms_conf::Diagnostic;
use std::path::PathBuf;

/// dkms.conf, an override of it, or framework.conf cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum ConfError {
    #[error("there is no dkms.conf at {0}")]
    Missing(PathBuf),
    #[error("{}", conf_problems(.0))]
    Invalid(Vec<Diagnostic>),
}

fn conf_problems(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    let one_line = |text: &str| text.replace('\n', "\\n");
    for diagnostic in diagnostics {
        if !out.is_empty() {
            out.push('\n');
        }
        let path = one_line(&diagnostic.path.to_string_lossy());
        let (message, help) = (one_line(&diagnostic.message), one_line(&diagnostic.help));
        let margin = match &diagnostic.at {
            Some(at) => {
                out.push_str(&format!(
                    "{path}:{}:{}: {message}\n{}",
                    at.line,
                    at.column.max(1),
                    at.snippet()
                ));
                format!("{} =", at.margin())
            }
            None => {
                out.push_str(&format!("{path}: {message}"));
                " ".to_owned()
            }
        };
        if !help.is_empty() {
            out.push_str(&format!("\n{margin} write: {help}"));
        }
    }
    out
}
