//! The table of actions.

mod hooks;
mod keys;
mod modules;
mod packages;
mod queries;

use super::action::{Action, ActionRow, BASE};
use super::join::{join, total};

impl Action {
    /// The action that a word names.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        ACTIONS.iter().find(|row| row.word == word).map(|row| row.action)
    }

    /// Its row in the table.
    pub(crate) fn row(self) -> &'static ActionRow {
        // A test checks that each action has a row.
        ACTIONS.iter().find(|row| row.action == self).unwrap_or(&ACTIONS[0])
    }

    /// The word it is called by.
    pub(crate) fn word(self) -> &'static str {
        self.row().word
    }
}

/// The rows, file by file.
const FILES: &[&[ActionRow]] =
    &[modules::MODULES, queries::QUERIES, packages::PACKAGES, keys::KEYS, hooks::HOOKS];

/// Every action, in the order of [`Action`].
pub(crate) static ACTIONS: &[ActionRow] = &join::<_, { total(FILES) }>(BASE, FILES);
