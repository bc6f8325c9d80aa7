//! depmod.d(5): decides which module wins when two modules have the same name.

use super::decline::Decline;

/// The settings from `/etc/depmod.d` and the other directories, for one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The directories of `search`, in order of decreasing priority.
    searches: Vec<Search>,
    /// `DIR/MODULE` of `override`, in order; a later one takes precedence.
    overrides: Vec<String>,
    /// The names of directories that are not searched.
    excludes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Search {
    /// All directories that no other entry names.
    BuiltIn,
    Directory(String),
}

impl Config {
    /// Parses the texts of all files, in the order of their names. `matches` decides whether a POSIX extended
    /// regular expression (the first argument) matches the kernel's release.
    ///
    /// # Errors
    /// A line for which depmod would print a warning, or that is left to depmod: `external`, continued lines.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        matches: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Decline> {
        let mut config = Self::default();
        for line in texts.into_iter().flat_map(str::lines) {
            config.add_line(line, matches)?;
        }
        if config.searches.is_empty() {
            config.searches.push(Search::Directory("updates".to_owned()));
        }
        Ok(config)
    }

    fn add_line(&mut self, line: &str, matches: &dyn Fn(&str) -> bool) -> Result<(), Decline> {
        if line.starts_with('#') {
            return Ok(());
        }
        if line.contains(['\\', '\r', '\0']) {
            return Err(Decline::Setting(line.escape_debug().to_string()));
        }
        let mut words = line.split(['\t', ' ']).filter(|word| !word.is_empty());
        match words.next() {
            None => {}
            Some("search") => self.searches.extend(words.map(|word| match word {
                "built-in" => Search::BuiltIn,
                directory => Search::Directory(directory.to_owned()),
            })),
            Some("override") => {
                let (Some(module), Some(release), Some(directory)) =
                    (words.next(), words.next(), words.next())
                else {
                    return Err(Decline::IncompleteSetting(line.to_owned()));
                };
                if release == "*" || matches(release) {
                    self.overrides.push(format!("{directory}/{module}"));
                }
            }
            Some("exclude") => self.excludes.extend(words.map(str::to_owned)),
            // depmod accepts both and ignores them.
            Some("include" | "make_map_files") => {}
            Some(other) => return Err(Decline::Setting(other.to_owned())),
        }
        if self.searches.contains(&Search::Directory("external".to_owned())) {
            return Err(Decline::Setting("search external".to_owned()));
        }
        Ok(())
    }

    /// Whether a directory of this name is excluded, wherever it is.
    #[must_use]
    pub fn excludes(&self, name: &str) -> bool {
        matches!(name, "build" | "source") || self.excludes.iter().any(|excluded| excluded == name)
    }

    /// Whether depmod prefers the module at `new` to a module of the same name at `old`, which it found
    /// earlier. Paths are relative to the kernel's directory and have no extensions.
    pub(super) fn replaces(&self, new: &str, old: &str) -> bool {
        for chosen in self.overrides.iter().rev() {
            if chosen == new {
                return true;
            }
            if chosen == old {
                return false;
            }
        }
        let below = |path: &str, directory: &str| {
            path.strip_prefix(directory).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        };
        let (mut built_in, mut old_rank, mut new_rank) = (-1, -1, -1);
        for (rank, search) in (0i64..).zip(self.searches.iter().rev()) {
            match search {
                Search::BuiltIn => built_in = rank,
                // depmod checks the old path only if the new one does not match: of two in the same
                // directory, the later one wins.
                Search::Directory(directory) if below(new, directory) => new_rank = rank,
                Search::Directory(directory) if below(old, directory) => old_rank = rank,
                Search::Directory(_) => {}
            }
        }
        let or_built_in = |rank: i64| if rank < 0 { built_in } else { rank };
        or_built_in(new_rank) > or_built_in(old_rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse([text], &|pattern| pattern == "6\\.1").unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn which_of_two_modules_wins() {
        let table = [
            // The default: updates wins; outside of it, the first module found wins.
            ("", "updates/a", "kernel/a", true),
            ("", "kernel/a", "updates/a", false),
            ("", "extra/a", "kernel/a", false),
            ("search updates built-in", "updates/a", "kernel/a", true),
            ("search updates dkms built-in", "dkms/a", "updates/a", false),
            ("search updates dkms built-in", "updates/a", "dkms/a", true),
            ("search updates built-in", "updates/x/a", "updates/y/a", true),
            ("search built-in updates", "updates/a", "kernel/a", false),
            ("search built-in updates", "kernel/a", "updates/a", true),
            ("search updates built-in\noverride a * extra", "extra/a", "updates/a", true),
            ("search updates built-in\noverride a * extra", "updates/a", "extra/a", false),
            ("override a 5.10 extra", "extra/a", "updates/a", false),
            ("override a * one\noverride a * two", "one/a", "two/a", false),
            // Only the full name of the directory matches.
            ("search up built-in", "updates/a", "kernel/a", false),
        ];
        for (text, new, old, expected) in table {
            assert_eq!(config(text).replaces(new, old), expected, "{text:?}: {new} over {old}");
        }
    }

    #[test]
    fn what_is_left_to_depmod() {
        for text in ["external * /x", "search external updates", "override a *", "search a \\\nb", "nonsense"]
        {
            assert!(Config::parse([text], &|_| true).is_err(), "{text:?}");
        }
        let config = config("# a comment\n\nexclude .debug old\nmake_map_files no\n");
        assert!(config.excludes("build") && config.excludes("source") && config.excludes("old"));
        assert!(!config.excludes("older"));
    }
}
