//! Signatures: the keys of this machine, what it trusts, and signing modules.

pub mod machine;
pub mod mok;
pub mod signing;
