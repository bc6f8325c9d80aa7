//! The dkms tree: where everything is ([`layout`]), what is there ([`state`]), what we wrote down about it
//! ([`manifest`]), and the kernel's own modules that had to make room ([`originals`]).

pub mod entry;
pub mod layout;
pub mod manifest;
pub mod originals;
pub mod state;
