//! Finds the critical path: the builds and steps that waited for each other, which determine how long the
//! command takes.

use super::run::{Item, Part, Reason, Run, Step};

/// A build that begins within this time after another one ended, in seconds, follows it.
const GAP: f64 = 0.3;

/// If nothing ended within this time before a build began, in seconds, another build used all job slots.
const IDLE: f64 = 1.0;

/// The critical path, from the beginning of the command to its end.
pub(super) fn find(run: &Run) -> Vec<Part> {
    let items = items(run);
    let mut path: Vec<Part> = Vec::new();
    let mut next = latest(&items, run.facts.total + GAP, f64::INFINITY);
    while let Some(part) = next {
        // Each step goes back in time, so this ends.
        if path.last().is_some_and(|last| part.from >= last.from) {
            break;
        }
        path.push(part);
        next = predecessor(run, &items, &part);
    }
    path.reverse();
    path
}

/// All builds and spans, sorted by their ends.
fn items(run: &Run) -> Vec<Part> {
    let build = |(index, step): (usize, &Step)| {
        Some(Part { item: Item::Build(index), from: step.from?, to: step.to? })
    };
    let builds = run.builds.iter().enumerate().filter_map(build);
    let spans = run.spans.iter().enumerate();
    let spans = spans.map(|(index, span)| Part { item: Item::Span(index), from: span.from, to: span.to });
    let mut items: Vec<Part> = builds.chain(spans).collect();
    items.sort_by(|a, b| a.to.total_cmp(&b.to));
    items
}

/// The item that ended last until `end`, of those that began before `begun`.
fn latest(items: &[Part], end: f64, begun: f64) -> Option<Part> {
    let count = items.partition_point(|part| part.to <= end);
    items.get(..count)?.iter().rev().find(|part| part.from < begun).copied()
}

/// The part that a part had to wait for.
fn predecessor(run: &Run, items: &[Part], part: &Part) -> Option<Part> {
    let Item::Build(index) = part.item else {
        return latest(items, part.from + 0.01, part.from);
    };
    let step = run.builds.get(index)?;
    match step.waits.last().map(|wait| &wait.reason) {
        Some(Reason::Dependency(other)) => {
            items.iter().find(|part| part.item == Item::Build(*other)).copied()
        }
        Some(_) => {
            let last = latest(items, part.from + GAP, part.from);
            match last {
                Some(last) if part.from - last.to < IDLE => Some(last),
                _ => holder(items, part.from).or(last),
            }
        }
        None => None,
    }
}

/// The build that used all job slots before this moment, as far as it had run until then.
fn holder(items: &[Part], moment: f64) -> Option<Part> {
    let runs =
        |part: &&Part| matches!(part.item, Item::Build(_)) && part.from < moment - IDLE && part.to > moment;
    let longest = items.iter().filter(runs).min_by(|a, b| a.from.total_cmp(&b.from))?;
    Some(Part { to: moment, ..*longest })
}
