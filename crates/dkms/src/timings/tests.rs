use super::record::{Entry, What};
use super::run::{Facts, Item, Kind, Outcome, Reason, Run};
use super::{advice, analyse, page};
use dkms_core::build::{BuildError, DependencyFailure, Diagnosis};
use dkms_core::error::Error;
use dkms_core::event::{Compiled, Event, LastBuild, Progress, Queued, SlotsInUse};
use dkms_core::ids::{Build, Kernel, PackageId, Release};
use dkms_core::tree::manifest::BuildOrigin;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

const HOSTILE: &str =
    "</pre></script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x1b[31m\u{202e}";

fn kernel(release: &str) -> Kernel {
    Kernel { release: Release::new(release).unwrap(), arch: "x86_64".into() }
}

fn build(name: &str, release: &str) -> Build {
    Build::new(&PackageId { name: name.into(), version: "1".into() }, &kernel(release))
}

/// The events of a command.
struct Story {
    entries: Vec<Entry>,
    main: ThreadId,
}

impl Story {
    fn new() -> Self {
        Self { entries: Vec::new(), main: std::thread::current().id() }
    }

    fn at(&mut self, seconds: f64, thread: ThreadId, what: What) {
        self.entries.push(Entry { at: Duration::from_secs_f64(seconds), thread, what });
    }

    fn main(&mut self, seconds: f64, event: Event) {
        self.at(seconds, self.main, What::Event(event));
    }

    fn slots(&mut self, seconds: f64, used: u32) {
        let slots = Some(SlotsInUse { used, total: 2 });
        self.at(seconds, self.main, What::Progress(Progress { slots, compiled: Vec::new() }));
    }

    fn object(&mut self, seconds: f64, build: &Build, objects: u32, last: &str) {
        let compiled = vec![Compiled { build: build.clone(), objects, last: last.into() }];
        let slots = Some(SlotsInUse { used: 1, total: 2 });
        self.at(seconds, self.main, What::Progress(Progress { slots, compiled }));
    }

    /// A build in its own thread.
    fn built(&mut self, build: &Build, from: f64, to: f64, origin: BuildOrigin) -> ThreadId {
        let thread = std::thread::spawn(|| std::thread::current().id()).join().unwrap();
        let started = Event::BuildStarted { build: build.clone(), log: "/log".into(), since: Instant::now() };
        self.at(from, thread, What::Since(started));
        let stage =
            |stage: &str| What::Event(Event::BuildStage { build: build.clone(), stage: stage.into() });
        self.at(from + (to - from) * 0.1, thread, stage("make"));
        self.at(from + (to - from) * 0.9, thread, stage("signing a.ko"));
        let elapsed = Duration::from_secs_f64(to - from);
        let built = Event::Built { build: build.clone(), modules: Vec::new(), elapsed, origin };
        self.at(to, thread, What::Event(built));
        thread
    }

    fn run(mut self, total: f64) -> Run {
        self.entries.sort_by_key(|entry| entry.at);
        analyse(&self.entries, facts(total))
    }
}

fn facts(total: f64) -> Facts {
    Facts {
        command: "dkms autoinstall".into(),
        action: "autoinstall".into(),
        total,
        cpus: 2,
        ..Facts::default()
    }
}

fn queued(build: &Build, seconds: u64, after: &[&Build]) -> Queued {
    let last = Some(LastBuild { duration: Duration::from_secs(seconds), objects: Some(10) });
    let after = after.iter().map(|build| (*build).clone()).collect();
    Queued { build: build.clone(), last, weight: seconds as f64, after }
}

/// `base` for 10 s, then `child`, which needs it, for 30 s; `other` beside them; then depmod for 2 s.
fn usual() -> Run {
    let (base, child, other) = (build("base", "6.1"), build("child", "6.1"), build("other", "6.1"));
    let mut story = Story::new();
    let builds = vec![queued(&base, 10, &[]), queued(&child, 10, &[&base]), queued(&other, 5, &[])];
    story.main(0.1, Event::Queue { builds });
    story.slots(0.2, 2);
    story.built(&base, 0.1, 10.0, BuildOrigin::Built);
    story.built(&other, 0.1, 5.0, BuildOrigin::Cache);
    story.main(10.5, Event::Installed { build: base });
    story.built(&child, 10.5, 40.5, BuildOrigin::Built);
    story.object(14.0, &child, 1, "a.o");
    story.object(15.0, &child, 2, "huge.o");
    story.object(36.0, &child, 3, "child.mod.o");
    story.main(41.0, Event::DepmodStarted { kernel: kernel("6.1") });
    story.main(43.0, Event::DepmodDone { kernel: kernel("6.1"), elapsed: Duration::from_secs(2) });
    story.main(43.1, Event::Installed { build: child });
    story.run(43.2)
}

