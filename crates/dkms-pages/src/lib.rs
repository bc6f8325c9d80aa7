//! Makes self-contained HTML pages, which load nothing from a network or from other files.
//!
//! The texts on a page may come from packages, so they are not trusted. [`Html`] consists only of literals of
//! this program (`&'static str`) and of texts and attributes that are escaped when they are added. In
//! addition, the Content-Security-Policy of a [`Page`] permits only the page's own script and style, by their
//! hashes.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]
mod html;
mod page;
mod parts;

pub use html::{Attribute, Html, visible};
pub use page::Page;
pub use parts::Tone;
