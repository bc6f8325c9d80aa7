//! What would make a command faster.

use super::run::{Item, Kind, Reason, Run, Step, Wait};
use super::text::{percent, seconds};
use dkms_core::tree::manifest::BuildOrigin;

/// Below this, nothing is worth a word.
const SHORT: f64 = 1.0;
/// What takes this share of the command is worth a word.
const SHARE: f64 = 0.2;

/// A remark, and what to do.
#[derive(Debug, PartialEq)]
pub(super) struct Advice {
    /// What was seen.
    pub(super) seen: String,
    /// What to do about it, and what else is known.
    pub(super) remarks: Vec<String>,
    /// The build that it is about.
    pub(super) about: Option<usize>,
}

/// The most useful advice first.
pub(super) fn advise(run: &Run) -> Vec<Advice> {
    let all = [longest, failed, saturated, locks, memory, same_package, jobs, depmod, slower];
    let mut list: Vec<Advice> = all.iter().filter_map(|advice| advice(run)).collect();
    if list.is_empty() {
        let begun = || run.builds.iter().filter(|step| step.from.is_some());
        let reused = begun().next().is_some() && begun().all(|step| !step.is_compiled());
        let seen = match reused {
            true => "Nothing was compiled, so there is nothing to speed up.",
            false => "Nothing stands out: no build, wait or step took much of the time.",
        };
        list.push(Advice { seen: seen.into(), remarks: Vec::new(), about: None });
    }
    list
}

/// The longest build of the critical path.
fn longest(run: &Run) -> Option<Advice> {
    let on_path = run.path.iter().filter_map(|part| match part.item {
        Item::Build(n) => Some((n, run.builds.get(n)?)),
        Item::Span(_) => None,
    });
    let (n, step) = on_path.max_by(|a, b| a.1.duration().total_cmp(&b.1.duration()))?;
    let (took, total) = (step.duration(), run.facts.total);
    if took < SHORT || took < SHARE * total || !step.is_compiled() {
        return None;
    }
    let seen = format!(
        "{} took {}, {} of the command, and the end of the command waited for it.",
        step.build,
        seconds(took),
        percent(took, total)
    );
    let mut remarks = Vec::new();
    remarks.extend(slowest_object(step));
    remarks.extend(idle_slots(run, step));
    remarks.extend(waited_for(run, step));
    remarks.push(match (run.facts.has_cache, run.facts.has_registry) {
        (false, _) => "Without --no-cache, the next build with the same inputs \
                       is taken from the cache instead of compiling it."
            .into(),
        (true, false) => {
            "With several machines, let one compile for all: with `registry` in framework.conf, the \
                          others download the build and sign it themselves (`dkms push`)."
                .into()
        }
        (true, true) => {
            "The registry did not have it: `dkms push` on a build machine adds it, and `dkms matrix` \
                         shows what is there."
                .into()
        }
    });
    Some(Advice { seen, remarks, about: Some(n) })
}

fn slowest_object(step: &Step) -> Option<String> {
    let make = step.make()?;
    let (object, gap) = step.slowest_object()?;
    let whole = make.to - make.from;
    if gap < SHORT || gap < 0.3 * whole {
        return None;
    }
    let share = format!("{}, {} of its make", seconds(gap), percent(gap, whole));
    Some(match object.ends_with(".mod.o") {
        true => {
            format!("What follows compiling (modpost, linking, BTF) took {share}: more jobs do not help.")
        }
        false => format!(
            "After {object} began, nothing new was compiled for {share}: one file takes most of this \
             build, so more jobs do not help; only the author of the driver can split it."
        ),
    })
}

