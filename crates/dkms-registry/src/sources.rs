//! Remembers which registries can be used. This process contacts a dead registry only once. If several
//! requests come at the same time, all of them wait for the result of the first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failure::Failure;

/// The known state of a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    /// It has not been contacted yet.
    #[default]
    Unknown,
    /// It has answered.
    Works,
    /// It cannot be used.
    Dead,
}

#[derive(Default)]
struct Source {
    state: Mutex<State>,
    warned: Mutex<bool>,
}

/// All registries in the requests so far.
#[derive(Default)]
pub(crate) struct Sources(Mutex<HashMap<String, Arc<Source>>>);

impl Sources {
    /// Runs `work`, which contacts a registry. Returns `None` without running it if the registry is dead.
    pub(crate) fn run<T>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Option<Result<T, Failure>> {
        let source = self.get(name);
        let mut state = lock(&source.state);
        match *state {
            State::Dead => return None,
            State::Works => drop(state),
            State::Unknown => {
                let result = work();
                *state = if is_dead(&result) { State::Dead } else { State::Works };
                return Some(result);
            }
        }
        let result = work();
        if is_dead(&result) {
            *lock(&source.state) = State::Dead;
        }
        Some(result)
    }

    /// Returns whether this is the first warning about a registry.
    pub(crate) fn is_first_warning(&self, name: &str) -> bool {
        !std::mem::replace(&mut *lock(&self.get(name).warned), true)
    }

    fn get(&self, name: &str) -> Arc<Source> {
        lock(&self.0).entry(name.to_owned()).or_default().clone()
    }
}

fn is_dead<T>(result: &Result<T, Failure>) -> bool {
    matches!(result, Err(Failure::Unusable(_) | Failure::Refused(_) | Failure::Late))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Unusable;

    #[test]
    fn a_dead_registry_is_contacted_once() {
        let sources = Sources::default();
        let dead = || Err::<(), _>(Failure::from(Unusable::NoName));
        assert!(sources.run("a", dead).is_some());
        assert!(sources.run("a", dead).is_none());
        let missing = || Err::<(), _>(Failure::Missing);
        for _ in 0..3 {
            assert!(sources.run("b", missing).is_some());
        }
        assert!(sources.run("b", dead).is_some());
        assert!(sources.run("b", || Ok(())).is_none());
        assert!(sources.is_first_warning("a"));
        assert!(!sources.is_first_warning("a"));
        assert!(sources.is_first_warning("b"));
    }

    #[test]
    fn requests_at_the_same_time_wait_for_the_first() {
        let (sources, contacts) = (Sources::default(), std::sync::atomic::AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    sources.run("a", || {
                        contacts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        std::thread::yield_now();
                        Err::<(), _>(Failure::from(Unusable::NoName))
                    })
                });
            }
        });
        assert_eq!(contacts.into_inner(), 1);
    }
}
