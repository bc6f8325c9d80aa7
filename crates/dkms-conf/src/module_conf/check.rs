//! Checks a package's directives.

use super::{Confine, ModuleConf, ModuleEntry};
use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::directives::{Dialect, Directives};
use crate::printable::is_unprintable;
use std::collections::BTreeMap;

pub(super) fn yes_no(directives: &Directives, name: &str, problems: &mut Vec<Diagnostic>) -> bool {
    let value = directives.scalar(name);
    if value.eq_ignore_ascii_case("yes") {
        return true;
    }
    if !value.is_empty() && !value.eq_ignore_ascii_case("no") {
        problems.push(
            Diagnostic::error(
                Code::YesNo,
                format!("{name} is '{value}', which is neither yes nor no"),
                format!("{name}=\"yes\", or {name}=\"no\""),
            )
            .about(name, None),
        );
    }
    false
}

/// Whether CACHE is set to no. Unset means yes.
pub(super) fn no_cache(directives: &Directives, problems: &mut Vec<Diagnostic>) -> bool {
    !directives.scalar("CACHE").is_empty() && !yes_no(directives, "CACHE", problems)
}

/// CONFINE, CONFINE_NETWORK, CONFINE_WRITE.
pub(super) fn confine(directives: &Directives, problems: &mut Vec<Diagnostic>) -> Confine {
    let word = directives.scalar("CONFINE");
    if !matches!(word, "" | "on" | "off") {
        let message = format!("CONFINE is '{word}', which is neither on nor off");
        problems.push(
            Diagnostic::error(Code::Confine, message, "CONFINE=off, or CONFINE=on")
                .about("CONFINE", None)
                .strict(),
        );
    }
    let mut write = Vec::new();
    for index in directives.indices("CONFINE_WRITE") {
        for path in directives.get("CONFINE_WRITE", index).unwrap_or_default().split_ascii_whitespace() {
            if path.starts_with('/') && !has_dot_dot(path) {
                write.push(path.to_owned());
                continue;
            }
            let message = format!("CONFINE_WRITE is '{path}', which is not an absolute path");
            let help = "begin the path with '/' and do not use '..'";
            problems.push(
                Diagnostic::error(Code::Confine, message, help).about("CONFINE_WRITE", Some(index)).strict(),
            );
        }
    }
    Confine { off: word == "off", network: yes_no(directives, "CONFINE_NETWORK", problems), write }
}

pub(super) fn package(conf: &ModuleConf, problems: &mut Vec<Diagnostic>) {
    for (name, value, example) in
        [("PACKAGE_NAME", &conf.package_name, "mydriver"), ("PACKAGE_VERSION", &conf.package_version, "1.0")]
    {
        if value.is_empty() {
            let help = format!("add a line such as {name}=\"{example}\"");
            problems.push(
                Diagnostic::error(Code::NameMissing, format!("{name} is missing"), help).about(name, None),
            );
        } else if value.contains('/') || value == "." || value == ".." {
            let message = format!("{name} '{value}' cannot be part of a file name");
            let help = "use letters, digits, '.', '-', '_' and '+'";
            problems.push(Diagnostic::error(Code::NameOdd, message, help).about(name, None).strict());
        } else {
            check_printable(name, None, value, problems);
        }
    }
    if conf.modules.is_empty() {
        problems.push(
            Diagnostic::warning(
                Code::NoModule,
                "no module is named, so nothing is built".into(),
                "name each module with BUILT_MODULE_NAME[n] and DEST_MODULE_LOCATION[n]",
            )
            .about("BUILT_MODULE_NAME", None),
        );
    }
}

/// Reports a name with characters that a terminal does not display. The message does not contain the name.
fn check_printable(directive: &str, index: Option<usize>, name: &str, problems: &mut Vec<Diagnostic>) {
    let Some(c) = name.chars().find(|c| is_unprintable(*c)) else { return };
    let message = format!("{directive} contains a control character (U+{:04X})", u32::from(c));
    let help = "use letters, digits, '.', '-', '_' and '+'";
    problems.push(Diagnostic::error(Code::NameOdd, message, help).about(directive, index).strict());
}

pub(super) fn modules(conf: &ModuleConf, directives: &Directives, problems: &mut Vec<Diagnostic>) {
    let mut built = BTreeMap::new();
    let mut destinations = BTreeMap::new();
    for module in &conf.modules {
        names(module, problems);
        location(module, directives.get("DEST_MODULE_LOCATION", module.index).unwrap_or_default(), problems);
        strip(module.index, directives, problems);
        if module.built_name.is_empty() {
            continue;
        }
        let place = format!("{}{}", module.built_location, module.built_name);
        duplicate("BUILT_MODULE_NAME", place, module.index, &mut built, problems);
        duplicate("DEST_MODULE_NAME", module.dest_name.clone(), module.index, &mut destinations, problems);
    }
}