#[test]
fn builds_have_lanes_waits_and_a_critical_path() {
    let run = usual();
    let lanes: Vec<usize> = run.builds.iter().map(|step| step.lane).collect();
    assert_eq!((lanes, run.lanes), (vec![0, 0, 1], 2));
    let child = run.builds.get(1).unwrap();
    let waits: Vec<&Reason> = child.waits.iter().map(|wait| &wait.reason).collect();
    assert_eq!(waits, [&Reason::Dependency(0)]);
    let items: Vec<Item> = run.path.iter().map(|part| part.item).collect();
    assert_eq!(run.spans.iter().filter(|span| span.kind == Kind::Depmod).count(), 1);
    assert_eq!(items.first(), Some(&Item::Build(0)));
    assert_eq!(items.get(1), Some(&Item::Build(1)));
    assert!(items.iter().skip(2).all(|item| matches!(item, Item::Span(_))), "{items:?}");
    assert!((run.use_of_slots(0.0, 43.2) - (2.0 * 13.8 + 29.2)).abs() < 0.01);
}

#[test]
fn advice_is_about_the_longest_build() {
    let run = usual();
    let advice = advice::advise(&run);
    let first = advice.first().unwrap();
    assert_eq!(first.build, Some(1));
    assert!(first.observation.contains("30.0 s, 69 % of the command"), "{}", first.observation);
    let remarks = first.remarks.join("\n");
    assert!(remarks.contains("After huge.o began, nothing new was compiled for 21.0 s"), "{remarks}");
    assert!(remarks.contains("for base/1 for kernel 6.1"), "{remarks}");
    assert!(remarks.contains("--no-cache"), "{remarks}");
    assert!(advice.iter().any(|advice| advice.observation.contains("3.0 times as long as its last build")));
}

#[test]
fn builds_wait_for_slots_memory_and_locks() {
    let builds = [build("a", "6.1"), build("b", "6.1"), build("c", "6.1"), build("d", "6.1")];
    let [a, b, c, d] = &builds;
    let mut story = Story::new();
    story.main(0.0, Event::Queue { builds: builds.iter().map(|build| queued(build, 5, &[])).collect() });
    story.slots(0.1, 2);
    story.built(a, 0.0, 5.0, BuildOrigin::Built);
    story.built(b, 0.0, 8.0, BuildOrigin::Built);
    story.built(c, 5.0, 30.0, BuildOrigin::Built);
    story.slots(8.0, 1);
    let thread = story.built(d, 20.0, 21.0, BuildOrigin::Built);
    let waiting = Event::Waiting { what: "d/1".into(), holder: "dkms install (process 7)".into() };
    story.at(18.0, thread, What::Event(waiting));
    let run = story.run(30.0);
    let reasons: Vec<Vec<Reason>> =
        run.builds.iter().map(|step| step.waits.iter().map(|wait| wait.reason.clone()).collect()).collect();
    let lock = Reason::Lock("d/1, held by dkms install (process 7)".into());
    assert_eq!(reasons, [vec![], vec![], vec![Reason::Slot], vec![Reason::Memory, lock]]);
}

#[test]
fn a_build_that_has_all_slots_is_critical() {
    // `large` uses both slots from 1 s on; `small` has ended long before `late` gets one of them at 20 s.
    let builds = [build("large", "6.1"), build("small", "6.1"), build("late", "6.1")];
    let [large, small, late] = &builds;
    let mut story = Story::new();
    story.main(0.0, Event::Queue { builds: builds.iter().map(|build| queued(build, 5, &[])).collect() });
    story.slots(0.1, 2);
    story.built(large, 0.0, 25.0, BuildOrigin::Built);
    story.built(small, 0.0, 4.0, BuildOrigin::Built);
    story.built(late, 20.0, 40.0, BuildOrigin::Built);
    let run = story.run(40.0);
    let path: Vec<(Item, f64, f64)> = run.path.iter().map(|part| (part.item, part.from, part.to)).collect();
    assert_eq!(path, [(Item::Build(0), 0.0, 20.0), (Item::Build(2), 20.0, 40.0)]);
}

