//! Selects the entries of MAKE, PATCH and BUILD_EXCLUSIVE that apply to a kernel.

use super::{Entries, ModuleConf};
use crate::eval::{InvalidRegex, Matcher};
use crate::kernel_match::compare_versions;
use std::cmp::Ordering;

/// The facts that BUILD_EXCLUSIVE checks.
pub struct KernelFacts<'a> {
    /// The kernel's release, as in `uname -r`.
    pub release: &'a str,
    /// Its architecture.
    pub arch: &'a str,
    /// Whether an option (`CONFIG_X`, as written in the file) is `y` or `m`. `None` if the kernel's
    /// configuration is missing; then BUILD_EXCLUSIVE_CONFIG is not checked.
    pub config: Option<&'a dyn Fn(&str) -> bool>,
}

/// An invalid regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{directive}[{index}] '{pattern}' is not a valid regular expression: {source}")]
pub struct BadRegex {
    /// The directive.
    pub directive: String,
    /// Its index.
    pub index: usize,
    /// Its value.
    pub pattern: String,
    /// The matcher's error.
    pub source: InvalidRegex,
}

/// The reason why a kernel is excluded, in words; `None` if it is not.
type Reason = Option<String>;

impl ModuleConf {
    /// The make command for a kernel: the last one whose MAKE_MATCH matches, otherwise `MAKE[0]` if it has no
    /// MAKE_MATCH. `None` means the default command, which the caller creates.
    ///
    /// # Errors
    /// An invalid MAKE_MATCH.
    pub fn make_command(&self, release: &str, matcher: &Matcher<'_>) -> Result<Option<&str>, BadRegex> {
        let mut command = None;
        if !self.make_match.contains_key(&0) {
            command = self.make.get(&0);
        }
        for (index, make) in &self.make {
            let Some(pattern) = self.make_match.get(index) else { continue };
            if matches("MAKE_MATCH", *index, pattern, release, matcher)? {
                command = Some(make);
            }
        }
        Ok(command.map(String::as_str))
    }

    /// The patches for a kernel, in order.
    ///
    /// # Errors
    /// An invalid PATCH_MATCH.
    pub fn patches_for(&self, release: &str, matcher: &Matcher<'_>) -> Result<Vec<&str>, BadRegex> {
        let mut out = Vec::new();
        for (index, patch) in &self.patch {
            let applies = match self.patch_match.get(index) {
                Some(pattern) => matches("PATCH_MATCH", *index, pattern, release, matcher)?,
                None => true,
            };
            if applies {
                out.push(patch.as_str());
            }
        }
        Ok(out)
    }

    /// Why module `index` is not built for this kernel, or `None`.
    ///
    /// # Errors
    /// An invalid BUILD_EXCLUSIVE_KERNEL or _ARCH.
    pub fn excluded(
        &self,
        index: usize,
        kernel: &KernelFacts<'_>,
        matcher: &Matcher<'_>,
    ) -> Result<Reason, BadRegex> {
        let package = self.excluded_by(0, kernel, matcher)?;
        if package.is_some() || index == 0 { Ok(package) } else { self.excluded_by(index, kernel, matcher) }
    }

    /// Why the package is not built for this kernel: every module is excluded. `None` if one is left, or
    /// there are no modules.
    ///
    /// # Errors
    /// As for [`ModuleConf::excluded`].
    pub fn all_excluded(&self, kernel: &KernelFacts<'_>, matcher: &Matcher<'_>) -> Result<Reason, BadRegex> {
        let mut reasons: Vec<String> = Vec::new();
        for module in &self.modules {
            match self.excluded(module.index, kernel, matcher)? {
                None => return Ok(None),
                Some(reason) if reasons.contains(&reason) => {}
                Some(reason) => reasons.push(reason),
            }
        }
        Ok(Some(reasons.join("; ")).filter(|r| !r.is_empty()))
    }

    fn excluded_by(
        &self,
        index: usize,
        kernel: &KernelFacts<'_>,
        matcher: &Matcher<'_>,
    ) -> Result<Reason, BadRegex> {
        let exclusive = &self.exclusive;
        let name = |what: &str| match index {
            0 => format!("BUILD_EXCLUSIVE_{what}"),
            i => format!("BUILD_EXCLUSIVE_{what}[{i}]"),
        };
        if let Some(pattern) = exclusive.kernel.get(&index) {
            if !matches("BUILD_EXCLUSIVE_KERNEL", index, pattern, kernel.release, matcher)? {
                return Ok(Some(format!(
                    "kernel {} does not match {} '{pattern}'",
                    kernel.release,
                    name("KERNEL")
                )));
            }
        }
        if let Some(min) = exceeded_limit(&exclusive.kernel_min, index, kernel.release, Ordering::Less) {
            return Ok(Some(format!("kernel {} is older than {} {min}", kernel.release, name("KERNEL_MIN"))));
        }
        if let Some(max) = exceeded_limit(&exclusive.kernel_max, index, kernel.release, Ordering::Greater) {
            let from_obsolete = index == 0 && self.obsolete_by.as_deref() == Some(max);
            let which = if from_obsolete { "OBSOLETE_BY".into() } else { name("KERNEL_MAX") };
            return Ok(Some(format!("kernel {} is newer than {which} {max}", kernel.release)));
        }
        if let Some(pattern) = exclusive.arch.get(&index) {
            if !matches("BUILD_EXCLUSIVE_ARCH", index, pattern, kernel.arch, matcher)? {
                return Ok(Some(format!(
                    "architecture {} does not match {} '{pattern}'",
                    kernel.arch,
                    name("ARCH")
                )));
            }
        }
        Ok(exclusive
            .config
            .get(&index)
            .zip(kernel.config)
            .and_then(|(required, enabled)| missing_option(required, enabled)))
    }
}

/// The limit at `index`, if the release is on this side of it.
fn exceeded_limit<'a>(table: &'a Entries, index: usize, release: &str, side: Ordering) -> Option<&'a str> {
    let limit = table.get(&index)?;
    (compare_versions(release, limit) == side).then_some(limit)
}

/// The first option that the kernel lacks, or has although it must not.
fn missing_option(required: &str, enabled: &dyn Fn(&str) -> bool) -> Reason {
    required.split_ascii_whitespace().find_map(|option| match option.strip_prefix('!') {
        Some(excluded) if enabled(excluded) => {
            Some(format!("the kernel has {excluded}, which BUILD_EXCLUSIVE_CONFIG excludes"))
        }
        None if !enabled(option) => {
            Some(format!("the kernel lacks {option}, which BUILD_EXCLUSIVE_CONFIG requires"))
        }
        _ => None,
    })
}

fn matches(
    directive: &str,
    index: usize,
    pattern: &str,
    text: &str,
    matcher: &Matcher<'_>,
) -> Result<bool, BadRegex> {
    matcher(pattern, text).map_err(|source| BadRegex {
        directive: directive.to_owned(),
        index,
        pattern: pattern.to_owned(),
        source,
    })
}
