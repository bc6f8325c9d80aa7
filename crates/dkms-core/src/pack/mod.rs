//! Makes packages and archives of modules. The formats have a module each; they share the request, the steps
//! in `packer`, and what `metadata` and `modules` read from built modules.

pub mod debian;
pub(crate) mod error;
pub mod image;
mod metadata;
mod modules;
mod output;
mod packer;
mod request;
pub mod rpm;
pub mod sysext;
pub mod tarball;

pub use error::{NameFault, PackError};
pub use request::{Content, Request};
