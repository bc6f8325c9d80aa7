//! The tables for zsh: an array of specifications for each option, and functions that set variables of their
//! caller, `_dkms` in `packaging/completions/_dkms`.

use super::text::{description, filled, words_where};
use crate::actions::help::{HELP, HELP_PURPOSE};
use crate::actions::{ACTIONS, COMMON, OPTIONS, Operand, Opt, OptionRow, Value};

pub(super) fn text() -> String {
    let mut text = String::from("# Sets actions: each with its purpose.\n_dkms_actions() {\n  actions=(\n");
    for (word, purpose) in ACTIONS.iter().map(|row| (row.word, row.purpose)).chain([(HELP, HELP_PURPOSE)]) {
        text.push_str(&format!("    '{word}:{}'\n", quoted(purpose)));
    }
    text.push_str("  )\n}\n\n# Sets specs: the options of the action $1, and operands.\n_dkms_specs() {\n");
    for row in OPTIONS.iter().filter(|row| !row.is_hidden()) {
        text.push_str(&format!("  local -a {}; {}=({})\n", array(row), array(row), spec(row)));
    }
    let common = OPTIONS.iter().filter(|row| COMMON.contains(&row.opt));
    text.push_str(&format!("  specs=(\n{}\n  )\n  operands=()\n  case $1 in\n", arrays(common)));
    for action in ACTIONS {
        let own = arrays(action.own_options().filter(|row| !row.is_hidden()));
        text.push_str(&format!("    {})\n      specs+=(\n{own}\n      ) ;;\n", action.word));
    }
    text.push_str(&format!("    {HELP}) ;;\n"));
    let any = [Opt::Module, Opt::ModuleVersion, Opt::Kernel, Opt::Arch].map(Opt::row);
    text.push_str(&format!("    *)\n      specs+=(\n{}\n      ) ;;\n  esac\n", arrays(any.into_iter())));
    text.push_str(&operands());
    text.push_str("}\n");
    text
}

fn arrays(rows: impl Iterator<Item = &'static OptionRow>) -> String {
    let words: Vec<String> = rows.map(|row| format!("${}", array(row))).collect();
    filled(&words, "        ", "")
}

/// The name of the array of an option.
fn array(row: &OptionRow) -> String {
    let name = match row.short {
        Some(short) if row.long.is_empty() => short.to_string(),
        _ => row.long.replace('-', "_"),
    };
    format!("o_{name}")
}

fn spec(row: &OptionRow) -> String {
    let (short, long) = match (row.takes_value(), row.long) {
        (_, long) if row.value == Value::OptionalFile => ("-", format!("--{long}=-")),
        (true, long) => ("+", format!("--{long}=")),
        (false, long) => ("", format!("--{long}")),
    };
    let names = match row.short {
        Some(letter) if row.long.is_empty() => format!("-{letter}{short}"),
        Some(letter) => format!("{{-{letter}{short},{long}}}"),
        None => long,
    };
    let others = match row.opt {
        Opt::Help | Opt::Version => "'(- *)'".to_owned(),
        Opt::BinariesOnly => "'(--source-only)'".to_owned(),
        Opt::SourceOnly => "'(--binaries-only)'".to_owned(),
        _ if row.repeatable => "'*'".to_owned(),
        _ => match row.short {
            Some(letter) if !row.long.is_empty() => format!("'(-{letter} --{})'", row.long),
            _ => String::new(),
        },
    };
    let action = match row.value {
        Value::Flag => "",
        Value::Module => ":module:_dkms_packages",
        Value::Version => ":version:",
        Value::Kernel => ":kernel:_dkms_kernels",
        Value::Arch => ":architecture:($(uname -m))",
        Value::File => ":file:_files",
        Value::OptionalFile => "::file:_files",
        Value::Directory => ":directory:_directories",
        Value::Directive => ":NAME=value:",
        Value::Jobs => ":number:",
        Value::Seconds => ":seconds:",
        Value::Text => ":word:",
    };
    // Double quotes, because zsh runs `uname -m` when it evaluates the specification.
    let quote = if row.value == Value::Arch { '"' } else { '\'' };
    let about = if row.value == Value::Arch { description(row).to_owned() } else { quoted(description(row)) };
    format!("{others}{names}{quote}[{about}]{action}{quote}")
}

fn operands() -> String {
    let mut text = String::from("  case $1 in\n");
    let kinds = [
        (Operand::Package, "'*:package:_dkms_packages'"),
        (Operand::Packages, "'*:package:_dkms_packages'"),
        (Operand::PackageAndRegistry, "'*:package:_dkms_packages'"),
        (Operand::Source, "'*:source:_dkms_sources'"),
        (
            Operand::PackageOrFiles,
            "'*:module:_alternative \"packages:package:_dkms_packages\" \"files:module file:_files -g \\\"*.ko*\\\"\"'",
        ),
        (Operand::Archive, "'*:archive:_files'"),
        (Operand::Output, "'*:file:_files'"),
    ];
    for (kind, spec) in kinds {
        let words = words_where(|row| row.operand == kind).join("|");
        text.push_str(&format!("    {words}) operands=({spec}) ;;\n"));
    }
    for row in ACTIONS {
        if let Operand::Words(words) | Operand::WordAndPackage(words) = row.operand {
            text.push_str(&format!("    {}) operands=('2:what:({})') ;;\n", row.word, words.join(" ")));
        }
    }
    let words: Vec<&str> = ACTIONS.iter().map(|row| row.word).chain([HELP]).collect();
    text.push_str(&format!("    {HELP}) operands=('2:action:({})') ;;\n  esac\n", words.join(" ")));
    text
}

/// Escapes text for single quotes.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}
