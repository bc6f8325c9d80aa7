//! Damage that no kernel checks and that can crash it.

use super::reason::Reason;

/// A damaged file is often damaged in many places. Only this many are reported.
pub(super) const MOST: usize = 5;

/// The doubt for damage that is described by `what`.
pub(super) fn unchecked(what: impl Into<String>) -> Reason {
    Reason::Unchecked { what: what.into() }
}

/// Descriptions of damage, up to [`MOST`].
#[derive(Debug, Default)]
pub(super) struct Doubts(Vec<String>);

impl Doubts {
    pub(super) fn add(&mut self, what: impl FnOnce() -> String) {
        if self.0.len() < MOST {
            self.0.push(what());
        }
    }

    pub(super) fn into_reasons(mut self) -> Vec<Reason> {
        self.0.dedup();
        self.0.into_iter().map(unchecked).collect()
    }
}
