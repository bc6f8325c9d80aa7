//! The dkms tree: where everything is ([`layout`]), what is there ([`state`]), what we wrote down about it
//! ([`manifest`]), the kernel's own modules that had to make room ([`originals`]), and how far a path
//! may lead (`beneath`).

pub(crate) mod beneath;
pub mod entry;
pub mod layout;
pub mod manifest;
pub mod originals;
pub mod state;
