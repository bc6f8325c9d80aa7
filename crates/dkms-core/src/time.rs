//! Dates for logs.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, as [`utc`] writes it.
pub fn utc_now() -> String {
    utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}

/// Seconds since 1970 as `2026-11-23 07:12:01 UTC`.
pub fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let (y, m, d) = civil(days);
    format!("{y:04}-{m:02}-{d:02} {:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Seconds since 1970 as `Mon, 23 Nov 2026 07:12:01 +0000` (RFC 2822).
pub fn rfc2822(seconds: u64) -> String {
    let rest = seconds % 86400;
    let (day, month, (y, _, d)) = named(seconds);
    format!("{day}, {d:02} {month} {y:04} {:02}:{:02}:{:02} +0000", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Seconds since 1970 as `Mon Nov 23 2026`, the date of an entry in a spec file's changelog.
pub fn changelog_of_rpm(seconds: u64) -> String {
    let (day, month, (y, _, d)) = named(seconds);
    format!("{day} {month} {d:02} {y:04}")
}

/// The English short names of weekday and month, and the date.
fn named(seconds: u64) -> (&'static str, &'static str, (u64, u64, u64)) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds / 86400;
    let date = civil(days);
    let pick = |of: &[&'static str], n: u64| {
        usize::try_from(n).ok().and_then(|n| of.get(n)).copied().unwrap_or_default()
    };
    (pick(&DAYS, days % 7), pick(&MONTHS, date.1.saturating_sub(1)), date)
}

/// Year, month, day of a number of days since 1970-01-01 (proleptic Gregorian, years from March).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #[test]
    fn days_to_dates() {
        assert_eq!(super::civil(0), (1970, 1, 1));
        assert_eq!(super::civil(19_782), (2024, 2, 29));
        assert_eq!(super::civil(20_780), (2026, 11, 23));
        // The format of `date -R`.
        assert_eq!(super::rfc2822(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(super::rfc2822(1_709_210_096), "Thu, 29 Feb 2024 12:34:56 +0000");
        // The format of `date -u '+%a %b %d %Y'`.
        assert_eq!(super::changelog_of_rpm(1_709_210_096), "Thu Feb 29 2024");
    }
}
