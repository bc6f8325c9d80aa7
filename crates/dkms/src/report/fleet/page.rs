//! The HTML page about a fleet.

use super::super::problem::{self, Heading};
use super::super::words;
use super::causes::{Group, Key};
use super::summary::{PackageCount, Summary};
use crate::render::numbers::count;
use dkms_pages::{Html, Page};
use std::collections::BTreeMap;

/// The most columns of the table of packages and kernels.
const COLUMNS: usize = 12;

/// The most groups of problems that are shown.
const GROUPS: usize = 200;

/// Returns the page. `left_out` is whether there are more files than were read.
pub(super) fn render(summary: &Summary, left_out: bool) -> String {
    let title = format!("dkms on {}", count(summary.machines, "machine"));
    let mut html = Html::new();
    html.element("h1", &[], &title);
    facts(&mut html, summary);
    if left_out {
        html.element("p", &[("class", "bad")], "There are more files in the directory, which were not read.");
    }
    filter(&mut html);
    causes(&mut html, summary);
    machines(&mut html, summary);
    kernels(&mut html, summary);
    packages(&mut html, summary);
    unreadable(&mut html, summary);
    Page { title: &title, style: include_str!("fleet.css"), script: include_str!("fleet.js") }.render(&html)
}

fn facts(html: &mut Html, summary: &Summary) {
    let unknown = summary.machines - summary.ready - summary.not_ready;
    html.within("ul", &[("class", "facts")], |html| {
        for (name, count, class) in [
            ("not ready", summary.not_ready, "bad"),
            ("ready", summary.ready, "good"),
            ("unknown whether ready", unknown, "warn"),
            ("files could not be read", summary.unreadable_count, "warn"),
            ("older than three days", summary.old, "warn"),
        ] {
            html.within("li", &[], |html| {
                let class = if count == 0 { "muted" } else { class };
                html.element("b", &[("class", class)], &count.to_string()).text(name);
            });
        }
    });
}

/// Adds the form that filters the machines. It is hidden until the script runs.
fn filter(html: &mut Html) {
    html.within(
        "form",
        &[("id", "filter"), ("class", "card screen"), ("hidden", ""), ("role", "search")],
        |html| {
            html.within("label", &[], |html| {
                html.text("Machine, kernel, package or problem ");
                html.leaf("input", &[("id", "words"), ("type", "search"), ("autocomplete", "off")]);
            });
            html.within("label", &[], |html| {
                html.text(" State ");
                html.within("select", &[("id", "state")], |html| {
                    for (value, text) in
                        [("", "any"), ("no", "not ready"), ("unknown", "not known"), ("yes", "ready")]
                    {
                        html.element("option", &[("value", value)], text);
                    }
                });
            });
            html.element("p", &[("id", "shown"), ("role", "status")], "");
        },
    );
}

fn causes(html: &mut Html, summary: &Summary) {
    html.element("h2", &[("id", "causes")], "What is wrong, by cause");
    let groups = summary.causes.sorted();
    if groups.is_empty() {
        html.paragraph("No machine has a problem.");
    }
    for (key, group) in groups.iter().take(GROUPS) {
        cause(html, key, group);
    }
    let more = groups.len().saturating_sub(GROUPS) + summary.causes.others;
    if more > 0 {
        html.paragraph(&format!("{more} more kinds of problems are not shown here."));
    }
}

fn cause(html: &mut Html, key: &Key, group: &Group) {
    let about = problem::subject(&key.package, &key.version, &key.kernel);
    let cause = words::cause(&key.cause);
    let subject = if about.is_empty() { cause } else { format!("{cause}, {about}") };
    let machines = format!(": {}", count(group.machines, "machine"));
    let heading = Heading { severity: key.severity, subject: &subject, more: &machines };
    problem::section(html, heading, &group.texts, &group.fix, |html| {
        html.within("details", &[], |html| {
            html.element("summary", &[], &format!("Machines ({})", group.machines));
            html.within("p", &[], |html| {
                for (position, (number, name)) in group.names.iter().enumerate() {
                    html.text(if position == 0 { "" } else { ", " });
                    html.element("a", &[("href", &format!("#m{number}"))], name);
                }
                if group.machines > group.names.len() {
                    html.text(&format!(" and {} more", group.machines - group.names.len()));
                }
            });
        });
    });
}

