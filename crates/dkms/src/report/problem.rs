//! A problem as the pages about one machine and about many show it.

use super::data::Severity;
use dkms_pages::{Html, Tone};

/// The first line of a problem.
pub(super) struct Heading<'a> {
    pub severity: Severity,
    pub subject: &'a str,
    /// What follows the subject.
    pub more: &'a str,
}

/// A section with what is wrong, what helps (all but the first text), the commands, and what `more` adds.
pub(super) fn section(
    html: &mut Html,
    heading: Heading<'_>,
    texts: &[String],
    commands: &[String],
    more: impl FnOnce(&mut Html),
) {
    let (tone, class) = match heading.severity {
        Severity::Error => (Tone::Bad, "card problem error"),
        Severity::Warning => (Tone::Warn, "card problem warning"),
        Severity::Note => (Tone::Plain, "card problem"),
    };
    html.within("section", &[("class", class), ("aria-label", heading.subject)], |html| {
        html.within("h3", &[], |html| {
            html.badge(tone, heading.severity.word());
            html.text(&format!(" {}{}", heading.subject, heading.more));
        });
        if let Some((what, help)) = texts.split_first() {
            html.paragraph(what);
            for text in help {
                html.muted(text);
            }
        }
        if !commands.is_empty() {
            html.commands(commands);
        }
        more(html);
    });
}

/// What a problem is about; empty if that is the whole machine.
pub(super) fn about(package: &Option<String>, version: &Option<String>, kernel: &Option<String>) -> String {
    let version = version.as_ref().map_or_else(String::new, |version| format!("/{version}"));
    let package = package.as_ref().map(|package| format!("{package}{version}"));
    let kernel = kernel.as_ref().map(|kernel| format!("kernel {kernel}"));
    package.into_iter().chain(kernel).collect::<Vec<_>>().join(", ")
}
