//! Facts about kernels: headers, configuration, toolchain, where modules go.

pub mod headers;
pub mod installed;
pub mod toolchain;
