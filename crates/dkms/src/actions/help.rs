//! The texts of help: an overview of all actions, and the help of one action.

use super::{ACTIONS, ActionRow, COMMON, Group, Kernels, OPTIONS, OptionRow, Relation, Root, Value};

/// The word that requests help, alone or before an action.
pub(crate) const HELP: &str = "help";
/// Its purpose, in the same style as the purposes of actions.
pub(crate) const HELP_PURPOSE: &str = "print help, for one action if one is given";

/// The width of the text, in columns.
const WIDTH: usize = 80;
/// The column in which descriptions begin.
const TEXT: usize = 26;

/// `dkms help`: all actions with their purposes, and all options with one sentence.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "Builds and installs kernel modules that do not come with the kernel.\n\n\
         Usage: dkms ACTION [OPTIONS] [MODULE/VERSION | DIRECTORY | FILE]\n\n\
         Actions:\n",
    );
    for row in ACTIONS {
        text.push_str(&format!("  {:<16} {}\n", row.word, row.purpose));
    }
    text.push_str(&format!("  {HELP:<16} {HELP_PURPOSE}\n"));
    for group in Group::ALL {
        text.push_str(&format!("\n{}:\n", group.title()));
        for row in OPTIONS.iter().filter(|row| row.group == group) {
            push_option(&mut text, row, false);
        }
    }
    text.push_str("\n'dkms help ACTION' describes an action, its options and examples.\n");
    text.push_str("'man dkms' describes everything.\n");
    text
}

/// `dkms help ACTION`: the help of one action.
pub(crate) fn action_help(row: &ActionRow) -> String {
    let mut text = row.purpose.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text.push_str(&format!("\n\nUsage: dkms {} [OPTIONS] {}", row.word, row.operands()));
    text.truncate(text.trim_end().len());
    text.push_str("\n\n");
    wrap(&mut text, &row.about.replace('`', "'"), 0);
    text.push_str(match row.root {
        Root::No => "",
        Root::Sometimes => "Needs root for some of its changes.\n",
        Root::Always => "Needs root.\n",
    });
    text.push_str(match row.kernels {
        Kernels::None | Kernels::Many => "",
        Kernels::One => "Takes one kernel.\n",
        Kernels::Named => "Takes one kernel, which must be given with -k.\n",
    });
    text.push_str("\nExamples:\n");
    for example in row.examples {
        text.push_str(&format!("  {example}\n"));
    }
    if row.own_options().next().is_some() {
        text.push_str("\nOptions:\n");
        row.own_options().for_each(|option| push_option(&mut text, option, true));
    }
    text.push_str("\nCommon options:\n");
    for option in OPTIONS.iter().filter(|option| COMMON.contains(&option.opt)) {
        push_option(&mut text, option, false);
    }
    text
}

/// Appends an option with its sentence, and its details if requested.
fn push_option(text: &mut String, row: &OptionRow, with_details: bool) {
    let mut names = match row.short {
        Some(short) if row.long.is_empty() => format!("  -{short}"),
        Some(short) => format!("  -{short}, --{}", row.long),
        None => format!("      --{}", row.long),
    };
    if row.value == Value::OptionalFile {
        names.push_str(&format!("[={}]", row.value_name));
    } else if row.takes_value() {
        names.push_str(&format!(" {}", row.value_name));
    }
    text.push_str(&names);
    if names.len() + 2 > TEXT {
        text.push_str(&format!("\n{:TEXT$}", ""));
    } else {
        text.push_str(&format!("{:1$}", "", TEXT - names.len()));
    }
    let about = match (with_details, row.details.is_empty()) {
        (true, false) => format!("{}. {}", row.about, row.details.replace('`', "")),
        (true, true) => row.about.to_owned(),
        (false, _) => format!("{}{}", row.about, few_actions(row)),
    };
    wrap(text, &about, TEXT);
}

/// The actions of an option in parentheses, if it applies to few actions.
fn few_actions(row: &OptionRow) -> String {
    let actions = ACTIONS.iter().filter(|action| action.relation(row.opt) == Relation::Listed);
    let words: Vec<&str> = actions.map(|action| action.word).collect();
    if words.len() > 4 { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// Appends words in lines of [`WIDTH`] columns. All lines but the first are indented. The text ends with a
/// line feed.
fn wrap(text: &mut String, words: &str, indent: usize) {
    let mut column = indent;
    for (position, word) in words.split_whitespace().enumerate() {
        let width = word.chars().count();
        if position > 0 && column + 1 + width > WIDTH {
            text.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        } else if position > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::Action;

    #[test]
    fn the_overview_names_every_action_and_option() {
        let text = overview();
        for row in ACTIONS {
            assert!(text.contains(&format!("\n  {:<16} {}\n", row.word, row.purpose)), "{}", row.word);
        }
        for row in OPTIONS {
            let named = |next| text.contains(&format!("{}{next}", row.name()));
            assert_eq!([' ', '\n', '['].into_iter().any(named), !row.is_hidden(), "{}", row.name());
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn help_of_an_action_has_what_belongs_to_it_only() {
        let names = |action: Action| {
            let text = action_help(action.row());
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
            text.lines()
                .filter_map(|l| l.split_whitespace().find(|w| w.starts_with("--")))
                .map(str::to_owned)
                .filter(|name| !COMMON.iter().any(|o| o.row().name() == *name))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let text = action_help(Action::Status.row());
        assert!(text.starts_with(
            "Show the state of each module\n\nUsage: dkms status [OPTIONS] [MODULE[/VERSION]]\n"
        ));
        assert!(text.contains("Examples:\n  dkms status\n") && !text.contains("Needs root"), "{text}");
        assert!(action_help(Action::Autoinstall.row()).contains("\nUsage: dkms autoinstall [OPTIONS]\n"));
        assert!(action_help(Action::Install.row()).contains("Needs root.\n"));
        assert_eq!(names(Action::GenerateMok), "--lock-timeout --dry-run");
        assert!(
            names(Action::Mkkmp).ends_with("--archive --spec") && !names(Action::Mkkmp).contains("--force")
        );
    }
}
