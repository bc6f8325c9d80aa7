//! Self-contained HTML pages: no network, no other file, no dependency. Text in, text out.
//!
//! Everything that a page shows may come from a package, so none of it is trusted. [`Html`] is HTML that is
//! already escaped: it can only be made of literals of this program (`&'static str`) and of text, attributes
//! and data, which are escaped when they are added. As a second line of defence, [`Page`] permits only its
//! own script and style (Content-Security-Policy with their hashes).
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]
mod html;
mod page;
mod parts;

pub use html::{Attribute, Html, visible};
pub use page::Page;
pub use parts::Tone;
