//! Finds what each build waited for, according to the rules of the scheduler (`dkms_core::schedule`).

use super::record::{Entry, What};
use super::run::{Kind, Reason, Run, Span, Step, Wait};
use dkms_core::event::Event;

/// Waits that are shorter than this, in seconds, are left out.
const SHORT: f64 = 0.05;

/// If at least this share of the job slots was in use, a waiting build waited for a slot.
const MOST_SLOTS: f64 = 0.75;

/// A build that waits for memory waits at least this long, in seconds, until free memory is checked again.
const MEMORY: f64 = 0.5;

/// Finds the waits of all builds, and of the thread that installs.
pub(super) fn find(run: &mut Run, entries: &[Entry]) {
    let locks = locks(entries);
    let most = match run.slots {
        0 => run.lanes,
        slots => slots as usize,
    };
    let waits: Vec<Vec<Wait>> = run.builds.iter().map(|step| waits_of(run, step, most, &locks)).collect();
    for (step, waits) in run.builds.iter_mut().zip(waits) {
        step.waits = waits;
    }
    let is_in_build = |lock: &&Lock| run.builds.iter().any(|step| step.thread == Some(lock.entry.thread));
    let others: Vec<Span> = locks
        .iter()
        .filter(|lock| !is_in_build(lock) && lock.to - lock.from > SHORT)
        .map(|lock| Span {
            name: format!("waiting for {}", lock.text),
            kind: Kind::Lock,
            from: lock.from,
            to: lock.to,
        })
        .collect();
    run.spans.extend(others);
}

/// A wait for the lock of another dkms, which ends with the next event of the same thread.
struct Lock<'a> {
    entry: &'a Entry,
    from: f64,
    to: f64,
    text: String,
}

fn locks<'a>(entries: &'a [Entry]) -> Vec<Lock<'a>> {
    let lock = |(index, entry): (usize, &'a Entry)| {
        let Entry { at, thread, what: What::Event(Event::Waiting { what, holder }) } = entry else {
            return None;
        };
        let next = entries.get(index + 1..)?.iter().find(|other| other.thread == *thread);
        let (from, to) = (at.as_secs_f64(), next.map_or(*at, |next| next.at).as_secs_f64());
        Some(Lock { entry, from, to, text: format!("{what}, held by {holder}") })
    };
    entries.iter().enumerate().filter_map(lock).collect()
}

/// What a build waited for. `most` is the number of builds that can run at the same time.
fn waits_of(run: &Run, step: &Step, most: usize, locks: &[Lock<'_>]) -> Vec<Wait> {
    let Some(start) = step.from else { return Vec::new() };
    let mut waits = Vec::new();
    let mut from = step.queued;
    let ended = |index: &usize| {
        let other = run.builds.get(*index)?;
        Some((*index, other.installed.or(other.to)?))
    };
    let dependency = step.after.iter().filter_map(ended).max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((index, end)) = dependency.filter(|(_, end)| *end > from) {
        let to = end.min(start);
        waits.push(Wait { from, to, reason: Reason::Dependency(index) });
        from = to;
    }
    let lock = locks
        .iter()
        .find(|lock| step.thread == Some(lock.entry.thread) && lock.from >= from && lock.from < start);
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

/// The reason why a build waited between two moments although its dependencies were installed; `None` if it
/// only took time to start.
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
        Some((index, _)) => Some(Reason::SamePackage(*index)),
        // One build can use all slots.
        None if used >= MOST_SLOTS * f64::from(run.slots) && run.slots > 0 => Some(Reason::Slot),
        // The first build does not wait for memory, and free memory is checked twice per second.
        None => (!running.is_empty() && to - from > MEMORY).then_some(Reason::Memory),
    }
}
