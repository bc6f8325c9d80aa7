//! Errors about configuration files.

use dkms_conf::Diagnostic;
use std::path::PathBuf;

/// dkms.conf, an override of it, or framework.conf cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum ConfError {
    #[error("there is no dkms.conf at {0}")]
    Missing(PathBuf),
    #[error("{}", describe(.0))]
    Invalid(Vec<Diagnostic>),
}

/// Describes each diagnostic on a separate line, with the line of the file and the correction.
fn describe(diagnostics: &[Diagnostic]) -> String {
    let one_line = |text: &str| text.replace('\n', "\\n");
    let describe = |diagnostic: &Diagnostic| {
        let path = one_line(&diagnostic.path.to_string_lossy());
        let (message, help) = (one_line(&diagnostic.message), one_line(&diagnostic.help));
        let (mut text, margin) = match &diagnostic.at {
            Some(at) => {
                let position = format!("{}:{}", at.line, at.column.max(1));
                (format!("{path}:{position}: {message}\n{}", at.snippet()), format!("{} =", at.margin()))
            }
            None => (format!("{path}: {message}"), " ".to_owned()),
        };
        if !help.is_empty() {
            text.push_str(&format!("\n{margin} write: {help}"));
        }
        text
    };
    diagnostics.iter().map(describe).collect::<Vec<_>>().join("\n")
}
