//! How events look: lines, a live view, JSON.

pub mod json;
pub mod lint;
pub mod mok;
pub mod plain;
pub mod progress;
mod terminal;
pub mod verdicts;
