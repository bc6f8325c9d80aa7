//! Sizes, durations and counts as people read them.

use dkms_core::time::utc;
use std::time::Duration;

/// A size in bytes, with a fitting unit.
pub(crate) fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let scaled = |power: i32| bytes as f64 / 1024f64.powi(power);
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=999_999 => format!("{:.0} KiB", scaled(1)),
        1_000_000..=999_999_999 => format!("{:.1} MiB", scaled(2)),
        _ => format!("{:.1} GiB", scaled(3)),
    }
}

/// A duration in seconds, or in minutes and seconds.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

/// The day (UTC) of a time in seconds since 1970.
pub(crate) fn day(seconds: i64) -> String {
    utc(u64::try_from(seconds).unwrap_or(0)).split(' ').next().unwrap_or_default().to_owned()
}

/// A number and its noun, which takes an "s" in the plural.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_fitting_unit() {
        assert_eq!(bytes(9_999), "9999 bytes");
        assert_eq!(bytes(20_480), "20 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }

    #[test]
    fn durations_and_counts() {
        assert_eq!(duration(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
        assert_eq!(day(-5), "1970-01-01");
        // Formerly "1 min 60 s" in a report.
        assert_eq!(duration(Duration::from_millis(119_700)), "1 min 59 s");
        assert_eq!((count(1, "error"), count(2, "error")), ("1 error".into(), "2 errors".into()));
    }
}
