//! The messages about words that are not actions, and about options that do not exist.

use crate::actions::help::HELP;
use crate::actions::{ACTIONS, OPTIONS};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use dkms_conf::nearest;
use dkms_core::request::UsageError;

/// The error for a command line without an action. It suggests the action that was probably meant.
pub(crate) fn unknown_action(words: &[String]) -> UsageError {
    let Some(first) = words.first() else { return UsageError::NoAction };
    let known = || ACTIONS.iter().map(|row| row.word).chain([HELP]);
    let meant = words.iter().find_map(|word| Some((word, nearest(word, wrong_letters(word), known())?)));
    let (word, meant) = meant.map_or((first, None), |(word, meant)| (word, Some(meant)));
    UsageError::UnknownAction { word: word.clone(), meant }
}

/// The number of letters of a misspelt word that may be wrong: a third, but one to three.
fn wrong_letters(word: &str) -> usize {
    (word.chars().count() / 3).clamp(1, 3)
}

/// The message about a command line that clap refuses.
pub(super) fn wrong_line(error: &clap::Error) -> String {
    let text = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) => unknown_option(option),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    };
    format!(
        "dkms: error: {text}\n  'dkms help' lists the options, and 'dkms help ACTION' those of an action\n"
    )
}

/// The message about an option that does not exist. It suggests the options that were probably meant.
fn unknown_option(option: &str) -> String {
    let long = option.trim_start_matches('-');
    let known = || OPTIONS.iter().filter(|row| !row.is_hidden() && !row.long.is_empty()).map(|row| row.long);
    let beginning: Vec<&str> = known().filter(|name| name.starts_with(long)).collect();
    let meant = match beginning.as_slice() {
        _ if !option.starts_with("--") || long.is_empty() => Vec::new(),
        [] => nearest(long, wrong_letters(long), known()).into_iter().collect(),
        _ => beginning,
    };
    if meant.is_empty() {
        return format!("there is no option '{option}'");
    }
    let meant: Vec<String> = meant.iter().map(|name| format!("'--{name}'")).collect();
    format!("there is no option '{option}': did you mean {}?", meant.join(" or "))
}