/// The time of builds that failed.
fn failed(run: &Run) -> Option<Advice> {
    let failed = || run.builds.iter().filter(|step| step.is_failed());
    let (count, time) = (failed().count(), failed().map(Step::duration).sum::<f64>());
    let all: f64 = run.builds.iter().map(Step::duration).sum();
    (time >= SHORT && time >= 0.1 * all).then(|| Advice {
        seen: format!(
            "{}, after {}, {} of all building.",
            builds(count, "failed"),
            seconds(time),
            percent(time, all)
        ),
        remarks: vec![
            "A newer version of a package may support the kernel: update it, or tell its author what failed."
                .into(),
            "BUILD_EXCLUSIVE_KERNEL in /etc/dkms/PACKAGE.conf leaves out kernels that do not need the \
             package; nothing is then built, and nothing fails."
                .into(),
        ],
        about: None,
    })
}

/// A machine whose processors were busy all the time.
fn saturated(run: &Run) -> Option<Advice> {
    let total = run.facts.total;
    let used = run.use_of_slots(0.0, total) / total.max(0.001);
    let slots = f64::from(run.slots);
    let compiled = run.builds.iter().filter(|step| step.is_compiled()).count();
    let is_busy = run.slots as usize >= run.facts.cpus && used >= 0.85 * slots;
    (is_busy && compiled > 1 && total >= 10.0 * SHORT).then(|| Advice {
        seen: format!(
            "The processors were busy: on average, {used:.1} of {} job slots were in use. Another order of \
             the builds would not be faster.",
            run.slots
        ),
        remarks: vec![
            "Only less to compile or more processors make it shorter: builds from the cache or a registry \
             (`registry` in framework.conf), and no packages or kernels that are not used (`dkms status`)."
                .into(),
        ],
        about: None,
    })
}

/// "1 build failed", "2 builds failed".
fn builds(count: usize, verb: &str) -> String {
    if count == 1 { format!("1 build {verb}") } else { format!("{count} builds {verb}") }
}

/// Slots that were free while a build ran make.
fn idle_slots(run: &Run, step: &Step) -> Option<String> {
    let make = step.make().filter(|_| run.slots > 1)?;
    let length = make.to - make.from;
    let used = run.use_of_slots(make.from, make.to) / length.max(0.001);
    (used < 0.6 * f64::from(run.slots)).then(|| {
        format!(
            "While it ran make, {used:.1} of {} job slots were in use on average: it does not offer more \
             to compile at the same time.",
            run.slots
        )
    })
}

fn waited_for(run: &Run, step: &Step) -> Option<String> {
    let wait = step.waits.iter().max_by(|a, b| length(a).total_cmp(&length(b)))?;
    if length(wait) < SHORT {
        return None;
    }
    let why = match &wait.reason {
        Reason::Dependency(n) => {
            let other = &run.builds.get(*n)?.build;
            format!(
                "for {other}, which it is built against (BUILD_DEPENDS): what makes that one faster \
             helps both"
            )
        }
        Reason::Slot => {
            "for a free job slot; the builds with the longest way to go, judged by their last build, begin \
             first"
                .to_owned()
        }
        _ => return None,
    };
    Some(format!("Before that it waited {} {why}.", seconds(length(wait))))
}

fn length(wait: &Wait) -> f64 {
    wait.to - wait.from
}

/// The time that builds waited for one kind of reason, the number of those builds, and the first one.
fn waited(run: &Run, chosen: impl Fn(&Reason) -> bool) -> Option<(f64, usize, usize)> {
    let of = |step: &Step| step.waits.iter().filter(|w| chosen(&w.reason)).map(length).sum::<f64>();
    let waits: Vec<(usize, f64)> = run.builds.iter().map(of).enumerate().filter(|(_, t)| *t > 0.0).collect();
    let longest = waits.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let worth = longest.1 >= SHORT && longest.1 >= 0.1 * run.facts.total;
    worth.then_some((longest.1, waits.len(), longest.0))
}

