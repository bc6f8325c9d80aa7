//! The tables for fish: a `complete` command for each action and option.

use super::text::{description, filled, words_where};
use crate::actions::help::{HELP, HELP_PURPOSE};
use crate::actions::{ACTIONS, COMMON, OPTIONS, Operand, Opt, OptionRow, Relation, Value};

pub(super) fn text() -> String {
    let words: Vec<String> = ACTIONS.iter().map(|row| row.word.to_owned()).chain([HELP.to_owned()]).collect();
    let mut text = format!(
        "function __dkms_actions -d 'Every action'\n    printf '%s\\n' \\\n{}\nend\n\n",
        filled(&words, "        ", " \\")
    );
    for (word, purpose) in ACTIONS.iter().map(|row| (row.word, row.purpose)).chain([(HELP, HELP_PURPOSE)]) {
        text.push_str(&format!(
            "complete -c dkms -n 'not __dkms_action' -a {word} -d '{}'\n",
            quoted(purpose)
        ));
    }
    text.push('\n');
    text.push_str(&operands());
    text.push('\n');
    OPTIONS.iter().filter(|row| !row.is_hidden()).for_each(|row| text.push_str(&option(row)));
    text
}

fn operands() -> String {
    let mut text = String::new();
    let kinds: [(&[Operand], &str); 3] = [
        (
            &[Operand::Package, Operand::Packages, Operand::PackageAndRegistry, Operand::PackageOrFiles],
            "-a '(__dkms_packages)'",
        ),
        (&[Operand::Source], "-a '(__dkms_sources)'"),
        (&[Operand::Source, Operand::PackageOrFiles, Operand::Archive, Operand::Output], "-F"),
    ];
    for (kinds, offered) in kinds {
        let words = words_where(|row| kinds.contains(&row.operand)).join(" ");
        text.push_str(&format!("complete -c dkms -n '__dkms_action {words}' {offered}\n"));
    }
    for row in ACTIONS {
        if let Operand::Words(words) | Operand::WordAndPackage(words) = row.operand {
            let words = words.join(" ");
            text.push_str(&format!(
                "complete -c dkms -n '__dkms_action {}; and not __fish_seen_subcommand_from {words}' -a '{words}'\n",
                row.word
            ));
        }
    }
    text.push_str(&format!("complete -c dkms -n '__dkms_action {HELP}' -a '(__dkms_actions)'\n"));
    text
}

fn option(row: &OptionRow) -> String {
    let mut text = String::from("complete -c dkms");
    if !COMMON.contains(&row.opt) {
        let words = words_where(|action| action.relation(row.opt) == Relation::Listed).join(" ");
        let before = matches!(row.opt, Opt::Module | Opt::ModuleVersion | Opt::Kernel | Opt::Arch);
        let none = if before { "not __dkms_action; or " } else { "" };
        text.push_str(&format!(" -n '{none}__dkms_action {words}'"));
    }
    if let Some(short) = row.short {
        text.push_str(&format!(" -s {short}"));
    }
    if !row.long.is_empty() {
        text.push_str(&format!(" -l {}", row.long));
    }
    text.push_str(match row.value {
        Value::Flag => "",
        Value::Module => " -x -a '(__dkms_sources)'",
        Value::Version => " -x -a '(__dkms_packages | string replace -r \".*/\" \"\")'",
        Value::Kernel => " -x -a '(__dkms_kernels)'",
        Value::Arch => " -x -a '(uname -m)'",
        Value::File => " -r -F",
        Value::OptionalFile => " -F",
        Value::Directory => " -x -a '(__fish_complete_directories)'",
        Value::Directive | Value::Jobs | Value::Seconds | Value::Text => " -x",
    });
    text.push_str(&format!(" -d '{}'\n", quoted(description(row))));
    text
}

/// Escapes text for single quotes.
fn quoted(text: &str) -> String {
    text.replace('\'', "\\'")
}
