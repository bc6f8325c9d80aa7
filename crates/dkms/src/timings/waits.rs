//! What each build waited for. The scheduler's rules are those of `dkms_core::schedule`.

use super::record::{Entry, What};
use super::run::{Kind, Reason, Run, Span, Step, Wait};
use dkms_core::event::Event;

/// Shorter waits are not worth a word.
const SHORT: f64 = 0.05;

/// A build that waits while this share of the slots is in use waits for one of them.
const MOST_SLOTS: f64 = 0.75;

/// A build that waits for memory waits at least until it is checked again.
const MEMORY: f64 = 0.5;

/// Finds the waits of all builds, and those of the thread that installs.
pub(super) fn find(run: &mut Run, entries: &[Entry]) {
    let locks = locks(entries);
    let most = match run.slots {
        0 => run.lanes,
        slots => slots as usize,
    };
    let waits: Vec<Vec<Wait>> = run.builds.iter().map(|step| of_step(run, step, most, &locks)).collect();
    for (step, waits) in run.builds.iter_mut().zip(waits) {
        step.waits = waits;
    }
    let of_build = |lock: &&Lock| run.builds.iter().any(|step| step.thread == Some(lock.entry.thread));
    let others: Vec<Span> = locks
        .iter()
        .filter(|lock| !of_build(lock) && lock.to - lock.from > SHORT)
        .map(|lock| Span {
            name: format!("waiting for {}", lock.text),
            kind: Kind::Lock,
            from: lock.from,
            to: lock.to,
        })
        .collect();
    run.spans.extend(others);
}

/// A wait for another dkms, until its thread reported something else.
struct Lock<'a> {
    entry: &'a Entry,
    from: f64,
    to: f64,
    text: String,
}

fn locks(entries: &[Entry]) -> Vec<Lock<'_>> {
    let lock = |(n, entry): (usize, &'_ Entry)| {
        let What::Event(Event::Waiting { what, holder }) = &entry.what else { return None };
        let next = entries.get(n + 1..)?.iter().find(|other| other.thread == entry.thread);
        let from = entry.at.as_secs_f64();
        Some((from, next.map_or(from, |next| next.at.as_secs_f64()), format!("{what}, held by {holder}")))
    };
    let found = entries.iter().enumerate().filter_map(|(n, entry)| Some((entry, lock((n, entry))?)));
    found.map(|(entry, (from, to, text))| Lock { entry, from, to, text }).collect()
}

fn of_step(run: &Run, step: &Step, most: usize, locks: &[Lock<'_>]) -> Vec<Wait> {
    let Some(start) = step.from else { return Vec::new() };
    let mut waits = Vec::new();
    let mut from = step.queued;
    let ended = |n: &usize| {
        let other = run.builds.get(*n)?;
        Some((*n, other.installed.or(other.to)?))
    };
    let dependency = step.after.iter().filter_map(ended).max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((n, end)) = dependency.filter(|(_, end)| *end > from) {
        let to = end.min(start);
        waits.push(Wait { from, to, reason: Reason::Dependency(n) });
        from = to;
    }
    let of_step = |lock: &&Lock<'_>| step.thread == Some(lock.entry.thread) && lock.from >= from;
    let lock = locks.iter().find(|lock| of_step(lock) && lock.from < start);
    let to = lock.map_or(start, |lock| lock.from);
    waits.extend(for_slot(run, step, from, to, most).map(|reason| Wait { from, to, reason }));
    waits.extend(lock.map(|lock| Wait {
        from: lock.from,
        to: start,
        reason: Reason::Lock(lock.text.clone()),
    }));
    waits.retain(|wait| wait.to - wait.from > SHORT);
    waits
}

/// Why a build that could have begun did not; `None` if there was no reason but the work of starting it.
fn for_slot(run: &Run, step: &Step, from: f64, to: f64, most: usize) -> Option<Reason> {
    let middle = f64::midpoint(from, to);
    let runs = |other: &Step| {
        other.from.is_some_and(|from| from <= middle) && other.to.is_some_and(|to| to >= middle)
    };
    let running: Vec<(usize, &Step)> =
        run.builds.iter().enumerate().filter(|(_, other)| runs(other)).collect();
    if running.len() >= most {
        return Some(Reason::Slot);
    }
    let used = run.use_of_slots(from, to) / (to - from).max(0.001);
    match running.iter().find(|(_, other)| other.build.package == step.build.package) {
        Some((n, _)) => Some(Reason::SamePackage(*n)),
        // One build may use all slots while another waits for one.
        None if used >= MOST_SLOTS * f64::from(run.slots) && run.slots > 0 => Some(Reason::Slot),
        // The first build begins however little memory is free, and free memory is checked twice per second.
        None => (!running.is_empty() && to - from > MEMORY).then_some(Reason::Memory),
    }
}
