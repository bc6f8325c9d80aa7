//! Facts about kernels and distributions: headers, configuration, toolchain, where modules go.

pub mod distro;
pub mod headers;
pub mod installed;
pub mod toolchain;
