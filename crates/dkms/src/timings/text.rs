//! Numbers as people read them, and the ids of builds.

use dkms_pages::Html;

/// Seconds as a person reads them.
pub(super) fn seconds(seconds: f64) -> String {
    let total = seconds.max(0.0);
    let whole = total.round() as u64;
    match whole {
        _ if total < 0.095 => format!("{} ms", (total * 1000.0).round() as u64),
        _ if total < 60.0 => format!("{total:.1} s"),
        _ if whole < 3600 && whole % 60 == 0 => format!("{} min", whole / 60),
        _ if whole < 3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

/// A share as a person reads it.
pub(super) fn percent(part: f64, whole: f64) -> String {
    format!("{:.0} %", if whole > 0.0 { part / whole * 100.0 } else { 0.0 })
}

/// The id of a build's entry.
pub(super) fn id(number: usize) -> String {
    format!("build-{number}")
}

/// Adds a link to a build's entry.
pub(super) fn link(html: &mut Html, number: usize, text: &str) {
    html.element("a", &[("href", &format!("#{}", id(number)))], text);
}
