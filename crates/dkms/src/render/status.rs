//! Renders `dkms status` as coloured lines, or as a table of packages and kernels.

use super::json::state_word;
use super::paint::{Colour, Painted};
use console::measure_text_width;
use dkms_conf::kernel_match::compare_versions;
use dkms_core::ids::{Build, Kernel, PackageId};
use dkms_core::look::status::{Entry, State};
use std::collections::BTreeMap;

/// The number of spaces between columns.
const GAP: usize = 2;

/// The lines of `dkms status`. `remark` returns what to append to the line of an entry.
pub(crate) fn lines(entries: &[Entry], remark: &dyn Fn(&Entry) -> String) -> Painted {
    let mut out = Painted::default();
    for entry in entries {
        let line = entry.line() + &remark(entry);
        // This only determines the colours. Remarks can contain a colon as well.
        let (subject, state) = line.split_once(": ").unwrap_or((&line, ""));
        let word_end = state.find(' ').unwrap_or(state.len());
        let (word, remarks) = state.split_at(word_end);
        out.text(subject).text(": ").coloured(colour(entry), word);
        out.coloured(Colour::Yellow, remarks).end_line();
    }
    out
}

fn colour(entry: &Entry) -> Colour {
    match entry.kind {
        State::Broken => Colour::Red,
        _ if entry.built_missing => Colour::Red,
        State::Installed(_) | State::InstalledWeak { .. } => Colour::Green,
        State::Built(_) => Colour::Yellow,
        State::Added => Colour::None,
    }
}

/// One cell of the table.
struct Cell {
    text: String,
    colour: Colour,
}

/// A table with a row for each package and a column for each kernel.
pub(crate) struct Table {
    /// The kernels with the headings of their columns.
    kernels: Vec<(Kernel, String)>,
    rows: BTreeMap<PackageId, Vec<Cell>>,
}

impl Table {
    /// Creates a table of these entries, with columns for their kernels and those in `present`. `failed`
    /// returns whether the last build of a package for a kernel failed.
    pub(crate) fn new(
        entries: &[Entry],
        present: &[Kernel],
        running: &str,
        failed: &dyn Fn(&Build) -> bool,
    ) -> Self {
        let mut kernels: Vec<Kernel> =
            entries.iter().filter_map(Entry::kernel).chain(present).cloned().collect();
        kernels.sort_by(|a, b| compare_versions(&a.release, &b.release).then_with(|| a.cmp(b)));
        kernels.dedup();
        let several_arches =
            kernels.iter().any(|kernel| Some(&kernel.arch) != kernels.first().map(|first| &first.arch));
        let name = |kernel: &Kernel| {
            let arch = if several_arches { format!("/{}", kernel.arch) } else { String::new() };
            let mark = if kernel.release == running { "*" } else { "" };
            format!("{}{arch}{mark}", kernel.release)
        };
        let mut rows: BTreeMap<PackageId, Vec<Cell>> = BTreeMap::new();
        for package in entries.iter().map(|entry| &entry.package) {
            rows.entry(package.clone()).or_insert_with(|| {
                let entries: Vec<&Entry> = entries.iter().filter(|entry| entry.package == *package).collect();
                kernels.iter().map(|kernel| cell(package, kernel, &entries, failed)).collect()
            });
        }
        let kernels = kernels.iter().map(|kernel| (kernel.clone(), name(kernel))).collect();
        Self { kernels, rows }
    }

    /// The text: a table if it fits into `width` columns, else a list. Without a width, always a table.
    pub(crate) fn render(&self, width: Option<usize>) -> Painted {
        let packages = self.rows.keys().map(|package| measure(&package.to_string()));
        let first = packages.chain([measure("PACKAGE")]).max().unwrap_or(0);
        let columns: Vec<usize> = self
            .kernels
            .iter()
            .enumerate()
            .map(|(column, (_, name))| {
                let cells =
                    self.rows.values().filter_map(|row| row.get(column)).map(|cell| measure(&cell.text));
                cells.chain([measure(name)]).max().unwrap_or(0)
            })
            .collect();
        let total = columns.iter().fold(first, |sum, column| sum.saturating_add(GAP).saturating_add(*column));
        let mut out = match width {
            Some(width) if total > width => self.list(),
            _ => self.table(first, &columns),
        };
        if self.kernels.iter().any(|(_, name)| name.ends_with('*')) {
            out.coloured(Colour::Dim, "* the running kernel").end_line();
        }
        out
    }

