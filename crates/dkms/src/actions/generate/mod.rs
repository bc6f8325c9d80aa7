//! Generates files in `packaging/` from the tables of actions and options: the tables of the completions, and
//! the lists of options in dkms(8), which are between two marks.
//!
//! The test fails if a file differs from the tables, and writes it if `DKMS_REGENERATE` is set:
//!
//! ```text
//! DKMS_REGENERATE=1 cargo test -p dkms generated_files
//! ```

mod bash;
mod fish;
mod man;
mod text;
mod zsh;

use super::ACTIONS;
use std::path::Path;

const COMMAND: &str = "DKMS_REGENERATE=1 cargo test -p dkms generated_files";

#[test]
fn generated_files_match_the_tables() {
    compare("completions/tables", |_| completion_tables());
    compare("man/dkms.8", |old| with_generated(old, ".\\\" ", &man::text()).expect("dkms.8 has marks"));
}

/// Compares a file with the generated text, or writes it.
fn compare(name: &str, generate: impl FnOnce(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name);
    let old = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
    let new = generate(&old);
    if std::env::var_os("DKMS_REGENERATE").is_some() {
        std::fs::write(&path, new).unwrap_or_else(|e| panic!("{name}: {e}"));
    } else if old != new {
        let line = old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count() + 1;
        panic!(
            "packaging/{name} differs from the tables in line {line}; this command writes it:\n  {COMMAND}"
        );
    }
}

/// The tables for all shells, in one file. `packaging/completions/assemble` inserts each part into the file
/// of its shell.
fn completion_tables() -> String {
    let mut text = format!(
        "# The actions and options in the completions of each shell. This command writes the file from the tables of the program:\n\
         #   {COMMAND}\n"
    );
    for (shell, part) in [("bash", bash::text()), ("zsh", zsh::text()), ("fish", fish::text())] {
        text.push_str(&format!("# --- {shell}\n{part}"));
    }
    text
}

#[test]
fn the_manual_describes_each_action() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/man/dkms.8");
    let page = std::fs::read_to_string(page).unwrap_or_default();
    let tags: Vec<&str> = page.lines().filter(|line| line.starts_with(".It Cm ")).collect();
    for row in ACTIONS {
        let named = tags.iter().any(|tag| tag.split([' ', ',']).any(|word| word == row.word));
        assert!(named, "{} has no item in the section Actions of packaging/man/dkms.8", row.word);
    }
}

/// Returns a file with new text between its marks.
fn with_generated(file: &str, comment: &str, text: &str) -> Option<String> {
    let begin = format!("{comment}BEGIN GENERATED: {COMMAND}\n");
    let end = format!("{comment}END GENERATED\n");
    let (before, rest) = file.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}
