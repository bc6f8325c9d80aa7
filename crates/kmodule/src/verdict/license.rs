//! Licences that are compatible with the GPL.

/// True for the values of `MODULE_LICENSE` that do not taint the kernel and may use GPL-only symbols
/// (include/linux/ license.h and Documentation/process/license-rules.rst).
#[must_use]
pub fn is_gpl_compatible(license: &str) -> bool {
    matches!(
        license,
        "GPL" | "GPL v2" | "GPL and additional rights" | "Dual BSD/GPL" | "Dual MIT/GPL" | "Dual MPL/GPL"
    )
}
