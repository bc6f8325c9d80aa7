//! Functions that several generators share.

use crate::actions::{ACTIONS, ActionRow, OptionRow};

/// The sentence of an option without the default, as completions show it.
pub(super) fn description(row: &OptionRow) -> &'static str {
    row.about.split(" [default").next().unwrap_or_default()
}

/// The words of the actions that meet a condition.
pub(super) fn words_where(condition: impl Fn(&ActionRow) -> bool) -> Vec<&'static str> {
    ACTIONS.iter().filter(|row| condition(row)).map(|row| row.word).collect()
}

/// Words in indented lines of at most 100 columns. `end_of_line` is appended to all lines but the last.
pub(super) fn filled(words: &[String], indent: &str, end_of_line: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in words {
        if column > 0 && column + 1 + word.len() > 100 {
            text.push_str(end_of_line);
            text.push('\n');
            column = 0;
        }
        text.push_str(if column == 0 { indent } else { " " });
        column += word.len() + if column == 0 { indent.len() } else { 1 };
        text.push_str(word);
    }
    text
}
