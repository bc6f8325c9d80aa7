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
            unprintable(name, None, value, problems);
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

/// A name with characters that a terminal does not display. The message does not repeat it.
fn unprintable(directive: &str, index: Option<usize>, name: &str, problems: &mut Vec<Diagnostic>) {
    let Some(c) = name.chars().find(|c| is_unprintable(*c)) else { return };
    let message = format!("{directive} contains a control character (U+{:04X})", u32::from(c));
    let help = "use letters, digits, '.', '-', '_' and '+'";
    problems.push(Diagnostic::error(Code::NameOdd, message, help).about(directive, index).strict());
}

pub(super) fn modules(conf: &ModuleConf, directives: &Directives, problems: &mut Vec<Diagnostic>) {
    let mut built = BTreeMap::new();
    let mut dest = BTreeMap::new();
    for m in &conf.modules {
        names(m, problems);
        location(m, directives.get("DEST_MODULE_LOCATION", m.index).unwrap_or_default(), problems);
        strip(m.index, directives, problems);
        if m.built_name.is_empty() {
            continue;
        }
        let place = format!("{}{}", m.built_location, m.built_name);
        duplicate("BUILT_MODULE_NAME", place, m.index, &mut built, problems);
        duplicate("DEST_MODULE_NAME", m.dest_name.clone(), m.index, &mut dest, problems);
    }
}

fn names(m: &ModuleEntry, problems: &mut Vec<Diagnostic>) {
    let i = m.index;
    if m.built_name.is_empty() {
        problems.push(
            Diagnostic::error(
                Code::ModuleUnnamed,
                format!("module {i} has no name"),
                format!("add BUILT_MODULE_NAME[{i}]=\"name\", or renumber the modules without gaps"),
            )
            .about("BUILT_MODULE_NAME", Some(i)),
        );
    }
    for (directive, name) in [("BUILT_MODULE_NAME", &m.built_name), ("DEST_MODULE_NAME", &m.dest_name)] {
        unprintable(directive, Some(i), name, problems);
        if let Some(stem) = name.strip_suffix(".ko").or_else(|| name.strip_suffix(".o")) {
            let help = format!("{directive}[{i}]=\"{stem}\"");
            let message = format!("{directive}[{i}] ends in .ko or .o; write the name without it");
            problems.push(Diagnostic::error(Code::ModuleSuffix, message, help).about(directive, Some(i)));
        }
    }
    if m.dest_name.contains('/') || m.dest_name == "." || m.dest_name == ".." {
        let from_built = m.dest_name == m.built_name;
        let directive = if from_built { "BUILT_MODULE_NAME" } else { "DEST_MODULE_NAME" };
        let other = if from_built { "BUILT_MODULE_LOCATION" } else { "DEST_MODULE_LOCATION" };
        let message = format!("{directive}[{i}] '{}' is not a plain file name", m.dest_name);
        let help = format!("put the directory into {other}[{i}]");
        problems.push(Diagnostic::error(Code::ModulePath, message, help).about(directive, Some(i)).strict());
    } else if m.built_name.contains('/') {
        let message = format!("BUILT_MODULE_NAME[{i}] '{}' contains a directory", m.built_name);
        let help = format!("put the directory into BUILT_MODULE_LOCATION[{i}]");
        problems
            .push(Diagnostic::warning(Code::ModulePath, message, help).about("BUILT_MODULE_NAME", Some(i)));
    }
    if has_dot_dot(&m.built_location) || m.built_location.starts_with('/') {
        let message = format!("BUILT_MODULE_LOCATION[{i}] '{}' leaves the build directory", m.built_location);
        let help = "a directory below the top of the package's source, such as src/";
        problems.push(
            Diagnostic::warning(Code::ModulePath, message, help).about("BUILT_MODULE_LOCATION", Some(i)),
        );
    }
}

/// `written` is the value in the file, with the `..` that [`ModuleEntry::dest_location`] no longer contains.
fn location(m: &ModuleEntry, written: &str, problems: &mut Vec<Diagnostic>) {
    let i = m.index;
    let help = format!("DEST_MODULE_LOCATION[{i}]=\"/updates\" is suitable for most packages");
    let place = &m.dest_location;
    let message = if place.is_empty() {
        format!("module {i} has no DEST_MODULE_LOCATION")
    } else if !["/kernel", "/updates", "/extra"].iter().any(|start| written.starts_with(start)) {
        format!("DEST_MODULE_LOCATION[{i}] '{place}' does not begin with /kernel, /updates or /extra")
    } else if has_dot_dot(place) {
        let message = format!("DEST_MODULE_LOCATION[{i}] '{place}' leaves the kernel's modules with '..'");
        problems.push(
            Diagnostic::error(Code::Destination, message, help)
                .about("DEST_MODULE_LOCATION", Some(i))
                .strict(),
        );
        return;
    } else {
        return;
    };
    problems.push(Diagnostic::error(Code::Destination, message, help).about("DEST_MODULE_LOCATION", Some(i)));
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
    for (&i, patch) in conf.patch.iter().filter(|(_, p)| has_dot_dot(p)) {
        let message = format!("PATCH[{i}] '{patch}' leaves the patches directory");
        let help = "the name of a file in the package's patches/ directory, without '..'";
        problems.push(Diagnostic::error(Code::PatchPath, message, help).about("PATCH", Some(i)).strict());
    }
}

pub(super) fn deprecated(directives: &Directives, problems: &mut Vec<Diagnostic>) {
    for d in Dialect::Module.table().iter().filter(|d| d.deprecated) {
        let Some(index) = directives.indices(d.name).next() else { continue };
        // A harmless way to write that nothing needs cleaning.
        let value = directives.scalar(d.name);
        if d.name == "CLEAN" && ["true", "/bin/true", "/usr/bin/true"].contains(&value) {
            continue;
        }
        let message = format!("{} is obsolete: {}", d.name, d.help);
        problems.push(
            Diagnostic::note(Code::Deprecated, message, format!("remove {}", d.name))
                .about(d.name, Some(index)),
        );
    }
}

pub(super) fn has_dot_dot(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}
