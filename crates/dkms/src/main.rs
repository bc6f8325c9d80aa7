//! dkms.
fn main() {}
