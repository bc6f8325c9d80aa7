//! The HTML page of a command.

use super::run::{Item, Outcome, Reason, Run, Step};
use super::text::{id, link, percent, seconds};
use super::{advice, chart, failures};
use crate::printable::without_pins;
use dkms_core::tree::manifest::BuildOrigin;
use dkms_pages::{Html, Page, Tone};

/// The most parts of the critical path that are listed.
const PARTS: usize = 40;

/// Facts that are left out if their number is 0.
const OPTIONAL: [&str; 3] = ["from the cache", "from a registry", "not built"];

/// Returns the page of a command.
pub(super) fn render(run: &Run) -> String {
    let mut main = Html::new();
    main.element("h1", &[], &format!("Timings of dkms {}", run.facts.action));
    main.muted(&without_pins(&run.facts.command));
    facts(&mut main, run);
    failures::sections(&mut main, run);
    main.element("h2", &[], "What to do");
    advice_list(&mut main, run);
    main.element("h2", &[], "Timeline");
    legend(&mut main);
    chart::draw(&mut main, run);
    critical_path(&mut main, run);
    builds(&mut main, run);
    let title = format!("dkms {}: timings", run.facts.action);
    let page = Page { title: &title, style: include_str!("timings.css"), script: include_str!("timings.js") };
    page.render(&main)
}

fn facts(html: &mut Html, run: &Run) {
    let count =
        |chosen: &dyn Fn(&Step) -> bool| run.builds.iter().filter(|step| chosen(step)).count().to_string();
    let built = |step: &Step| step.outcome == Outcome::Built;
    let known: Vec<(f64, f64)> = run
        .builds
        .iter()
        .filter(|step| built(step) && step.is_compiled())
        .filter_map(|step| Some((step.duration(), step.last?.duration.as_secs_f64())))
        .collect();
    let (actual, expected) = known.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    let mut list = vec![
        (seconds(run.facts.total), "in total".to_owned()),
        (count(&|step| built(step) && step.is_compiled()), "compiled".into()),
        (count(&|step| built(step) && step.origin == BuildOrigin::Cache), "from the cache".into()),
        (
            count(&|step| built(step) && matches!(step.origin, BuildOrigin::Registry(_))),
            "from a registry".into(),
        ),
        (count(&Step::is_failed), "failed".into()),
        (count(&|step| step.left_out().is_some()), "not built".into()),
    ];
    if expected > 0.0 {
        list.push((
            percent(actual, expected),
            format!("of the time of the last builds ({})", seconds(expected)),
        ));
    }
    if run.slots > 0 {
        let used = run.use_of_slots(0.0, run.facts.total) / run.facts.total.max(0.001);
        let cpus = match run.facts.cpus {
            1 => "1 processor".to_owned(),
            n => format!("{n} processors"),
        };
        list.push((format!("{used:.1} of {}", run.slots), format!("job slots in use on average, on {cpus}")));
    }
    html.within("ul", &[("class", "facts")], |html| {
        for (value, name) in
            list.into_iter().filter(|(value, name)| value != "0" || !OPTIONAL.contains(&name.as_str()))
        {
            let class = match name.as_str() {
                "failed" if value != "0" => "bad",
                "not built" => "warn",
                _ => "",
            };
            html.within("li", &[], |html| {
                html.element("b", &[("class", class)], &value).text(" ").text(&name);
            });
        }
    });
    let begun = dkms_core::time::utc(run.facts.begun);
    html.muted(&format!("It began at {begun}. dkms {}.", env!("CARGO_PKG_VERSION")));
}

fn advice_list(html: &mut Html, run: &Run) {
    for advice in advice::advise(run) {
        html.within("div", &[("class", "card")], |html| {
            html.within("p", &[], |html| {
                html.element("strong", &[], &advice.observation);
                if let Some(index) = advice.build {
                    html.text(" ");
                    link(html, index, "Show this build");
                }
            });
            if !advice.remarks.is_empty() {
                html.within("ul", &[], |html| {
                    for remark in &advice.remarks {
                        html.within("li", &[], |html| with_code(html, remark));
                    }
                });
            }
        });
    }
}

