//! Licences that are compatible with the GPL.

/// Whether a module with this `MODULE_LICENSE` may use GPL-only symbols and does not taint the kernel
/// (include/linux/license.h and Documentation/process/license-rules.rst).
#[must_use]
pub fn is_gpl_compatible(license: &str) -> bool {
    matches!(
        license,
        "GPL" | "GPL v2" | "GPL and additional rights" | "Dual BSD/GPL" | "Dual MIT/GPL" | "Dual MPL/GPL"
    )
}
