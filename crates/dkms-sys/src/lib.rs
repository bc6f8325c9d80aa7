//! The interface to the operating system: files, processes, signals, locks, the sandbox.
//!
//! This is the only crate of the workspace with `unsafe` code, and the only one that makes system calls. It
//! knows nothing about dkms. It never prints, never exits, and never reads the arguments or the environment
//! of the process, except for the secret that [`secret::take_variable`] removes from it.

#![warn(unreachable_pub)]

mod error;
pub mod fs;
pub mod inhibit;
pub mod jobserver;
pub mod keys;
pub mod lock;
pub mod mount;
pub mod process;
pub mod regex;
pub mod root;
pub mod sandbox;
pub mod secret;
pub mod signal;
pub mod sys;

pub use error::{IoError, Result};