fn machines(html: &mut Html, summary: &Summary) {
    html.element("h2", &[("id", "machines")], "Machines");
    html.within("div", &[("id", "machine-rows")], |html| {
        html.table("Machines", "", &["Machine", "Ready", "Kernels and packages", "Problems"], |html| {
            for rows in &summary.rows {
                html.append(rows);
            }
        });
    });
    if summary.without_row > 0 {
        let text =
            format!("{} are not listed, to keep the page small.", count(summary.without_row, "machine"));
        html.element("p", &[("class", "warn")], &text);
    }
    if summary.without_packages > 0 {
        let which = count(summary.without_packages, "machine");
        html.paragraph(&format!("{which} are listed without their packages, to keep the page small."));
    }
}

fn kernels(html: &mut Html, summary: &Summary) {
    if summary.kernels.is_empty() {
        return;
    }
    html.element("h2", &[("id", "kernels")], "Kernels");
    html.table("Kernels", "", &["Kernel", "Machines", "Running", "Ready", "Not ready"], |html| {
        for (kernel, count) in &summary.kernels {
            html.within("tr", &[], |html| {
                html.row_heading(kernel);
                for number in [count.machines, count.running, count.ready, count.not_ready] {
                    html.element("td", &[("class", "number")], &number.to_string());
                }
            });
        }
    });
}

/// Adds the table of packages and kernels. A cell has two numbers: the machines that have the package for
/// the kernel, and those of them on which it is installed.
fn packages(html: &mut Html, summary: &Summary) {
    if summary.packages.is_empty() {
        return;
    }
    html.element("h2", &[("id", "packages")], "Packages and kernels");
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    for (kernel, count) in summary.packages.values().flatten() {
        *totals.entry(kernel).or_default() += count.machines;
    }
    let mut kernels: Vec<(&str, usize)> = totals.into_iter().collect();
    kernels.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others = kernels.len().saturating_sub(COLUMNS);
    kernels.truncate(COLUMNS);
    let note = "Installed, of the machines that have the package for this kernel.";
    let more = if others == 0 { String::new() } else { format!(" {others} rarer kernels are not shown.") };
    html.muted(&format!("{note}{more}"));
    let columns: Vec<&str> =
        std::iter::once("Package").chain(kernels.iter().map(|(kernel, _)| *kernel)).collect();
    html.table("Packages and kernels", "", &columns, |html| {
        for ((package, version), counts) in &summary.packages {
            html.within("tr", &[], |html| {
                html.row_heading(&format!("{package}/{version}"));
                for (kernel, _) in &kernels {
                    let (text, class) = match counts.get(*kernel) {
                        None => ("–".to_owned(), "number muted"),
                        Some(PackageCount { machines, installed }) if installed == machines => {
                            (machines.to_string(), "number good")
                        }
                        Some(PackageCount { machines, installed }) => {
                            (format!("{installed} of {machines}"), "number bad")
                        }
                    };
                    html.element("td", &[("class", class)], &text);
                }
            });
        }
    });
}

fn unreadable(html: &mut Html, summary: &Summary) {
    if summary.unreadable_count == 0 {
        return;
    }
    html.element("h2", &[("id", "unreadable")], "Could not be read");
    html.within("ul", &[], |html| {
        for (file, why) in &summary.unreadable {
            html.element("li", &[], &format!("{file} could not be read: {why}"));
        }
    });
    let more = summary.unreadable_count - summary.unreadable.len();
    if more > 0 {
        html.paragraph(&format!("and {more} more"));
    }
}
