//! Converts directives to a [`ModuleConf`].

use super::{Entries, Exclusive, ModuleConf, ModuleEntry, check};
use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::directives::Directives;

/// The maximum number of modules: one more than the highest index. A larger index is a mistake, such as a
/// date.
pub const MAX_MODULES: usize = 1000;

impl ModuleConf {
    /// Converts the directives to types. If there are problems, the configuration is as complete as possible.
    /// It may only be used if none of the problems is an error for the current action.
    pub fn from_directives(directives: &Directives) -> (ModuleConf, Vec<Diagnostic>) {
        let mut problems = Vec::new();
        let text = |name: &str| Some(directives.scalar(name).to_owned()).filter(|v| !v.is_empty());
        let mut conf = ModuleConf {
            package_name: directives.scalar("PACKAGE_NAME").to_owned(),
            package_version: directives.scalar("PACKAGE_VERSION").to_owned(),
            modules: modules(directives, &mut problems),
            build_depends: build_depends(directives),
            build_depends_rebuild: check::yes_no(directives, "BUILD_DEPENDS_REBUILD", &mut problems),
            autoinstall: check::yes_no(directives, "AUTOINSTALL", &mut problems),
            no_weak_modules: check::yes_no(directives, "NO_WEAK_MODULES", &mut problems),
            post_add: text("POST_ADD"),
            pre_build: text("PRE_BUILD"),
            post_build: text("POST_BUILD"),
            pre_install: text("PRE_INSTALL"),
            post_install: text("POST_INSTALL"),
            post_remove: text("POST_REMOVE"),
            obsolete_by: text("OBSOLETE_BY"),
            make: entries(directives, "MAKE"),
            make_match: entries(directives, "MAKE_MATCH"),
            patch: entries(directives, "PATCH"),
            patch_match: entries(directives, "PATCH_MATCH"),
            exclusive: Exclusive {
                kernel: entries(directives, "BUILD_EXCLUSIVE_KERNEL"),
                kernel_min: entries(directives, "BUILD_EXCLUSIVE_KERNEL_MIN"),
                kernel_max: entries(directives, "BUILD_EXCLUSIVE_KERNEL_MAX"),
                arch: entries(directives, "BUILD_EXCLUSIVE_ARCH"),
                config: entries(directives, "BUILD_EXCLUSIVE_CONFIG"),
            },
            confine: check::confine(directives, &mut problems),
            no_cache: check::no_cache(directives, &mut problems),
        };
        conf.apply_obsolete_by();
        check::package(&conf, &mut problems);
        check::modules(&conf, directives, &mut problems);
        check::patches(&conf, &mut problems);
        check::deprecated(directives, &mut problems);
        (conf, problems)
    }

    /// OBSOLETE_BY is a KERNEL_MAX for the whole package, unless a module has its own KERNEL_MAX.
    fn apply_obsolete_by(&mut self) {
        let count = self.modules.len();
        let max = &self.exclusive.kernel_max;
        if max.keys().any(|&i| i == 0 || i < count) {
            return;
        }
        if let Some(kernel) = &self.obsolete_by {
            self.exclusive.kernel_max.insert(0, kernel.clone());
        }
    }
}

fn entries(directives: &Directives, name: &str) -> Entries {
    let value = |i| Some((i, directives.get(name, i)?.to_owned())).filter(|(_, v)| !v.is_empty());
    directives.indices(name).filter_map(value).collect()
}

fn build_depends(directives: &Directives) -> Vec<String> {
    let values = directives.indices("BUILD_DEPENDS").filter_map(|i| directives.get("BUILD_DEPENDS", i));
    values.flat_map(str::split_ascii_whitespace).map(str::to_owned).collect()
}

/// The number of modules. Arrays may have gaps, so the highest index counts.
fn module_count(directives: &Directives) -> usize {
    ["BUILT_MODULE_NAME", "BUILT_MODULE_LOCATION", "DEST_MODULE_NAME", "DEST_MODULE_LOCATION"]
        .iter()
        .filter_map(|name| directives.max_index(name))
        .max()
        .map_or(0, |highest| highest.saturating_add(1))
}

fn modules(directives: &Directives, problems: &mut Vec<Diagnostic>) -> Vec<ModuleEntry> {
    let mut count = module_count(directives);
    if count > MAX_MODULES {
        problems.push(
            Diagnostic::error(
                Code::ModuleUnnamed,
                format!("index {} is too high: a package has at most {MAX_MODULES} modules", count - 1),
                "number the modules from 0 without gaps",
            )
            .about("BUILT_MODULE_NAME", Some(count - 1)),
        );
        count = MAX_MODULES;
    }
    let get = |name: &str, i: usize| directives.get(name, i).unwrap_or_default();
    let mut first_strip = true;
    let mut out = Vec::with_capacity(count);
    for index in 0..count {
        let mut built_name = get("BUILT_MODULE_NAME", index);
        if built_name.is_empty() && count == 1 {
            built_name = directives.scalar("PACKAGE_NAME");
        }
        let mut built_location = get("BUILT_MODULE_LOCATION", index).to_owned();
        if !built_location.is_empty() && !built_location.ends_with('/') {
            built_location.push('/');
        }
        let dest_name = Some(get("DEST_MODULE_NAME", index)).filter(|n| !n.is_empty()).unwrap_or(built_name);
        let strip = match get("STRIP", index).bytes().next() {
            Some(b'n' | b'N') => false,
            None => first_strip,
            Some(_) => true,
        };
        if index == 0 {
            first_strip = strip;
        }
        out.push(ModuleEntry {
            index,
            built_name: built_name.to_owned(),
            built_location,
            dest_name: dest_name.to_owned(),
            dest_location: without_dots(get("DEST_MODULE_LOCATION", index)),
            strip,
        });
    }
    out
}

/// Normalises a destination, because real packages use `/kernel/../updates`. A destination outside the
/// kernel's directory or in its headers is returned unchanged, which is an error later.
fn without_dots(written: &str) -> String {
    if !check::has_dot_dot(written) {
        return written.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in written.split('/').filter(|p| !p.is_empty() && *p != ".") {
        if part != ".." {
            parts.push(part);
        } else if parts.pop().is_none() {
            return written.to_owned();
        }
    }
    match parts.first() {
        None | Some(&("build" | "source")) => written.to_owned(),
        Some(_) => format!("/{}", parts.join("/")),
    }
}