    fn table(&self, first: usize, columns: &[usize]) -> Painted {
        let mut out = Painted::default();
        pad(out.coloured(Colour::Bold, "PACKAGE"), "PACKAGE", first);
        for ((_, name), width) in self.kernels.iter().zip(columns) {
            out.text("  ").coloured(Colour::Bold, name);
            pad(&mut out, name, *width);
        }
        out.end_line();
        for (package, cells) in &self.rows {
            let package = package.to_string();
            pad(out.text(&package), &package, first);
            for (cell, width) in cells.iter().zip(columns) {
                out.text("  ").coloured(cell.colour, &cell.text);
                pad(&mut out, &cell.text, *width);
            }
            out.end_line();
        }
        out
    }

    fn list(&self) -> Painted {
        let mut out = Painted::default();
        for (package, cells) in &self.rows {
            out.coloured(Colour::Bold, &package.to_string()).end_line();
            for (cell, (_, name)) in cells.iter().zip(&self.kernels) {
                out.text("  ").text(name).text(": ").coloured(cell.colour, &cell.text).end_line();
            }
        }
        out
    }
}

fn cell(package: &PackageId, kernel: &Kernel, entries: &[&Entry], failed: &dyn Fn(&Build) -> bool) -> Cell {
    let has_failed = failed(&Build::new(package, kernel));
    let Some(entry) = entries.iter().find(|entry| entry.kernel() == Some(kernel)) else {
        return if has_failed {
            Cell { text: "failed".into(), colour: Colour::Red }
        } else if entries.iter().any(|entry| entry.kind == State::Broken) {
            Cell { text: "broken".into(), colour: Colour::Red }
        } else {
            Cell { text: "-".into(), colour: Colour::Dim }
        };
    };
    let word = state_word(&entry.kind);
    if entry.built_missing {
        Cell { text: format!("{word}, files missing"), colour: Colour::Red }
    } else if has_failed {
        Cell { text: format!("{word}, rebuild failed"), colour: Colour::Red }
    } else if entry.differs {
        Cell { text: format!("{word}, differs"), colour: Colour::Yellow }
    } else {
        Cell { text: word.to_owned(), colour: colour(entry) }
    }
}

/// The width of a text on a terminal, in columns.
fn measure(text: &str) -> usize {
    measure_text_width(&crate::printable::on_one_line(text))
}

/// Adds spaces after `text` up to this width.
fn pad(out: &mut Painted, text: &str, width: usize) {
    out.text(&" ".repeat(width.saturating_sub(measure(text))));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(release: &str) -> Kernel {
        Kernel::new(release, "x86_64").unwrap()
    }

    fn entries() -> Vec<Entry> {
        let id = |name: &str| PackageId { name: name.into(), version: "1.0".into() };
        let mut differs = Entry::new(&id("hello"), State::Installed(kernel("6.10.0")));
        differs.differs = true;
        vec![
            Entry::new(&id("hello"), State::Installed(kernel("6.9.0"))),
            differs,
            Entry::new(&id("gone"), State::Broken),
            Entry::new(&id("new"), State::Added),
        ]
    }

    #[test]
    fn a_table_or_a_list() {
        let failed = |build: &Build| build.package.name == "new" && build.kernel.release == "6.11.0";
        let table = Table::new(&entries(), &[kernel("6.11.0")], "6.9.0", &failed);
        let wide = "PACKAGE    6.9.0*     6.10.0              6.11.0\n\
                    gone/1.0   broken     broken              broken\n\
                    hello/1.0  installed  installed, differs  -\n\
                    new/1.0    -          -                   failed\n\
                    * the running kernel\n";
        assert_eq!(table.render(None).plain(), wide);
        assert_eq!(table.render(Some(80)).plain(), wide);
        let narrow = table.render(Some(30)).plain();
        assert!(
            narrow.contains("hello/1.0\n  6.9.0*: installed\n  6.10.0: installed, differs\n"),
            "{narrow}"
        );
    }

    #[test]
    fn the_word_of_the_state_is_coloured_whatever_the_remark_is() {
        let painted = lines(&entries()[..1], &|_| " (Fallback: 2.0 does not build)".to_owned());
        let line = painted.with_colours();
        assert!(line.contains("\u{1b}[0m\u{1b}[33m (Fallback: 2.0 does not build)\u{1b}[0m\n"), "{line}");
    }

    #[test]
    fn coloured_lines_say_what_plain_ones_say() {
        let plain: String = entries().iter().map(|e| format!("{}\n", e.line())).collect();
        let painted = lines(&entries(), &|_| String::new());
        assert_eq!(painted.plain(), plain);
        assert!(painted.with_colours().contains("hello/1.0, 6.9.0, x86_64: \u{1b}[32minstalled\u{1b}[0m\n"));
    }
}
