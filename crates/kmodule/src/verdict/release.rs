//! The checks of a kernel's loader, according to its release.

/// Whether the release is this version of Linux or a later one.
#[must_use]
pub fn since(release: &str, major: u32, minor: u32) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

/// The checks of a module's structure in one kernel.
#[derive(Clone, Copy)]
pub(super) struct Generation {
    /// Sections are counted (6.4).
    pub(super) counts: bool,
    /// There is one function for each part of the file, and the names of all sections are checked (6.13, late
    /// releases of 6.12).
    pub(super) split: bool,
    /// The string table of the symbols is checked (6.13).
    pub(super) symbol_names: bool,
    /// String tables must have the type of string tables (7.0, late releases of 6.12).
    pub(super) typed: bool,
    /// CRCs are in one section, names of any length in another (6.14).
    pub(super) extended: bool,
}

impl Generation {
    pub(super) fn from_release(release: &str) -> Generation {
        // Debian's 6.12.117 has these checks. Which release of 6.12 was the first with them is not known.
        let late = release.strip_prefix("6.12.").is_some_and(|rest| {
            let patch = rest.split(|c: char| !c.is_ascii_digit()).next();
            patch.and_then(|number| number.parse().ok()).is_some_and(|number: u32| number >= 100)
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