fn names(module: &ModuleEntry, problems: &mut Vec<Diagnostic>) {
    let index = module.index;
    if module.built_name.is_empty() {
        problems.push(
            Diagnostic::error(
                Code::ModuleUnnamed,
                format!("module {index} has no name"),
                format!("add BUILT_MODULE_NAME[{index}]=\"name\", or renumber the modules without gaps"),
            )
            .about("BUILT_MODULE_NAME", Some(index)),
        );
    }
    for (directive, name) in
        [("BUILT_MODULE_NAME", &module.built_name), ("DEST_MODULE_NAME", &module.dest_name)]
    {
        check_printable(directive, Some(index), name, problems);
        if let Some(stem) = name.strip_suffix(".ko").or_else(|| name.strip_suffix(".o")) {
            let help = format!("{directive}[{index}]=\"{stem}\"");
            let message = format!("{directive}[{index}] ends in .ko or .o; write the name without it");
            problems.push(Diagnostic::error(Code::ModuleSuffix, message, help).about(directive, Some(index)));
        }
    }
    if module.dest_name.contains('/') || module.dest_name == "." || module.dest_name == ".." {
        let from_built = module.dest_name == module.built_name;
        let directive = if from_built { "BUILT_MODULE_NAME" } else { "DEST_MODULE_NAME" };
        let other = if from_built { "BUILT_MODULE_LOCATION" } else { "DEST_MODULE_LOCATION" };
        let message = format!("{directive}[{index}] '{}' is not a plain file name", module.dest_name);
        let help = format!("put the directory into {other}[{index}]");
        problems
            .push(Diagnostic::error(Code::ModulePath, message, help).about(directive, Some(index)).strict());
    } else if module.built_name.contains('/') {
        let message = format!("BUILT_MODULE_NAME[{index}] '{}' contains a directory", module.built_name);
        let help = format!("put the directory into BUILT_MODULE_LOCATION[{index}]");
        problems.push(
            Diagnostic::warning(Code::ModulePath, message, help).about("BUILT_MODULE_NAME", Some(index)),
        );
    }
    if has_dot_dot(&module.built_location) || module.built_location.starts_with('/') {
        let message =
            format!("BUILT_MODULE_LOCATION[{index}] '{}' leaves the build directory", module.built_location);
        let help = "a directory below the top of the package's source, such as src/";
        problems.push(
            Diagnostic::warning(Code::ModulePath, message, help).about("BUILT_MODULE_LOCATION", Some(index)),
        );
    }
}

/// `written` is the value in the file, with the `..` that [`ModuleEntry::dest_location`] no longer contains.
fn location(module: &ModuleEntry, written: &str, problems: &mut Vec<Diagnostic>) {
    let index = module.index;
    let help = format!("DEST_MODULE_LOCATION[{index}]=\"/updates\" is suitable for most packages");
    let place = &module.dest_location;
    let message = if place.is_empty() {
        format!("module {index} has no DEST_MODULE_LOCATION")
    } else if !["/kernel", "/updates", "/extra"].iter().any(|start| written.starts_with(start)) {
        format!("DEST_MODULE_LOCATION[{index}] '{place}' does not begin with /kernel, /updates or /extra")
    } else if has_dot_dot(place) {
        let message =
            format!("DEST_MODULE_LOCATION[{index}] '{place}' leaves the kernel's modules with '..'");
        problems.push(
            Diagnostic::error(Code::Destination, message, help)
                .about("DEST_MODULE_LOCATION", Some(index))
                .strict(),
        );
        return;
    } else {
        return;
    };
    problems
        .push(Diagnostic::error(Code::Destination, message, help).about("DEST_MODULE_LOCATION", Some(index)));
}

fn strip(index: usize, directives: &Directives, problems: &mut Vec<Diagnostic>) {
    let value = directives.get("STRIP", index).unwrap_or_default();
    if value.is_empty() || value.starts_with(['y', 'Y', 'n', 'N']) {
        return;
    }
    let message = format!("STRIP[{index}] is '{value}', which means yes");
    problems.push(
        Diagnostic::warning(Code::Strip, message, format!("STRIP[{index}]=\"yes\", or \"no\""))
            .about("STRIP", Some(index)),
    );
}

fn duplicate(
    directive: &str,
    name: String,
    index: usize,
    seen: &mut BTreeMap<String, usize>,
    problems: &mut Vec<Diagnostic>,
) {
    if let Some(first) = seen.get(&name) {
        let message = format!("modules {first} and {index} have the same {directive} '{name}'");
        let help = format!("give {directive}[{index}] a different name, or remove the entry");
        problems.push(
            Diagnostic::error(Code::ModuleDuplicate, message, help).about(directive, Some(index)).strict(),
        );
    } else {
        seen.insert(name, index);
    }
}

pub(super) fn patches(conf: &ModuleConf, problems: &mut Vec<Diagnostic>) {
    for (&index, patch) in conf.patch.iter().filter(|(_, p)| has_dot_dot(p)) {
        let message = format!("PATCH[{index}] '{patch}' leaves the patches directory");
        let help = "the name of a file in the package's patches/ directory, without '..'";
        problems.push(Diagnostic::error(Code::PatchPath, message, help).about("PATCH", Some(index)).strict());
    }
}

pub(super) fn deprecated(directives: &Directives, problems: &mut Vec<Diagnostic>) {
    for info in Dialect::Module.table().iter().filter(|info| info.deprecated) {
        let Some(index) = directives.indices(info.name).next() else { continue };
        // A common way to say that nothing needs cleaning.
        let value = directives.scalar(info.name);
        if info.name == "CLEAN" && ["true", "/bin/true", "/usr/bin/true"].contains(&value) {
            continue;
        }
        let message = format!("{} is obsolete: {}", info.name, info.help);
        problems.push(
            Diagnostic::note(Code::Deprecated, message, format!("remove {}", info.name))
                .about(info.name, Some(index)),
        );
    }
}

pub(super) fn has_dot_dot(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}
