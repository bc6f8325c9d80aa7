//! Signatures: the keys of this machine, what the machine trusts, and signing modules.

pub mod machine;
pub mod mok;
pub mod signing;
