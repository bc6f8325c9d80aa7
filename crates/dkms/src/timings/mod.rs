//! The page of `--timings`: how a command spent its time, and what would make it faster.
//!
//! It needs no measurements of its own. [`Recorder`] keeps the events of a command with their times, `read`
//! turns them into builds (`run`), `waits` finds what builds waited for, `path` finds the critical path,
//! `advice` finds what to improve, `chart` and `page` draw. The pages of the last commands are kept in the
//! tree (`keep`). A failure in any of this never makes the command fail.

mod advice;
mod chart;
mod failures;
mod keep;
mod page;
mod path;
mod read;
mod record;
mod run;
mod text;
mod waits;

#[cfg(test)]
mod tests;

pub(crate) use record::Recorder;

use crate::cli::Arguments;
use dkms_core::error::Error;
use dkms_core::event::{Event, Sink};
use dkms_core::system::System;
use record::Entry;
use run::{Facts, Run, Step};

/// Writes the page of a command that has ended: to the file of `--timings`, and into the tree. `error` is the
/// error of the command.
pub(crate) fn finish(
    recorder: &Recorder,
    arguments: &Arguments,
    system: &System,
    sink: &dyn Sink,
    error: Option<&Error>,
) {
    let is_kept = keep::is_kept(&system.host, &system.layout) && recorder.has_builds();
    if !is_kept && !arguments.timings {
        return;
    }
    let total = recorder.elapsed();
    let facts = Facts {
        command: system.host.command.clone(),
        action: arguments.action_word().to_owned(),
        begun: system.host.recorded_time().saturating_sub(total.as_secs()),
        total: total.as_secs_f64(),
        cpus: system.host.cpus,
        jobs: system.settings.jobs,
        has_cache: !system.settings.no_cache,
        has_registry: system.settings.framework.registry.as_ref().is_some_and(|list| !list.is_empty()),
        error: error.map(|e| (e.to_string(), e.help())),
    };
    let mut run = recorder.with_entries(|entries| analyse(entries, facts));
    if error.is_some_and(is_summary) && run.builds.iter().any(Step::is_failed) {
        run.facts.error = None;
    }
    run.read_logs(&system.layout);
    let page = page::render(&run);
    let in_tree = is_kept.then(|| keep::keep(&system.layout, arguments.action_word(), &page));
    if !arguments.timings {
        return;
    }
    let written = match (recorder.write(&page), in_tree) {
        (Some(written), _) => written,
        (None, Some(in_tree)) => in_tree.map_err(std::io::Error::other),
        // The reason was reported when the command began.
        (None, None) if arguments.timings_file.is_some() => return,
        (None, None) => Err(std::io::Error::other(
            "nothing was built, or this system does not keep such pages (use --timings=FILE)",
        )),
    };
    sink.event(match written {
        Ok(path) => Event::PageWritten { path },
        Err(e) => Event::Warning { text: format!("the page of --timings cannot be written: {e}") },
    });
}

/// Whether an error only reports how many builds failed. The page shows each of them anyway.
fn is_summary(error: &Error) -> bool {
    matches!(error, Error::AutoinstallFailed(_) | Error::SeveralFailed { .. })
}

/// Turns the events of a command into its builds, their waits and the critical path.
fn analyse(entries: &[Entry], facts: Facts) -> Run {
    let mut run = read::read(entries, facts);
    waits::find(&mut run, entries);
    run.path = path::find(&run);
    run
}
