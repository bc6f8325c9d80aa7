//! Numbers and states as people read them.

use crate::render::numbers::bytes;
use dkms_pages::Tone;

/// A size in bytes; "not known" if there is none.
pub(super) fn size(size: Option<u64>) -> String {
    size.map_or_else(|| "not known".to_owned(), bytes)
}

/// The first characters of a text, at most so many.
pub(super) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The answer of `dkms ready` about a kernel.
pub(super) fn ready(answer: Option<&str>) -> (&'static str, Tone) {
    match answer {
        Some("yes") => ("ready", Tone::Good),
        Some("no") => ("not ready", Tone::Bad),
        Some(_) => ("may be ready", Tone::Warn),
        None => ("not present", Tone::Plain),
    }
}

/// The cause of a problem, from its word in JSON.
pub(super) fn cause(word: &str) -> String {
    match word {
        "build" => "failed build".to_owned(),
        "headers" => "headers are missing".to_owned(),
        "dependency" => "a dependency is missing".to_owned(),
        "autoinstall" => "not installed yet".to_owned(),
        "index" => "index of modules".to_owned(),
        other => other.replace('-', " "),
    }
}

/// The state of Secure Boot, from its word in JSON.
pub(super) fn secure_boot(word: &str) -> &str {
    match word {
        "not-efi" => "none (no EFI)",
        "setup-mode" => "off (setup mode)",
        "" => "unknown",
        other => other,
    }
}

/// The verdict on a module, from its word in JSON.
pub(super) fn verdict(word: &str) -> (&'static str, Tone) {
    match word {
        "loads" => ("would load", Tone::Good),
        "refused" => ("would not load", Tone::Bad),
        _ => ("may load", Tone::Warn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(size(None), "not known");
    }
}
