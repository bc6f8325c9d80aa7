//! `dkms fsck`: finds inconsistencies in the tree and in `/lib/modules`, and repairs those that can be
//! repaired safely.
//!
//! **Checking** ([`check()`]) writes nothing and takes no lock, so every user who can read the tree may do
//! it. The tree is divided into spots: a version, a build, a link, a kernel's directory. Each is checked
//! separately. If one cannot be read, that is reported, and the others are still checked.
//!
//! **Files in use are not reported.** Each finding lists the locks that commands hold while they create or
//! delete the file. After a spot is checked, those locks are tested. If one is held, the finding is dropped.
//! If all are free, the spot is checked again, because the holder of a lock may just have finished.
//!
//! **Repairing** ([`repair()`]) takes those locks, checks the spot again, and repairs what is still found.
//! Afterwards everything is checked again to determine the result.

mod about;
mod build;
mod cache;
mod check;
mod finding;
mod kernel;
mod names;
mod originals;
mod repair;
mod spot;
#[cfg(test)]
mod tests;
mod traces;
mod tree;

pub use about::About;
pub use check::check;
pub use finding::{Finding, Kind, Report};
pub use repair::{Repaired, repair};
