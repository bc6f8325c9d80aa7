//! Reports the problems of the typed configuration with positions and fixes, and checks for entries without
//! their counterpart.

use super::file::File;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Edit, Location, edit};
use crate::directives::{Dialect, Directives};
use crate::module_conf::ModuleConf;

pub(super) fn check(file: &File<'_>, directives: &Directives, diagnostics: &mut Vec<Diagnostic>) {
    let (conf, problems) = ModuleConf::from_directives(directives);
    // The maximum number of diagnostics of one kind.
    for problem in problems.iter().take(500) {
        if is_reported(problem, &problems, directives, diagnostics) {
            continue;
        }
        let at = match problem.code {
            Code::NameMissing | Code::NoModule => None,
            _ => place(file, problem),
        };
        let edits = match problem.code {
            Code::ModuleSuffix => remove_suffix(file, problem).into_iter().collect(),
            _ => Vec::new(),
        };
        let changes = Dialect::Module.find(&problem.directive).map(|info| info.name);
        diagnostics.push(Diagnostic { at, edits, changes, ..problem.clone() });
    }
    check_names(file, &conf, diagnostics);
    check_destinations(file, &conf, diagnostics);
    check_counterparts(file, &conf, diagnostics);
}

/// The position where the entry is set; if it is missing, the position of the module's name.
fn place(file: &File<'_>, problem: &Diagnostic) -> Option<Location> {
    let exact = |name: &str| {
        let assignment = file.scan.find(name, problem.index)?;
        let hit = problem.index.is_none() || assignment.whole || assignment.index() == problem.index;
        hit.then(|| file.at_assignment(assignment)).flatten()
    };
    exact(&problem.directive)
        .or_else(|| exact("BUILT_MODULE_NAME"))
        .or_else(|| file.place(&problem.directive, problem.index))
        .or_else(|| file.place("BUILT_MODULE_NAME", problem.index))
}

/// Whether another diagnostic already reports it.
fn is_reported(
    problem: &Diagnostic,
    all: &[Diagnostic],
    directives: &Directives,
    diagnostics: &[Diagnostic],
) -> bool {
    match problem.code {
        // `names` checks the names in the text.
        Code::Deprecated | Code::Misspelt => true,
        Code::YesNo => diagnostics.iter().any(|f| f.code == Code::YesNo && f.message == problem.message),
        // A gap has no position.
        Code::Destination => all.iter().any(|o| o.code == Code::ModuleUnnamed && o.index == problem.index),
        // Without DEST_MODULE_NAME, the problem is that of BUILT_MODULE_NAME.
        Code::ModuleSuffix | Code::ModuleDuplicate if problem.directive == "DEST_MODULE_NAME" => {
            let unset = problem
                .index
                .and_then(|index| directives.get(&problem.directive, index))
                .unwrap_or_default()
                .is_empty();
            unset
                && all.iter().any(|o| {
                    o.code == problem.code && o.index == problem.index && o.directive != problem.directive
                })
        }
        _ => false,
    }
}

/// The edit that removes `.ko` or `.o` from the end of a value.
fn remove_suffix(file: &File<'_>, problem: &Diagnostic) -> Option<Edit> {
    let assignment = file.scan.find(&problem.directive, problem.index)?;
    // Not if the value may belong to another entry.
    if assignment.whole
        || assignment.append
        || assignment.index().is_none()
        || assignment.index() != problem.index
        || !file.is_unread(assignment)
    {
        return None;
    }
    let raw = file.raw(assignment);
    let inner = raw.trim_end_matches(['"', '\'']);
    let stem = inner.strip_suffix(".ko").or_else(|| inner.strip_suffix(".o"))?;
    Some(edit(assignment.value.start + stem.len()..assignment.value.start + inner.len(), ""))
}

/// Checks for characters in names that cause problems in paths and on command lines.
fn check_names(file: &File<'_>, conf: &ModuleConf, diagnostics: &mut Vec<Diagnostic>) {
    for (name, value) in [("PACKAGE_NAME", &conf.package_name), ("PACKAGE_VERSION", &conf.package_version)] {
        // #MODULE_VERSION# and @VERSION@ are replaced when a package is built.
        let template = |sign| value.len() > 2 && value.starts_with(sign) && value.ends_with(sign);
        let good = |c: char| c.is_ascii_alphanumeric() || "._+~-:^".contains(c);
        if value.is_empty() || value.contains('/') || template('#') || template('@') {
            continue;
        }
        let dash = value.starts_with('-');
        if dash || !value.chars().all(good) {
            let message = match dash {
                true => format!("{name} '{value}' looks like an option"),
                false => {
                    format!(
                        "{name} '{value}' has characters that are special in file names or on command lines"
                    )
                }
            };
            let help = "letters, digits, '.', '-', '_', '+' and '~'";
            diagnostics.push(Diagnostic::warning(Code::NameOdd, message, help).at(file.place(name, None)));
        }
    }
}

/// Checks for destinations such as `/kernelx`, which begins with `/kernel` and is accepted, but is certainly
/// not intended.
fn check_destinations(file: &File<'_>, conf: &ModuleConf, diagnostics: &mut Vec<Diagnostic>) {
    for module in &conf.modules {
        let first = module.dest_location.trim_start_matches('/').split('/').next().unwrap_or_default();
        let begins = ["kernel", "updates", "extra"].iter().find(|d| first.starts_with(**d) && first != **d);
        if let Some(meant) = begins.filter(|_| module.dest_location.starts_with('/')) {
            let index = module.index;
            let message =
                format!("DEST_MODULE_LOCATION[{index}] is in /{first}, which depmod may not search first");
            let at = file.place("DEST_MODULE_LOCATION", Some(index));
            diagnostics.push(
                Diagnostic::warning(
                    Code::Destination,
                    message,
                    format!("DEST_MODULE_LOCATION[{index}]=\"/{meant}\""),
                )
                .at(at),
            );
        }
    }
}

/// Checks for entries without a counterpart with the same index.
fn check_counterparts(file: &File<'_>, conf: &ModuleConf, diagnostics: &mut Vec<Diagnostic>) {
    let mut report = |directive: &str, index: usize, message: String, help: String| {
        let at = file.place(directive, Some(index));
        diagnostics.push(Diagnostic::warning(Code::MatchWithout, message, help).at(at));
    };
    for &index in conf.make_match.keys().filter(|index| !conf.make.contains_key(index)) {
        report(
            "MAKE_MATCH",
            index,
            format!("there is no MAKE[{index}] for MAKE_MATCH[{index}]"),
            format!("MAKE[{index}]=…"),
        );
    }
    for &index in conf.make.keys().filter(|index| **index > 0 && !conf.make_match.contains_key(index)) {
        let message = format!("MAKE[{index}] is never used: it has no MAKE_MATCH[{index}]");
        report(
            "MAKE",
            index,
            message,
            format!("MAKE_MATCH[{index}]=…, or '&&' between the commands of MAKE[0]"),
        );
    }
    for &index in conf.patch_match.keys().filter(|index| !conf.patch.contains_key(index)) {
        report(
            "PATCH_MATCH",
            index,
            format!("there is no PATCH[{index}] for PATCH_MATCH[{index}]"),
            format!("PATCH[{index}]=…"),
        );
    }
}
