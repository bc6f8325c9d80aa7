//! Formats dates for logs and packages.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the current time in the format of [`utc`].
pub fn utc_now() -> String {
    utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs()))
}

/// Formats seconds since 1970 as `2026-11-23 07:12:01 UTC`.
pub fn utc(seconds: u64) -> String {
    let (year, month, day) = date(seconds / 86400);
    format!("{year:04}-{month:02}-{day:02} {} UTC", time_of_day(seconds))
}

/// Formats seconds since 1970 as `Mon, 23 Nov 2026 07:12:01 +0000` (RFC 2822).
pub fn rfc2822(seconds: u64) -> String {
    let (weekday, month, (year, _, day)) = named_date(seconds);
    format!("{weekday}, {day:02} {month} {year:04} {} +0000", time_of_day(seconds))
}

/// Formats seconds since 1970 as `Mon Nov 23 2026`, the date of an entry in a spec file's changelog.
pub fn changelog_of_rpm(seconds: u64) -> String {
    let (weekday, month, (year, _, day)) = named_date(seconds);
    format!("{weekday} {month} {day:02} {year:04}")
}

fn time_of_day(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// Returns the short English names of weekday and month, and the date.
fn named_date(seconds: u64) -> (&'static str, &'static str, (u64, u64, u64)) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds / 86400;
    let date = date(days);
    let name = |names: &[&'static str], index: u64| {
        usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
    };
    (name(&DAYS, days % 7), name(&MONTHS, date.1.saturating_sub(1)), date)
}

/// Converts a number of days since 1970-01-01 to year, month and day. The calculation counts years from
/// March, so that a leap day is the last day of its year, and repeats every 400 years (146,097 days).
fn date(days: u64) -> (u64, u64, u64) {
    let days_since_year_0 = days + 719_468;
    let (period, day_of_period) = (days_since_year_0 / 146_097, days_since_year_0 % 146_097);
    let year_of_period =
        (day_of_period - day_of_period / 1460 + day_of_period / 36_524 - day_of_period / 146_096) / 365;
    let day_of_year = day_of_period - (365 * year_of_period + year_of_period / 4 - year_of_period / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_period + period * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #[test]
    fn days_to_dates() {
        assert_eq!(super::date(0), (1970, 1, 1));
        assert_eq!(super::date(19_782), (2024, 2, 29));
        assert_eq!(super::date(20_780), (2026, 11, 23));
        assert_eq!(super::utc(1_709_210_096), "2024-02-29 12:34:56 UTC");
        // The format of `date -R`.
        assert_eq!(super::rfc2822(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(super::rfc2822(1_709_210_096), "Thu, 29 Feb 2024 12:34:56 +0000");
        // The format of `date -u '+%a %b %d %Y'`.
        assert_eq!(super::changelog_of_rpm(1_709_210_096), "Thu Feb 29 2024");
    }
}
