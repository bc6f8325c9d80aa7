//! `dkms fsck`: what in the tree and in `/lib/modules` is not as dkms left it, and mending what can be mended safely.
//!
//! **Looking** writes nothing and takes no lock, so anybody may do it who can read the tree. The tree is divided into
//! spots: a version, a build, a link, a kernel's directory. Each is looked at by itself, and what cannot be read
//! there is told and stops nothing else.
//!
//! **What is in use is no finding.** Each finding names the locks under which such a thing comes and goes. After a spot
//! was looked at, those locks are tried; if one is held, the finding is dropped; if all are free, the spot is looked at
//! again, since their holder may just have finished.
//!
//! **Repairing** ([`repair()`]) takes those locks, looks at the spot once more, and mends what is still found. What it did is
//! judged by looking at everything again, not by its own word.

mod about;
mod build;
mod finding;
mod kernel;
mod look;
mod names;
mod originals;
mod repair;
mod spot;
#[cfg(test)]
mod tests;
mod traces;
mod tree;

pub use about::About;
pub use finding::{Finding, Kind, Report};
pub use look::look;
pub use repair::{Repaired, repair};
