//! Numbers and states as people read them.

use crate::render::size::bytes;
use dkms_core::time::utc;
use dkms_pages::Tone;

/// Bytes, if they were counted.
pub(super) fn counted(size: Option<u64>) -> String {
    size.map_or_else(|| "not known".to_owned(), bytes)
}

/// A time, in seconds since 1970.
pub(super) fn time(seconds: u64) -> String {
    utc(seconds)
}

/// The day of a time.
pub(super) fn day(seconds: i64) -> String {
    let text = utc(u64::try_from(seconds).unwrap_or(0));
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// How long something took.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0)
}

/// A number and its noun.
pub(super) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// At most this many characters of a text.
pub(super) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The answer of `ready`.
pub(super) fn ready(answer: Option<&str>) -> (&'static str, Tone) {
    match answer {
        Some("yes") => ("ready", Tone::Good),
        Some("no") => ("not ready", Tone::Bad),
        Some(_) => ("may be ready", Tone::Warn),
        None => ("not present", Tone::Plain),
    }
}

/// The cause of a problem.
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

/// The state of Secure Boot.
pub(super) fn secure_boot(word: &str) -> &str {
    match word {
        "not-efi" => "none (no EFI)",
        "setup-mode" => "off (setup mode)",
        "" => "unknown",
        other => other,
    }
}

/// A verdict.
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
        assert_eq!(counted(None), "not known");
        assert_eq!(duration(1.25), "1.2 s");
        assert_eq!(duration(125.0), "2 min 5 s");
        assert_eq!(day(-5), "1970-01-01");
        assert_eq!((count(1, "error"), count(2, "error")), ("1 error".into(), "2 errors".into()));
    }
}
