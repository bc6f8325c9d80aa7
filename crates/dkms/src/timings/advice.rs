//! Advice: what would make a command faster.

use super::run::{Item, Kind, Reason, Run, Step, Wait};
use super::text::{percent, seconds};
use dkms_core::tree::manifest::BuildOrigin;

/// Times below this, in seconds, are not mentioned.
const SHORT: f64 = 1.0;
/// Builds and steps that take less than this share of the command are not mentioned.
const SHARE: f64 = 0.2;

/// An observation, and what to do about it.
#[derive(Debug, PartialEq)]
pub(super) struct Advice {
    /// The observation.
    pub(super) observation: String,
    /// What to do about it, and further details.
    pub(super) remarks: Vec<String>,
    /// The index of the build that it is about.
    pub(super) build: Option<usize>,
}

impl Advice {
    /// Advice with one remark, or with none if it is empty.
    fn new(observation: String, remark: &str, build: Option<usize>) -> Self {
        let remarks = if remark.is_empty() { Vec::new() } else { vec![remark.to_owned()] };
        Self { observation, remarks, build }
    }
}

/// Returns all advice, the most useful first.
pub(super) fn advise(run: &Run) -> Vec<Advice> {
    let all = [longest, failed, saturated, locks, memory, same_package, jobs, depmod, slower];
    let mut list: Vec<Advice> = all.iter().filter_map(|advice| advice(run)).collect();
    if list.is_empty() {
        let begun = || run.builds.iter().filter(|step| step.from.is_some());
        let is_all_reused = begun().next().is_some() && begun().all(|step| !step.is_compiled());
        let observation = match is_all_reused {
            true => "Nothing was compiled, so there is nothing to speed up.",
            false => "Nothing stands out: no build, wait or step took much of the time.",
        };
        list.push(Advice::new(observation.into(), "", None));
    }
    list
}

