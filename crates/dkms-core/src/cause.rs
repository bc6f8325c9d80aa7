//! The cause of an error. This is a separate module, so that the error enums of the areas do not depend on
//! the enum that wraps them.

/// The cause of an error: another error, or a text.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;
