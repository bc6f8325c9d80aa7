//! Facts about kernels: headers, configuration, toolchain, where modules go.

mod compiler;
pub mod default;
pub mod headers;
pub mod image;
pub mod installed;
pub mod machine;
pub mod running;
pub mod toolchain;
