//! A problem, as it appears on the page about one machine and on the page about a fleet.

use super::data::Severity;
use dkms_pages::{Html, Tone};

/// The heading of a problem.
pub(super) struct Heading<'a> {
    pub severity: Severity,
    pub subject: &'a str,
    /// Text after the subject.
    pub more: &'a str,
}

/// Adds a section: the description (the first of `texts`), the help (the other texts), the commands that fix
/// the problem, and the elements that `more` adds.
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

/// The package and the kernel of a problem; empty for a problem of the whole machine.
pub(super) fn subject(package: &Option<String>, version: &Option<String>, kernel: &Option<String>) -> String {
    let version = version.as_ref().map_or_else(String::new, |version| format!("/{version}"));
    let package = package.as_ref().map(|package| format!("{package}{version}"));
    let kernel = kernel.as_ref().map(|kernel| format!("kernel {kernel}"));
    package.into_iter().chain(kernel).collect::<Vec<_>>().join(", ")
}