/// Adds a text in which commands and settings are between backticks.
fn with_code(html: &mut Html, text: &str) {
    for (position, part) in text.split('`').enumerate() {
        match position % 2 {
            0 => html.text(part),
            _ => html.element("code", &[], part),
        };
    }
}

fn legend(html: &mut Html) {
    let kinds = [
        ("built", "prepare, check, sign"),
        ("make", "make"),
        ("reused", "from the cache or a registry"),
        ("failed", "failed"),
        ("unfinished", "interrupted"),
        ("install", "install"),
        ("depmod", "depmod"),
        ("command", "planning, other commands"),
        ("lock", "waiting for another dkms"),
        ("critical", "critical path"),
        ("slots", "job slots in use"),
    ];
    html.within("ul", &[("class", "legend")], |html| {
        for (class, name) in kinds {
            html.within("li", &[], |html| {
                let square =
                    [("viewBox", "0 0 12 12"), ("width", "12"), ("height", "12"), ("aria-hidden", "true")];
                html.within("svg", &square, |html| {
                    html.element("rect", &[("class", class), ("width", "12"), ("height", "12")], "");
                });
                html.text(" ").text(name);
            });
        }
    });
}

fn critical_path(html: &mut Html, run: &Run) {
    if run.path.is_empty() {
        return;
    }
    html.element("h2", &[], "Critical path");
    html.paragraph(
        "Each of these waited for the one before it. The command is faster only if one of them is.",
    );
    html.within("ol", &[("class", "path")], |html| {
        let skipped = run.path.len().saturating_sub(PARTS);
        if skipped > 0 {
            html.element("li", &[], &format!("{skipped} earlier parts"));
        }
        for part in run.path.iter().skip(skipped) {
            html.within("li", &[], |html| {
                match part.item {
                    Item::Build(index) => link(html, index, &build_name(run, index)),
                    Item::Span(index) => {
                        html.text(run.spans.get(index).map_or("", |span| span.name.as_str()));
                    }
                }
                let took = part.to - part.from;
                html.text(&format!(": {} ({})", seconds(took), percent(took, run.facts.total)));
            });
        }
    });
}

fn builds(html: &mut Html, run: &Run) {
    html.element("h2", &[], &format!("Builds ({})", run.builds.len()));
    html.within("p", &[("class", "screen filter"), ("hidden", "")], |html| {
        html.within("label", &[], |html| {
            html.text("Show those with ").leaf("input", &[("type", "search"), ("id", "filter")]);
        });
        html.text(" ").within("label", &[], |html| {
            html.leaf("input", &[("type", "checkbox"), ("id", "failed")]).text(" only failures");
        });
        html.text(" ").within("label", &[], |html| {
            html.leaf("input", &[("type", "checkbox"), ("id", "longest")]).text(" longest first");
        });
        html.text(" ").element("output", &[("id", "shown"), ("for", "filter failed")], "");
    });
    let longest = run.builds.iter().map(Step::duration).fold(0.0, f64::max);
    html.within("div", &[("id", "builds")], |html| {
        for (index, step) in run.builds.iter().enumerate() {
            build(html, run, index, step, longest);
        }
    });
}

/// The name of the build with this index.
fn build_name(run: &Run, index: usize) -> String {
    run.builds.get(index).map(|step| step.build.to_string()).unwrap_or_default()
}

/// Adds a build. `longest` is the time of the longest build of the command, in seconds.
fn build(html: &mut Html, run: &Run, index: usize, step: &Step, longest: f64) {
    let took = format!("{:.3}", step.duration());
    let failed = if step.is_failed() { "build failed-build" } else { "build" };
    html.within("details", &[("class", failed), ("id", &id(index)), ("data-seconds", &took)], |html| {
        html.within("summary", &[], |html| {
            html.element("span", &[("class", "name")], &step.build.to_string()).text(" ");
            let tone = match step.outcome {
                Outcome::Failed(..) => Tone::Bad,
                Outcome::Unfinished | Outcome::Skipped(_) | Outcome::Deferred(_) => Tone::Warn,
                Outcome::Built => Tone::Good,
            };
            html.badge(tone, step.state()).text(" ");
            html.element("span", &[("class", "took")], &time_and_last_time(step));
            meter(html, step, longest);
        });
        details(html, run, step);
    });
}

