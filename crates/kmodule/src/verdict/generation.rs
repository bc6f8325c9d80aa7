//! Which of the checks of a module's structure a kernel makes, by its release.

use super::since;

/// Which checks a kernel has.
#[derive(Clone, Copy)]
pub(super) struct Generation {
    /// It counts sections (6.4).
    pub counts: bool,
    /// One function for each part of the file, and every section's name is checked (6.13; late releases of 6.12).
    pub split: bool,
    /// The string table of the symbols is checked (6.13).
    pub symbol_names: bool,
    /// String tables have the type of string tables (7.0; late releases of 6.12).
    pub typed: bool,
    /// CRCs beside names of any length (6.14).
    pub extended: bool,
}

impl Generation {
    pub fn of(release: &str) -> Generation {
        // Seen in Debian's 6.12.117. Which release of 6.12 was the first with it is not known.
        let late = release.strip_prefix("6.12.").is_some_and(|rest| {
            rest.split(|c: char| !c.is_ascii_digit())
                .next()
                .and_then(|n| n.parse().ok())
                .is_some_and(|n: u32| n >= 100)
        });
        Generation {
            counts: since(release, 6, 4),
            split: late || since(release, 6, 13),
            symbol_names: since(release, 6, 13),
            typed: late || since(release, 7, 0),
            extended: since(release, 6, 14),
        }
    }
}