/// Advice about the longest build of the critical path.
fn longest(run: &Run) -> Option<Advice> {
    let on_path = run.path.iter().filter_map(|part| match part.item {
        Item::Build(index) => Some((index, run.builds.get(index)?)),
        Item::Span(_) => None,
    });
    let (index, step) = on_path.max_by(|a, b| a.1.duration().total_cmp(&b.1.duration()))?;
    let (took, total) = (step.duration(), run.facts.total);
    if took < SHORT || took < SHARE * total || !step.is_compiled() {
        return None;
    }
    let observation = format!(
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
    Some(Advice { observation, remarks, build: Some(index) })
}

/// A remark about the object file that compiled for the longest time, if it took much of the build.
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

/// Advice about the time that failed builds took.
fn failed(run: &Run) -> Option<Advice> {
    let failed = || run.builds.iter().filter(|step| step.is_failed());
    let (count, time) = (failed().count(), failed().map(Step::duration).sum::<f64>());
    let all: f64 = run.builds.iter().map(Step::duration).sum();
    (time >= SHORT && time >= 0.1 * all).then(|| Advice {
        observation: format!(
            "{}, after {}, {} of the time of all builds.",
            builds(count, "failed"),
            seconds(time),
            percent(time, all)
        ),
        remarks: vec![
            "A newer version of a package may support the kernel: update it, or report the failure to its author."
                .into(),
            "BUILD_EXCLUSIVE_KERNEL in /etc/dkms/PACKAGE.conf leaves out kernels that do not need the \
             package; nothing is then built, and nothing fails."
                .into(),
        ],
        build: None,
    })
}

/// Advice for a machine whose processors were busy all the time.
fn saturated(run: &Run) -> Option<Advice> {
    let total = run.facts.total;
    let used = run.use_of_slots(0.0, total) / total.max(0.001);
    let slots = f64::from(run.slots);
    let compiled = run.builds.iter().filter(|step| step.is_compiled()).count();
    let is_busy = run.slots as usize >= run.facts.cpus && used >= 0.85 * slots;
    (is_busy && compiled > 1 && total >= 10.0 * SHORT).then(|| {
        let observation = format!(
            "The processors were busy: on average, {used:.1} of {} job slots were in use. Another order of \
             the builds would not be faster.",
            run.slots
        );
        let remark = "Only more processors or less to compile make it faster: take builds from the cache or a \
                      registry (`registry` in framework.conf), and remove packages and kernels that are not \
                      used (`dkms status`).";
        Advice::new(observation, remark, None)
    })
}

/// "1 build failed", "2 builds failed".
fn builds(count: usize, verb: &str) -> String {
    if count == 1 { format!("1 build {verb}") } else { format!("{count} builds {verb}") }
}

/// A remark about job slots that were free while a build ran make.
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

/// A remark about what a build waited for longest.
fn waited_for(run: &Run, step: &Step) -> Option<String> {
    let wait = step.waits.iter().max_by(|a, b| length(a).total_cmp(&length(b)))?;
    if length(wait) < SHORT {
        return None;
    }
    let why = match &wait.reason {
        Reason::Dependency(index) => {
            let other = &run.builds.get(*index)?.build;
            format!(
                "for {other}, which it is built against (BUILD_DEPENDS): what makes that one faster \
             helps both"
            )
        }
        Reason::Slot => {
            "for a free job slot; builds on the longest chain of dependencies, by the times of their last \
             builds, begin first"
                .to_owned()
        }
        _ => return None,
    };
    Some(format!("Before that it waited {} {why}.", seconds(length(wait))))
}

fn length(wait: &Wait) -> f64 {
    wait.to - wait.from
}

/// The longest time that a build waited for these reasons, the number of builds that waited for them, and the
/// index of the build that waited longest. None if that time is short.
fn longest_wait(run: &Run, is_reason: impl Fn(&Reason) -> bool) -> Option<(f64, usize, usize)> {
    let time =
        |step: &Step| step.waits.iter().filter(|wait| is_reason(&wait.reason)).map(length).sum::<f64>();
    let waits: Vec<(usize, f64)> =
        run.builds.iter().map(time).enumerate().filter(|(_, time)| *time > 0.0).collect();
    let (index, time) = *waits.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (time >= SHORT && time >= 0.1 * run.facts.total).then_some((time, waits.len(), index))
}

/// Advice about waiting for other dkms commands.
fn locks(run: &Run) -> Option<Advice> {
    let spans = || run.spans.iter().filter(|span| span.kind == Kind::Lock);
    let own: f64 = spans().map(|span| span.to - span.from).sum();
    let in_builds = longest_wait(run, |reason| matches!(reason, Reason::Lock(_)));
    let (time, build) = in_builds.map_or((0.0, None), |(time, _, index)| (time, Some(index)));
    let time = time.max(own);
    if time < SHORT || time < 0.1 * run.facts.total {
        return None;
    }
    let in_build = build.and_then(|index| run.builds.get(index)).and_then(|step| {
        step.waits.iter().find_map(|wait| match &wait.reason {
            Reason::Lock(text) => Some(text.clone()),
            _ => None,
        })
    });
    let holder = in_build.or_else(|| spans().next().map(|span| span.name.clone())).unwrap_or_default();
    let observation = format!("Another dkms held a lock for {}: {holder}.", seconds(time));
    let remark = "Do not run several commands for the same modules at once: one command that names all of them \
                  shares its job slots between them.";
    Some(Advice::new(observation, remark, build))
}

/// Advice about builds that waited for free memory.
fn memory(run: &Run) -> Option<Advice> {
    let (time, count, build) = longest_wait(run, |reason| *reason == Reason::Memory)?;
    let observation = format!(
        "{} in parallel with others, for up to {}, because little memory was free.",
        builds(count, "did not begin"),
        seconds(time)
    );
    let remark = "`min_free_memory` in framework.conf is what has to be free (512 MiB if it is not set). Lower it \
                  if the modules are small; more memory helps in any case.";
    Some(Advice::new(observation, remark, Some(build)))
}

/// Advice about builds of one package that could not run in parallel.
fn same_package(run: &Run) -> Option<Advice> {
    let (time, _, build) = longest_wait(run, |reason| matches!(reason, Reason::SamePackage(_)))?;
    let observation =
        format!("Builds of one package for several kernels ran one after the other, for {}.", seconds(time));
    let remark = "They run in parallel where private mounts are permitted: in containers, allow CAP_SYS_ADMIN or \
                  user namespaces.";
    Some(Advice::new(observation, remark, Some(build)))
}

/// Advice about a limit of job slots that is lower than the number of processors.
fn jobs(run: &Run) -> Option<Advice> {
    let (time, count, _) = longest_wait(run, |reason| *reason == Reason::Slot)?;
    let (slots, cpus) = (run.slots as usize, run.facts.cpus);
    (slots > 0 && slots < cpus).then(|| {
        let waited = builds(count, "waited");
        let observation = format!(
            "{waited} for a job slot, for up to {}. The limit is {slots}, but this machine has {cpus} processors.",
            seconds(time)
        );
        let remark = match run.facts.jobs {
            Some(_) => "Omit -j (or `parallel_jobs` in framework.conf), or use a larger number.",
            None => "Allow dkms more of the processors (CPU affinity, cgroup).",
        };
        Advice::new(observation, remark, None)
    })
}

/// Advice about the time that depmod took.
fn depmod(run: &Run) -> Option<Advice> {
    let spans = || run.spans.iter().filter(|span| span.kind == Kind::Depmod);
    let time: f64 = spans().map(|span| span.to - span.from).sum();
    (time >= SHORT && time >= SHARE * run.facts.total).then(|| {
        let observation =
            format!("depmod took {}, {} of the command.", seconds(time), percent(time, run.facts.total));
        let remark = "It runs once for each kernel and command: install several modules with one command. Where \
                      dkms writes the index itself, this takes a fraction of the time.";
        Advice::new(observation, remark, None)
    })
}

/// Advice about the build whose time has increased most since its last build.
fn slower(run: &Run) -> Option<Advice> {
    let late = run.builds.iter().enumerate().filter_map(|(index, step)| {
        let last = step.last?.duration.as_secs_f64();
        let is_late = step.origin == BuildOrigin::Built && step.duration() > (1.5 * last).max(last + 2.0);
        is_late.then_some((index, step, last))
    });
    let (index, step, last) =
        late.max_by(|a, b| (a.1.duration() - a.2).total_cmp(&(b.1.duration() - b.2)))?;
    let observation = format!(
        "{} took {}, {:.1} times as long as its last build ({}).",
        step.build,
        seconds(step.duration()),
        step.duration() / last.max(0.001),
        seconds(last)
    );
    let remark = "Either the machine was busy with something else, or more builds ran in parallel with it than \
                  the last time.";
    Some(Advice::new(observation, remark, Some(index)))
}
