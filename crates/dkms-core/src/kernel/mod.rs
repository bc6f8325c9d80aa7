//! Facts about kernels: their headers, configuration, toolchain, machine and modules.

mod compiler;
pub mod default;
pub mod headers;
pub mod image;
pub mod installed;
pub mod machine;
pub mod running;
pub mod toolchain;
