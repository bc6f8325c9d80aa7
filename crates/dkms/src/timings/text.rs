//! Times and shares as people read them, and links to builds.

use dkms_pages::Html;

/// A time in seconds as text.
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

/// A share as a percentage.
pub(super) fn percent(part: f64, whole: f64) -> String {
    format!("{:.0} %", if whole > 0.0 { part / whole * 100.0 } else { 0.0 })
}

/// The HTML id of the build with this index.
pub(super) fn id(index: usize) -> String {
    format!("build-{index}")
}

/// Adds a link to the build with this index.
pub(super) fn link(html: &mut Html, index: usize, text: &str) {
    html.element("a", &[("href", &format!("#{}", id(index)))], text);
}
