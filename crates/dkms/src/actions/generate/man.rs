//! The lists of options in dkms(8), in the language mdoc(7).

use super::text::words_where;
use crate::actions::{COMMON, Group, OPTIONS, OptionRow, Relation, Value};

/// If an option applies to more actions than this, they are not listed.
const MOST_ACTIONS: usize = 10;

pub(super) fn text() -> String {
    let mut page = Page::default();
    for group in Group::ALL {
        page.line(&format!(".Ss {}", group.title()));
        page.line(".Bl -tag -width Ds");
        for row in OPTIONS.iter().filter(|row| row.group == group) {
            page.line(&tag(row));
            page.sentences(&format!("{}.", row.about.replace("[default", "(default").replace(']', ")")));
            page.sentences(row.details);
            let actions = words_where(|action| action.relation(row.opt) == Relation::Listed);
            if !COMMON.contains(&row.opt) && actions.len() <= MOST_ACTIONS {
                page.sentences(&format!("Applies to {}.", listed(&actions)));
            }
        }
        page.line(".El");
    }
    page.text
}

fn listed(actions: &[&str]) -> String {
    let quoted: Vec<String> = actions.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

/// The line that names an option and its value.
fn tag(row: &OptionRow) -> String {
    let value = match row.value_name.split_once("[/") {
        Some((first, second)) => {
            format!(
                " Ar {} Ns Oo / Ns Ar {} Oc",
                first.to_lowercase(),
                second.trim_end_matches(']').to_lowercase()
            )
        }
        None => match row.value_name.split_once('=') {
            Some((name, value)) => format!(" Ar {name} Ns = Ns Ar {}", value.to_lowercase()),
            None if row.value == Value::OptionalFile => {
                format!(" Ns Oo Ns = Ns Ar {} Oc", row.value_name.to_lowercase())
            }
            None if row.takes_value() => format!(" Ar {}", row.value_name.to_lowercase()),
            None => String::new(),
        },
    };
    let short = row.short.map(|short| format!("Fl {short}{value}"));
    let long = (!row.long.is_empty()).then(|| format!("Fl -{}{value}", row.long));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    format!(".It {}", names.join(" , "))
}

/// Text in mdoc: lines of at most 80 columns, with a new line for each sentence and each macro.
#[derive(Default)]
struct Page {
    text: String,
    line: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.end_line();
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.text.push_str(&std::mem::take(&mut self.line));
            self.text.push('\n');
        }
    }

    /// Sentences with literal words in backticks, paths, and references to manual pages.
    fn sentences(&mut self, text: &str) {
        for (position, part) in text.split('`').enumerate() {
            let (is_literal, mut rest) = (position % 2 == 1, part);
            if is_literal {
                let macros = match part {
                    _ if part.starts_with('-') => format!(".Fl {}", &part[1..]),
                    _ if part.contains(':') => format!(".Li {part}"),
                    // A section of this page.
                    _ if part.chars().all(|letter| letter.is_ascii_uppercase() || letter == ' ') => {
                        format!(".Sx {part}")
                    }
                    _ => format!(".Cm {part}"),
                };
                self.line(&macros);
                continue;
            }
            // Text that follows a macro without a space is punctuation, and belongs to the line of the macro.
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            if position > 0 && end > 0 {
                self.punctuation(&rest[..end]);
                rest = &rest[end..];
            }
            rest.split_whitespace().for_each(|word| self.word(word));
        }
        self.end_line();
    }

    /// Adds punctuation to the last macro.
    fn punctuation(&mut self, marks: &str) {
        self.text.truncate(self.text.trim_end().len());
        for mark in marks.chars() {
            self.text.push_str(&format!(" {mark}"));
        }
        self.text.push('\n');
    }

    fn word(&mut self, word: &str) {
        let bare = word.trim_end_matches(['.', ',', ';', ')']);
        let marks = &word[bare.len()..];
        let page = bare.strip_suffix(')').or(Some(bare)).and_then(|reference| reference.split_once('('));
        let macros = match page {
            Some((name, section)) if !name.is_empty() && section.len() == 1 => {
                Some(format!(".Xr {name} {section}"))
            }
            _ if bare.starts_with('/') && bare.len() > 1 => Some(format!(".Pa {}", path(bare))),
            _ if bare.starts_with("--") => Some(format!(".Fl {}", &bare[1..])),
            _ => None,
        };
        if let Some(macros) = macros {
            self.line(&macros);
            // The closing parenthesis of a reference to a page is not punctuation.
            let marks =
                if macros.starts_with(".Xr") { marks.strip_prefix(')').unwrap_or(marks) } else { marks };
            if !marks.is_empty() {
                self.punctuation(marks);
            }
            return;
        }
        if !self.line.is_empty() && (self.line.ends_with('.') || self.line.len() + 1 + word.len() > 80) {
            self.end_line();
        }
        if !self.line.is_empty() {
            self.line.push(' ');
        }
        self.line.push_str(word);
    }
}

/// A path, in which a component in capitals is a placeholder.
fn path(path: &str) -> String {
    let mut text = String::new();
    for component in path.split_inclusive('/') {
        let name = component.trim_end_matches('/');
        if !name.is_empty() && name.chars().all(|letter| letter.is_ascii_uppercase()) {
            text.push_str(&format!(" Ns Ar {} Ns Pa {}", name.to_lowercase(), &component[name.len()..]));
        } else {
            text.push_str(component);
        }
    }
    text
}
