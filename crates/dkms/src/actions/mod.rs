//! All actions and options of dkms, as two tables.
//!
//! Everything that depends on the list of actions and options uses these tables: the command line
//! ([`crate::cli`]), the checks before an action runs ([`crate::request`]), help, "did you mean", the
//! completions in `packaging/completions`, and the option lists of dkms(8). The last two are committed files,
//! which a test in `generate` compares with the tables.

#[cfg(test)]
mod generate;
pub(crate) mod help;
mod kinds;
mod option;
mod options;
mod row;
mod table;

pub(crate) use kinds::{Effect, Kernels, Operand, Root};
pub(crate) use option::{Group, Misplaced, Value};
pub(crate) use options::{DEPRECATED, OPTIONS, Opt, OptionRow};
pub(crate) use row::ActionRow;
pub(crate) use table::{ACTIONS, Action};

/// The options that apply to every action.
pub(crate) const COMMON: &[Opt] = &[
    Opt::DkmsTree,
    Opt::SourceTree,
    Opt::InstallTree,
    Opt::Root,
    Opt::Json,
    Opt::Quiet,
    Opt::Verbose,
    Opt::Debug,
    Opt::Plain,
    Opt::Version,
    Opt::Help,
];

/// Whether an option applies to an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It applies; help and completions list it.
    Listed,
    /// It is not listed, but accepted without a warning.
    Accepted,
    /// It does not apply.
    Foreign,
}

impl ActionRow {
    /// The options of this action without the common ones, in the order of the table of options.
    pub(crate) fn own_options(&self) -> impl Iterator<Item = &'static OptionRow> + '_ {
        OPTIONS.iter().filter(|row| contains(self.options, row.opt))
    }

    /// Whether an option applies to this action.
    pub(crate) fn relation(&self, opt: Opt) -> Relation {
        if COMMON.contains(&opt) || contains(self.options, opt) {
            Relation::Listed
        } else if contains(self.accepts, opt) || opt.row().misplaced == Misplaced::Ignore {
            Relation::Accepted
        } else {
            Relation::Foreign
        }
    }

    /// Whether its output is one document, so that `--json` prints a document instead of events.
    pub(crate) fn is_document(&self) -> bool {
        self.effect != Effect::Changes
    }

    /// The operands in the line "Usage:" of help.
    pub(crate) fn operands(&self) -> String {
        match self.operand {
            Operand::None => String::new(),
            Operand::Package if self.is_document() => "[MODULE[/VERSION]]".into(),
            Operand::Package if self.kernels == Kernels::One => "[MODULE]".into(),
            Operand::Package => "MODULE/VERSION".into(),
            Operand::Packages => "MODULE/VERSION...".into(),
            Operand::PackageAndRegistry => "MODULE/VERSION [REGISTRY]".into(),
            Operand::Source if self.is_document() => "[MODULE/VERSION | DIRECTORY]".into(),
            Operand::Source => "MODULE/VERSION | DIRECTORY | ARCHIVE".into(),
            Operand::PackageOrFiles => "[MODULE[/VERSION] | FILE...]".into(),
            Operand::Archive => "ARCHIVE".into(),
            Operand::Kernels => "[KERNEL...]".into(),
            Operand::Output => "[FILE]".into(),
            Operand::Words(words) => format!("[{}]", words.join(" | ")),
            Operand::WordAndPackage(words) => format!("[{} [MODULE[/VERSION]]]", words.join(" | ")),
        }
    }
}

fn contains(groups: &[&[Opt]], opt: Opt) -> bool {
    groups.iter().any(|group| group.contains(&opt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_and_option_has_one_row_and_its_own_names() {
        for row in ACTIONS {
            assert_eq!(Action::from_word(row.word).map(Action::word), Some(row.word));
            assert_eq!(ACTIONS.iter().filter(|other| other.word == row.word).count(), 1, "{}", row.word);
        }
        let mut names = Vec::new();
        for row in OPTIONS {
            names.extend(row.short.map(String::from));
            names.extend((!row.long.is_empty()).then(|| row.long.to_owned()));
            assert_eq!(row.takes_value(), !row.value_name.is_empty(), "{}", row.name());
            assert_eq!(row.about.is_empty(), row.is_hidden(), "{}", row.name());
        }
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "no name is used twice");
    }

    #[test]
    fn each_listed_option_belongs_to_an_action() {
        for row in OPTIONS.iter().filter(|row| !row.is_hidden()) {
            let listed = ACTIONS.iter().any(|action| action.relation(row.opt) == Relation::Listed);
            assert!(listed, "{} belongs to no action", row.name());
        }
        for action in ACTIONS {
            let both = OPTIONS.iter().filter(|row| {
                contains(action.options, row.opt)
                    && (contains(action.accepts, row.opt) || COMMON.contains(&row.opt))
            });
            let both: Vec<_> = both.map(OptionRow::name).collect();
            assert!(both.is_empty(), "{}: {both:?} are in two lists", action.word);
        }
    }

    #[test]
    fn texts_are_written_alike() {
        for row in ACTIONS {
            assert!(
                row.purpose.starts_with(char::is_lowercase) && !row.purpose.ends_with('.'),
                "{}",
                row.word
            );
            assert!(row.purpose.len() <= 60, "{}: the purpose fits on a line", row.word);
            assert!(row.about.ends_with('.') && !row.examples.is_empty(), "{}", row.word);
            for example in row.examples {
                assert!(example.starts_with("dkms ") && example.contains(row.word), "{example}");
            }
        }
        for row in OPTIONS.iter().filter(|row| !row.is_hidden()) {
            assert!(row.about.starts_with(char::is_uppercase) && !row.about.ends_with('.'), "{}", row.name());
            assert!(row.details.is_empty() || row.details.ends_with('.'), "{}", row.name());
            assert!(row.details.split('`').count() % 2 == 1, "{}: backticks are paired", row.name());
        }
    }

    #[test]
    fn examples_only_use_options_of_their_action() {
        for action in ACTIONS {
            for example in action.examples {
                for word in example.split_whitespace().filter(|word| word.starts_with('-')) {
                    let named = |row: &&OptionRow| {
                        word.strip_prefix("--").map_or_else(
                            || row.short.is_some_and(|short| word == format!("-{short}")),
                            |long| row.long == long,
                        )
                    };
                    let row = OPTIONS.iter().find(named).unwrap_or_else(|| panic!("{example}: {word}"));
                    assert_eq!(action.relation(row.opt), Relation::Listed, "{example}: {word}");
                }
            }
        }
    }
}