fn locks(run: &Run) -> Option<Advice> {
    let spans = || run.spans.iter().filter(|span| span.kind == Kind::Lock);
    let own: f64 = spans().map(|span| span.to - span.from).sum();
    let of_builds = waited(run, |reason| matches!(reason, Reason::Lock(_)));
    let (time, about) = of_builds.map_or((0.0, None), |(time, _, n)| (time, Some(n)));
    let time = time.max(own);
    if time < SHORT || time < 0.1 * run.facts.total {
        return None;
    }
    let in_build = about.and_then(|n| run.builds.get(n)).and_then(|step| {
        step.waits.iter().find_map(|wait| match &wait.reason {
            Reason::Lock(text) => Some(text.clone()),
            _ => None,
        })
    });
    let holder = in_build.or_else(|| spans().next().map(|span| span.name.clone())).unwrap_or_default();
    Some(Advice {
        seen: format!("Another dkms held a lock for {}: {holder}.", seconds(time)),
        remarks: vec![
            "Do not run several commands for the same modules at once: one command that names all of them \
             shares its job slots between them."
                .into(),
        ],
        about,
    })
}

fn memory(run: &Run) -> Option<Advice> {
    let (time, count, about) = waited(run, |reason| *reason == Reason::Memory)?;
    Some(Advice {
        seen: format!(
            "{} beside others, for up to {}, because little memory was free.",
            builds(count, "did not begin"),
            seconds(time)
        ),
        remarks: vec![
            "`min_free_memory` in framework.conf is what has to be free (512 MiB if it is not set). Lower \
             it if the modules are small; more memory helps in any case."
                .into(),
        ],
        about: Some(about),
    })
}

fn same_package(run: &Run) -> Option<Advice> {
    let (time, _, about) = waited(run, |reason| matches!(reason, Reason::SamePackage(_)))?;
    Some(Advice {
        seen: format!(
            "Builds of one package for several kernels ran one after the other, for {}.",
            seconds(time)
        ),
        remarks: vec![
            "They run side by side where private mounts are permitted: in containers, allow CAP_SYS_ADMIN \
             or user namespaces."
                .into(),
        ],
        about: Some(about),
    })
}

fn jobs(run: &Run) -> Option<Advice> {
    let (time, count, _) = waited(run, |reason| *reason == Reason::Slot)?;
    let (slots, cpus) = (run.slots as usize, run.facts.cpus);
    (slots > 0 && slots < cpus).then(|| Advice {
        seen: format!(
            "{} for a job slot, for up to {}, and this machine has {cpus} processors for a limit of {slots}.",
            builds(count, "waited"),
            seconds(time)
        ),
        remarks: vec![match run.facts.jobs {
            Some(_) => "Omit -j (or `parallel_jobs` in framework.conf), or use a larger number.".into(),
            None => "Allow dkms more of the processors (CPU affinity, cgroup).".into(),
        }],
        about: None,
    })
}

fn depmod(run: &Run) -> Option<Advice> {
    let spans = || run.spans.iter().filter(|span| span.kind == Kind::Depmod);
    let time: f64 = spans().map(|span| span.to - span.from).sum();
    (time >= SHORT && time >= SHARE * run.facts.total).then(|| Advice {
        seen: format!("depmod took {}, {} of the command.", seconds(time), percent(time, run.facts.total)),
        remarks: vec![
            "It runs once for each kernel and command: install several modules with one command. Where \
             dkms writes the index itself, this takes a fraction of the time."
                .into(),
        ],
        about: None,
    })
}

/// The build that took longer than the last time by most.
fn slower(run: &Run) -> Option<Advice> {
    let late = run.builds.iter().enumerate().filter_map(|(n, step)| {
        let last = step.last?.duration.as_secs_f64();
        let is_late = step.origin == BuildOrigin::Built && step.duration() > (1.5 * last).max(last + 2.0);
        is_late.then_some((n, step, last))
    });
    let (n, step, last) = late.max_by(|a, b| (a.1.duration() - a.2).total_cmp(&(b.1.duration() - b.2)))?;
    Some(Advice {
        seen: format!(
            "{} took {}, {:.1} times as long as its last build ({}).",
            step.build,
            seconds(step.duration()),
            step.duration() / last.max(0.001),
            seconds(last)
        ),
        remarks: vec![
            "Either the machine was busy with something else, or more builds ran beside it than the last \
             time."
                .into(),
        ],
        about: Some(n),
    })
}
