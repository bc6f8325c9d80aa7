//! The order of kernel and module versions, as in dkms 3.

use std::cmp::Ordering;

/// The key by which dkms compares versions: every run of digits is padded with zeros to three digits, and
/// blanks are removed. Keys are compared as strings, byte by byte.
///
/// ```
/// assert_eq!(dkms_conf::kernel_match::version_key("6.1.0-13-amd64"), "006.001.000-013-amd064");
/// ```
pub fn version_key(version: &str) -> String {
    let mut key = String::with_capacity(version.len() + 8);
    let mut rest = version;
    while let Some(c) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            let (run, after) = rest.split_at(digits);
            key.extend(std::iter::repeat_n('0', 3usize.saturating_sub(digits)));
            key.push_str(run);
            rest = after;
        } else {
            if c != ' ' {
                key.push(c);
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    key
}

/// Compares two versions by their keys, so 1.9 is before 1.10.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    version_key(a).cmp(&version_key(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_runs_of_digits() {
        for (version, key) in [
            ("", ""),
            ("1", "001"),
            ("12", "012"),
            ("1234", "1234"),
            ("2.6.9-1cvs200409091247", "002.006.009-001cvs200409091247"),
            ("6.12.117+deb12-amd64", "006.012.117+deb012-amd064"),
            ("1 2", "001002"),
            ("é1", "é001"),
        ] {
            assert_eq!(version_key(version), key, "{version}");
        }
    }

    #[test]
    fn orders() {
        assert_eq!(compare_versions("1.9", "1.10"), Ordering::Less);
        assert_eq!(compare_versions("6.1", "6.1"), Ordering::Equal);
        assert_eq!(compare_versions("6.1", "6.1.0"), Ordering::Less);
        assert_eq!(compare_versions("4.19.0-5-686", "4.19"), Ordering::Greater);
    }
}
