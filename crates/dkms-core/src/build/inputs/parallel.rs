//! Work on many files in several threads.

use dkms_sys::{IoError, sys};
use std::thread::Builder;

/// The maximum number of threads. More threads would only slow down builds.
const THREADS: usize = 4;

/// Applies a function to all items, in several threads. Returns the results in the order of the items. A
/// thread gets at least `least` items.
///
/// # Errors
/// The first error of the function, in the order of the items.
pub(super) fn map<I: Sync, T: Send>(
    items: &[I],
    least: usize,
    apply: impl Fn(&I) -> Result<T, IoError> + Sync,
) -> Result<Vec<T>, IoError> {
    let size = items.len().div_ceil(sys::nproc().clamp(1, THREADS)).max(least);
    let apply_all = &|part: &[I]| part.iter().map(&apply).collect::<Result<Vec<T>, IoError>>();
    std::thread::scope(|scope| {
        let start = |part| Builder::new().spawn_scoped(scope, move || apply_all(part)).map_err(|_| part);
        let started: Vec<_> = items.chunks(size).map(start).collect();
        let mut all = Vec::with_capacity(items.len());
        for part in started {
            all.extend(match part {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?,
                // The thread could not be started, because there are too many threads.
                Err(part) => apply_all(part)?,
            });
        }
        Ok(all)
    })
}
