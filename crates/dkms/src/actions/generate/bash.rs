//! The tables for bash: functions that set variables of their caller, `_dkms` in
//! `packaging/completions/dkms.bash`.

use super::text::{filled, words_where};
use crate::actions::help::HELP;
use crate::actions::{ACTIONS, COMMON, OPTIONS, Operand, OptionRow, Value};

pub(super) fn text() -> String {
    let words: Vec<String> = ACTIONS.iter().map(|row| row.word.to_owned()).chain([HELP.to_owned()]).collect();
    let common = OPTIONS.iter().filter(|row| COMMON.contains(&row.opt));
    format!(
        "# Sets actions, and common: the options of every action.\n\
         __dkms_tables() {{\n    actions='\n{}'\n    common='{}'\n}}\n\n{}\n{}\n{}",
        filled(&words, "        ", ""),
        names(common).join(" "),
        options(),
        values(),
        operands(),
    )
}

fn names(rows: impl Iterator<Item = &'static OptionRow>) -> Vec<String> {
    let names = |row: &OptionRow| {
        let short = row.short.map(|short| format!("-{short}"));
        short.into_iter().chain((!row.long.is_empty()).then(|| format!("--{}", row.long)))
    };
    rows.flat_map(names).collect()
}

fn options() -> String {
    let mut text =
        String::from("# Sets options: those of the action $1.\n__dkms_options() {\n    case $1 in\n");
    for action in ACTIONS {
        let own = names(action.own_options().filter(|row| !row.is_hidden()));
        text.push_str(&format!(
            "    {})\n        options='\n{}'\n        ;;\n",
            action.word,
            filled(&own, "            ", "")
        ));
    }
    text.push_str(&format!("    {HELP}) options='' ;;\n"));
    text.push_str("    *) options='-m --module -v -k --kernelver -a --arch' ;;\n    esac\n}\n");
    text
}

fn values() -> String {
    let mut text = String::from(
        "# Sets value: what the option $1 takes; empty if it takes nothing.\n__dkms_value() {\n    case $1 in\n",
    );
    let kinds = [
        (Value::Module, "module"),
        (Value::Version, "version"),
        (Value::Kernel, "kernel"),
        (Value::Arch, "arch"),
        (Value::File, "file"),
        (Value::Directory, "directory"),
        (Value::Directive, "directive"),
        (Value::Jobs, "jobs"),
        (Value::Seconds, "seconds"),
        (Value::Text, "text"),
    ];
    for (kind, word) in kinds {
        let rows = OPTIONS.iter().filter(|row| row.value == kind);
        text.push_str(&format!("    {}) value='{word}' ;;\n", names(rows).join(" | ")));
    }
    text.push_str("    *) value='' ;;\n    esac\n}\n");
    text
}

fn operands() -> String {
    let mut text =
        String::from("# Sets operands: what the action $1 works on.\n__dkms_operands() {\n    case $1 in\n");
    let kinds = [
        (Operand::Package, "package"),
        (Operand::Packages, "package"),
        (Operand::PackageAndRegistry, "package"),
        (Operand::Source, "source"),
        (Operand::PackageOrFiles, "package-or-file"),
        (Operand::Archive, "file"),
        (Operand::Output, "file"),
    ];
    for (kind, word) in kinds {
        text.push_str(&format!(
            "    {}) operands='{word}' ;;\n",
            words_where(|row| row.operand == kind).join(" | ")
        ));
    }
    for row in ACTIONS {
        if let Operand::Words(words) | Operand::WordAndPackage(words) = row.operand {
            text.push_str(&format!("    {}) operands='{}' ;;\n", row.word, words.join(" ")));
        }
    }
    text.push_str(&format!("    {HELP}) operands=$actions ;;\n    *) operands='' ;;\n    esac\n}}\n"));
    text
}
