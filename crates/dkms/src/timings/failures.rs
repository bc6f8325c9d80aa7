//! The builds that failed, each with the errors of the compiler, and the builds that were left out.

use super::run::{Outcome, Run, Step};
use super::text::link;
use crate::printable::without_pins;
use dkms_pages::Html;

/// The most failures that are shown with all details from the start.
const OPEN: usize = 3;

/// The most failures that are listed from the start. The others appear after a click.
const LISTED: usize = 5;

/// Adds the sections "What failed" and "Not built".
pub(super) fn sections(html: &mut Html, run: &Run) {
    let failed: Vec<(usize, &Step)> =
        run.builds.iter().enumerate().filter(|(_, step)| step.is_failed()).collect();
    if !failed.is_empty() || run.facts.error.is_some() {
        html.element("h2", &[], "What failed");
    }
    let show = |html: &mut Html, some: &[(usize, &Step)]| {
        for (index, step) in some {
            failure(html, *index, step, failed.len() <= OPEN);
        }
    };
    let (first, more) = failed.split_at(failed.len().min(LISTED));
    show(html, first);
    if !more.is_empty() {
        html.within("details", &[("class", "failure")], |html| {
            html.element("summary", &[], &format!("{} more", more.len()));
            show(html, more);
        });
    }
    if let Some((error, help)) = &run.facts.error {
        html.within("div", &[("class", "card failure")], |html| {
            html.element("h3", &[], "The command");
            message(html, error, help);
        });
    }
    left_out(html, run);
}

fn failure(html: &mut Html, index: usize, step: &Step, open: bool) {
    let Outcome::Failed(error, help) = &step.outcome else { return };
    let mut attributes = vec![("class", "card failure")];
    attributes.extend(open.then_some(("open", "")));
    html.within("details", &attributes, |html| {
        html.within("summary", &[], |html| {
            html.element("strong", &[], &step.build.to_string());
            html.element("span", &[("class", "bad first-error")], &headline(step, error, help));
        });
        message(html, short(step, error), help);
        html.within("p", &[], |html| {
            link(html, index, "Show this build and its log");
        });
    });
}

/// Adds the builds that were skipped or deferred.
fn left_out(html: &mut Html, run: &Run) {
    let builds: Vec<(usize, &Step)> =
        run.builds.iter().enumerate().filter(|(_, step)| step.left_out().is_some()).collect();
    if builds.is_empty() {
        return;
    }
    html.element("h2", &[], "Not built");
    html.within("ul", &[], |html| {
        for (index, step) in builds {
            html.within("li", &[], |html| {
                link(html, index, &step.build.to_string());
                let reason = step.left_out().unwrap_or_default();
                html.text(&format!(": {}: {}", step.state(), without_pins(reason)));
            });
        }
    });
}

/// The first error of the compiler, without the directory of the build. Without one, the error of the build.
fn headline(step: &Step, error: &str, help: &[String]) -> String {
    let is_error = |line: &&String| line.contains("error: ") || line.contains("Error: ");
    let line = help.iter().find(is_error).map_or_else(|| short(step, error), String::as_str);
    let directory = format!("/{}/{}/build/", step.build.package.name, step.build.package.version);
    let line = line.find(&directory).and_then(|at| line.get(at + directory.len()..)).unwrap_or(line);
    // Remove the option of the compiler that makes it an error.
    let line =
        line.rsplit_once(" [-W").filter(|(_, option)| option.ends_with(']')).map_or(line, |(line, _)| line);
    without_pins(line).into_owned()
}

/// The text of an error without the name of the build.
fn short<'a>(step: &Step, error: &'a str) -> &'a str {
    let rest = error.strip_prefix(&step.build.to_string()).unwrap_or(error);
    rest.strip_prefix(": ").unwrap_or(rest).trim_start()
}

/// Adds an error and its help. Lines of source code in the help keep their columns.
pub(super) fn message(html: &mut Html, error: &str, help: &[String]) {
    html.region("pre", "The first errors", |html| {
        html.element("strong", &[("class", "bad")], &without_pins(error));
        for line in help {
            html.text("\n");
            match is_source(line) {
                true => html.element("span", &[("class", "code")], &without_pins(line)),
                false => html.text(&without_pins(line)),
            };
        }
    });
}

/// Whether a line is source code as a compiler prints it: a line number or nothing, then a bar.
fn is_source(line: &str) -> bool {
    line.split_once('|').is_some_and(|(number, _)| {
        number.chars().all(|character| character == ' ' || character.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_source_are_recognised() {
        assert!(is_source("  276 |         .add_battery = x,"));
        assert!(is_source("      |         ^~~"));
        assert!(!is_source("a.c:1:2: error: 'a | b' is odd") && !is_source("full output: /log"));
    }
}