#[test]
fn failures_have_one_line_each_and_dependents_are_not_built() {
    let builds: Vec<Build> = (0..8).map(|n| build(&format!("p{n}"), "6.1")).collect();
    let mut story = Story::new();
    story.main(0.0, Event::Queue { builds: builds.iter().map(|build| queued(build, 5, &[])).collect() });
    let reason = "waits for x, which dkms does not know yet".to_owned();
    for (n, build) in builds.iter().enumerate() {
        let error = match n {
            0 => BuildError::DependencyFailed {
                build: build.clone(),
                dependency: builds[1].package.clone(),
                reason: DependencyFailure::Failed,
            }
            .into(),
            _ => BuildError::MakeFailed {
                build: build.clone(),
                status: "exit status: 2".to_owned(),
                log: "/log".into(),
                diagnosis: Diagnosis::default(),
            }
            .into(),
        };
        let event = match n {
            7 => Event::Deferred { build: build.clone(), reason: reason.clone() },
            _ => Event::Failed { build: build.clone(), error: Arc::new(error) },
        };
        story.main(1.0, event);
    }
    let page = page::render(&story.run(40.0));
    let text = page.split("<h2>What to do").next().unwrap();
    assert!(
        text.contains("<b class=\"bad\">6</b> failed") && text.contains("<summary>1 more</summary>"),
        "{text}"
    );
    assert!(
        text.contains("p0/1 for kernel 6.1 (x86_64)</a>: skipped: depends on p1/1, which failed"),
        "{text}"
    );
    assert!(text.contains("p7/1 for kernel 6.1 (x86_64)</a>: deferred: waits for x"), "{text}");
    assert!(text.contains("<span class=\"bad first-error\">make ended with exit status: 2</span>"), "{text}");
}

#[test]
fn an_interrupted_command_has_a_page_too() {
    let build = build("a", "6.1");
    let mut story = Story::new();
    story.main(0.0, Event::Queue { builds: vec![queued(&build, 5, &[])] });
    let since = Instant::now();
    story.at(0.1, story.main, What::Since(Event::BuildStarted { build, log: "/log".into(), since }));
    let run = story.run(3.0);
    let step = run.builds.first().unwrap();
    assert_eq!((step.outcome.clone(), step.to), (Outcome::Unfinished, Some(3.0)));
    assert!(page::render(&run).contains("interrupted"));
    assert!(page::render(&analyse(&[], facts(0.0))).contains("Builds (0)"));
}

/// A page whose texts all try to be more than text.
fn hostile() -> Run {
    // A kernel release is the name of a directory.
    let release: String =
        HOSTILE.chars().filter(|c| *c != '/' && (*c == ' ' || c.is_ascii_graphic())).collect();
    let build = build(HOSTILE, &release);
    let mut story = Story::new();
    story.main(0.0, Event::Queue { builds: vec![queued(&build, 5, &[])] });
    let thread = story.built(&build, 0.1, 4.0, BuildOrigin::Registry(HOSTILE.into()));
    story.object(2.0, &build, 1, HOSTILE);
    story.at(1.0, thread, What::Event(Event::BuildStage { build: build.clone(), stage: HOSTILE.into() }));
    let error = Arc::new(Error::Request(dkms_core::request::RequestError::Usage(
        dkms_core::request::UsageError::ExtraOperand(HOSTILE.into()),
    )));
    story.main(4.5, Event::Failed { build, error });
    let mut run = story.run(5.0);
    run.facts.command = format!("{HOSTILE} pin-value=1234");
    run.facts.action = HOSTILE.into();
    run.facts.error = Some((HOSTILE.into(), vec![HOSTILE.into()]));
    for step in &mut run.builds {
        step.log = HOSTILE.into();
    }
    run
}

#[test]
fn hostile_names_stay_text() {
    let page = page::render(&hostile());
    write_for_the_browser("hostile", &page);
    assert_eq!(page.matches("<script").count(), 1, "only the page's own script");
    assert!(!page.contains("<img") && !page.contains("1234"));
    assert!(!page.chars().any(|c| dkms_conf::is_unprintable(c) && c != '\n' && c != '\t'));
}

/// 300 packages for 3 kernels on 8 lanes.
fn large() -> Run {
    let mut story = Story::new();
    let builds: Vec<Build> =
        (0..900).map(|n| build(&format!("package-{}", n / 3), &format!("6.{}", n % 3))).collect();
    story.main(0.0, Event::Queue { builds: builds.iter().map(|build| queued(build, 5, &[])).collect() });
    for (n, build) in builds.iter().enumerate() {
        let from = (n / 8) as f64 * 4.0;
        story.built(build, from, from + 3.9, BuildOrigin::Built);
        story.object(from + 2.0, build, 1, "a.o");
    }
    let mut run = story.run(460.0);
    for step in &mut run.builds {
        step.log = "  CC [M]  a.o\n".repeat(80);
    }
    run
}

#[test]
fn three_hundred_packages_for_three_kernels_fit() {
    let run = large();
    assert_eq!((run.builds.len(), run.lanes), (900, 8));
    let page = page::render(&run);
    write_for_the_browser("large", &page);
    assert!(page.len() < 3_000_000, "{}", page.len());
}

/// tests/timings.py looks at these pages in a browser.
fn write_for_the_browser(name: &str, page: &str) {
    if let Some(dir) = std::env::var_os("DKMS_TIMINGS_PAGES") {
        let path = std::path::Path::new(&dir).join(format!("{name}.html"));
        dkms_sys::fs::write_unsynced(path, page.as_bytes(), 0o644).unwrap();
    }
}