/// The time of a build and of its last build, or the reason why it was left out.
fn time_and_last_time(step: &Step) -> String {
    if let Some(reason) = step.left_out() {
        return without_pins(reason).into_owned();
    }
    let took = if step.from.is_some() { seconds(step.duration()) } else { "—".into() };
    match step.last {
        Some(last) => format!("{took}, last time {}", seconds(last.duration.as_secs_f64())),
        None => took,
    }
}

/// Draws two bars: the time of this build and that of its last build.
fn meter(html: &mut Html, step: &Step, longest: f64) {
    let last = step.last.map_or(0.0, |last| last.duration.as_secs_f64());
    let scale = 100.0 / longest.max(0.001);
    let attributes = [
        ("viewBox", "0 0 100 6"),
        ("preserveAspectRatio", "none"),
        ("class", "meter"),
        ("aria-hidden", "true"),
    ];
    html.within("svg", &attributes, |html| {
        for (class, y, value) in [("built", "0", step.duration()), ("expected", "4", last)] {
            let width = format!("{:.1}", (value * scale).clamp(0.0, 100.0));
            let height = if y == "0" { "3" } else { "1.5" };
            html.element("rect", &[("class", class), ("y", y), ("width", &width), ("height", height)], "");
        }
    });
}

fn details(html: &mut Html, run: &Run, step: &Step) {
    if let Outcome::Failed(error, help) = &step.outcome {
        failures::message(html, error, help);
    }
    let mut lines: Vec<String> = Vec::new();
    if let BuildOrigin::Registry(from) = &step.origin {
        lines.push(format!("From {from}"));
    }
    lines.extend(step.waits.iter().map(|wait| {
        let why = match &wait.reason {
            Reason::Dependency(other) => format!("{}, which it is built against", build_name(run, *other)),
            Reason::Slot => "a free job slot".into(),
            Reason::SamePackage(other) => {
                format!("the build directory, which {} used", build_name(run, *other))
            }
            Reason::Memory => "free memory (min_free_memory)".into(),
            Reason::Lock(text) => text.clone(),
        };
        format!("Waited {} for {why}", seconds(wait.to - wait.from))
    }));
    if let Some(from) = step.from {
        lines.push(format!("Began after {}", seconds(from)));
    }
    let stages = merged_stages(step).into_iter();
    lines.extend(stages.map(|(name, took)| format!("{name}: {}", seconds(took))));
    if step.objects > 0 {
        let last = step.last.and_then(|last| last.objects);
        let before = last.map_or_else(String::new, |last| format!(", last time {last}"));
        lines.push(format!("Object files compiled: {}{before}", step.objects));
    }
    if let Some((object, gap)) = step.slowest_object().filter(|(_, gap)| *gap > 0.5) {
        lines.push(format!("Longest time without a new object file: {} after {object}", seconds(gap)));
    }
    html.list(lines.iter().map(|line| without_pins(line)));
    if !step.log.is_empty() {
        let label = format!("Log of {}", step.build);
        let attributes = [("tabindex", "0"), ("role", "region"), ("aria-label", label.as_str())];
        html.element("pre", &attributes, &without_pins(&step.log));
    }
}

/// The stages with their times in seconds. The stages that each sign one module are merged.
fn merged_stages(step: &Step) -> Vec<(String, f64)> {
    let mut merged: Vec<(String, f64)> = Vec::new();
    for stage in &step.stages {
        let name = if stage.name.starts_with("signing ") { "signing" } else { stage.name.as_str() };
        match merged.last_mut().filter(|(last, _)| last == name) {
            Some((_, took)) => *took += stage.to - stage.from,
            None => merged.push((name.to_owned(), stage.to - stage.from)),
        }
    }
    merged
}
