//! No module of a crate depends on a module that depends on it.
//!
//! A module is a file. It depends on another one when it names an item that is defined there, through any
//! number of re-exports. `pub use` alone is no dependency: a module may gather what the modules below it
//! define. Code that is only compiled for tests does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A path of modules below the crate's root; the root itself is empty.
type Module = Vec<String>;

/// What one file says, as far as it matters here.
#[derive(Default)]
struct File {
    /// Paths that are imported, by the name that they have here.
    imports: BTreeMap<String, Vec<String>>,
    /// Every path that code mentions, imports that are not public included.
    paths: BTreeSet<Vec<String>>,
}

/// Identifiers, `::`, and other characters one by one. Comments and literals are left out.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        match at(i) {
            '/' if at(i + 1) == '/' => i += chars[i..].iter().take_while(|c| **c != '\n').count(),
            '/' if at(i + 1) == '*' => i = after(&chars, i + 2, "*/"),
            '"' => i = after_string(&chars, i + 1),
            '\'' if at(i + 1) == '\\' => i = after(&chars, i + 3, "'"),
            '\'' if at(i + 2) == '\'' => i += 3,
            'r' if at(i + 1) == '#' && matches!(at(i + 2), '"' | '#') => {
                let marks = chars[i + 1..].iter().take_while(|c| **c == '#').count();
                i = after(&chars, i + marks + 2, &format!("\"{}", "#".repeat(marks)));
            }
            'r' if at(i + 1) == '"' => i = after(&chars, i + 2, "\""),
            'b' if at(i + 1) == 'r' && matches!(at(i + 2), '"' | '#') => i += 1,
            'b' | 'c' if matches!(at(i + 1), '"' | '\'') => i += 1,
            ':' if at(i + 1) == ':' => {
                found.push("::".to_owned());
                i += 2;
            }
            c if is_word(c) => {
                let word: String = chars[i..].iter().take_while(|c| is_word(**c)).collect();
                i += word.chars().count();
                found.push(word);
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                i += 1;
            }
        }
    }
    found
}

/// The place behind `end`.
fn after(chars: &[char], from: usize, end: &str) -> usize {
    let end: Vec<char> = end.chars().collect();
    let mut i = from;
    while i < chars.len() && !chars[i..].starts_with(&end) {
        i += 1;
    }
    i + end.len()
}

fn after_string(chars: &[char], from: usize) -> usize {
    let mut i = from;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// The place behind the bracket that closes the one at `from`.
fn after_group(tokens: &[String], from: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(from) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// The place behind an item and the attributes before it.
fn after_item(tokens: &[String], from: usize) -> usize {
    let token = |i: usize| tokens.get(i).map_or("", String::as_str);
    let mut i = from;
    while token(i) == "#" {
        i = after_group(tokens, i + 1);
    }
    let is_use = tokens[i..].iter().take(6).any(|t| t == "use");
    while i < tokens.len() {
        match token(i) {
            ";" => return i + 1,
            "{" if is_use => i = after_group(tokens, i),
            "{" => return after_group(tokens, i),
            "(" | "[" => i = after_group(tokens, i),
            _ => i += 1,
        }
    }
    i
}

/// Without the items that are only compiled for tests.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let is_attribute = tokens[i] == "#" && tokens.get(i + 1).is_some_and(|t| t == "[");
        let end = if is_attribute { after_group(tokens, i + 1) } else { i + 1 };
        let words = &tokens[i..end];
        let has = |word: &str| words.iter().any(|t| t == word);
        if is_attribute && words.get(2).is_some_and(|t| t == "cfg") && has("test") && !has("not") {
            i = after_item(tokens, end);
        } else {
            kept.extend_from_slice(words);
            i = end;
        }
    }
    kept
}

/// The paths of a `use` tree, each with its name here.
fn use_tree(tokens: &[String], prefix: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let mut path = prefix.to_vec();
    let mut name = None;
    let mut i = 0;
    while i < tokens.len() {
        match tokens[i].as_str() {
            "{" => {
                let end = after_group(tokens, i);
                for part in split(&tokens[i + 1..end - 1]) {
                    use_tree(part, &path, found);
                }
                return;
            }
            "as" => {
                name = tokens.get(i + 1).cloned();
                i += 1;
            }
            "self" if i > 0 || !prefix.is_empty() => {}
            "::" => {}
            word => path.push(word.to_owned()),
        }
        i += 1;
    }
    if let Some(last) = name.or_else(|| path.last().cloned()) {
        found.push((last, path));
    }
}

/// Parts between commas that are in no brackets.
fn split(tokens: &[String]) -> Vec<&[String]> {
    let mut parts = Vec::new();
    let (mut start, mut i) = (0, 0);
    while i < tokens.len() {
        match tokens[i].as_str() {
            "{" => i = after_group(tokens, i),
            "," => {
                parts.push(&tokens[start..i]);
                i += 1;
                start = i;
            }
            _ => i += 1,
        }
    }
    parts.push(&tokens[start..]);
    parts.into_iter().filter(|part| !part.is_empty()).collect()
}

impl File {
    fn parse(text: &str) -> Self {
        let tokens = without_tests(&tokens(text));
        let token = |i: usize| tokens.get(i).map_or("", String::as_str);
        let is_name = |i: usize| token(i).starts_with(|c: char| c.is_alphabetic() || c == '_');
        let mut file = Self::default();
        let mut gathered = Vec::new();
        let mut words = BTreeSet::new();
        let (mut i, mut public) = (0, false);
        while i < tokens.len() {
            if token(i) == "pub" {
                public = true;
                i = if token(i + 1) == "(" { after_group(&tokens, i + 1) } else { i + 1 };
                continue;
            }
            if token(i) == "mod" {
                i += 2;
                continue;
            }
            if token(i) == "use" {
                let end = (i..tokens.len()).find(|n| token(*n) == ";").unwrap_or(tokens.len());
                let mut found = Vec::new();
                use_tree(&tokens[i + 1..end], &[], &mut found);
                if public {
                    gathered.extend(found.iter().cloned());
                } else {
                    file.paths.extend(found.iter().map(|(_, path)| path.clone()));
                }
                file.imports.extend(found);
                i = end;
            } else if is_name(i) {
                let mut path = vec![token(i).to_owned()];
                while token(i + 1) == "::" && is_name(i + 2) {
                    path.push(token(i + 2).to_owned());
                    i += 2;
                }
                words.insert(path[0].clone());
                if path.len() > 1 {
                    file.paths.insert(path);
                }
                i += 1;
            } else {
                i += 1;
            }
            public = false;
        }
        // What is gathered for others may be used here as well.
        file.paths
            .extend(gathered.into_iter().filter(|(name, _)| words.contains(name)).map(|(_, path)| path));
        file
    }
}

/// The files of a crate by their modules.
fn files(dir: &Path, module: &[String], found: &mut BTreeMap<Module, File>) {
    for entry in std::fs::read_dir(dir).expect("a directory of sources").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let below = |name: &str| [module, &[name.to_owned()]].concat();
        if entry.path().is_dir() {
            files(&entry.path(), &below(&name), found);
        } else if let Some(name) = name.strip_suffix(".rs").filter(|name| *name != "tests") {
            let this = if matches!(name, "mod" | "lib" | "main") { module.to_vec() } else { below(name) };
            if !this.iter().any(|part| part == "tests") {
                let text = std::fs::read_to_string(entry.path()).expect("a source file");
                found.insert(this, File::parse(&text));
            }
        }
    }
}

/// The module that defines what a path names in `from`; `None`: another crate, or nothing that is a module's.
fn definer(files: &BTreeMap<Module, File>, from: &[String], path: &[String], depth: u32) -> Option<Module> {
    let import = |module: &[String], name: &str| files.get(module)?.imports.get(name).cloned();
    let first = path.first().filter(|_| depth < 8)?;
    let (mut base, mut rest) = (from.to_vec(), path);
    match first.as_str() {
        "crate" => (base, rest) = (Vec::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        name if files.contains_key(&[from, &[name.to_owned()]].concat()) => {}
        name => {
            let there = import(from, name).filter(|import| import != path)?;
            return definer(files, from, &[&there, &path[1..]].concat(), depth + 1);
        }
    }
    while let Some(next) = rest.first().map(|part| [&base[..], std::slice::from_ref(part)].concat()) {
        if !files.contains_key(&next) {
            break;
        }
        (base, rest) = (next, &rest[1..]);
    }
    let there = rest.first().filter(|_| base != from).and_then(|name| import(&base, name));
    match there {
        Some(there) => {
            let inside = matches!(there[0].as_str(), "crate" | "self" | "super")
                || files.contains_key(&[&base[..], &there[..1]].concat());
            let path = [&there, &rest[1..]].concat();
            if inside { definer(files, &base, &path, depth + 1).or(Some(base)) } else { None }
        }
        None => Some(base),
    }
}

type Edges = BTreeMap<Module, BTreeSet<Module>>;

fn edges(files: &BTreeMap<Module, File>) -> Edges {
    let mut all = Edges::new();
    for (module, file) in files {
        let to = file.paths.iter().filter_map(|path| definer(files, module, path, 0));
        all.insert(module.clone(), to.filter(|to| to != module).collect());
    }
    all
}

/// Everything that can be reached from a module.
fn reachable(edges: &Edges, from: &Module) -> BTreeSet<Module> {
    let mut seen = BTreeSet::new();
    let mut pending = vec![from];
    while let Some(module) = pending.pop() {
        for next in edges.get(module).into_iter().flatten() {
            if seen.insert(next.clone()) {
                pending.push(next);
            }
        }
    }
    seen
}

/// The groups of modules that all depend on each other, with the dependencies inside each.
fn cycles(edges: &Edges) -> Vec<String> {
    let reach: BTreeMap<&Module, BTreeSet<Module>> = edges.keys().map(|m| (m, reachable(edges, m))).collect();
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for module in edges.keys() {
        if !reach[module].contains(module) || told.contains(module) {
            continue;
        }
        let group: BTreeSet<&Module> =
            reach[module].iter().filter(|m| reach.get(m).is_some_and(|r| r.contains(module))).collect();
        let inside =
            |m: &Module| edges[m].iter().filter(|to| group.contains(to)).map(show).collect::<Vec<_>>();
        let lines: Vec<String> =
            group.iter().map(|m| format!("  {} -> {}", show(m), inside(m).join(", "))).collect();
        found.push(lines.join("\n"));
        told.extend(group.into_iter().cloned());
    }
    found
}

fn show(module: &Module) -> String {
    if module.is_empty() { "crate".to_owned() } else { module.join("::") }
}

/// The cycles of a crate below `crates/`.
fn cycles_of(name: &str) -> Vec<String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(name).join("src");
    let mut found = BTreeMap::new();
    files(&sources, &[], &mut found);
    assert!(found.len() > 1, "{}", sources.display());
    cycles(&edges(&found))
}

#[test]
fn a_cycle_is_found_through_imports_paths_and_reexports() {
    let crate_of = |sources: &[(&str, &str)]| {
        let module = |path: &str| path.split("::").filter(|p| !p.is_empty()).map(str::to_owned).collect();
        let files = sources.iter().map(|(path, text)| (module(path), File::parse(text))).collect();
        cycles(&edges(&files)).len()
    };
    let b = ("b", "pub fn f() { crate::a::g(\"crate::b\") }");
    assert_eq!(
        crate_of(&[("", "mod a; mod b;"), ("a", "use crate::b::{self, f as h}; pub fn g() {}"), b]),
        1
    );
    assert_eq!(crate_of(&[("", "mod a; mod b;"), ("a", "#[cfg(test)] use crate::b; pub fn g() {}"), b]), 0);
    assert_eq!(crate_of(&[("", "mod a; mod b;"), ("a", "// crate::b\nstruct S<'a>(&'a str);"), b]), 0);
    let child = ("a::c", "use super::T; pub struct C(T);");
    assert_eq!(crate_of(&[("", ""), ("a", "mod c; pub use c::C; pub struct T;"), child]), 0);
    assert_eq!(crate_of(&[("", ""), ("a", "mod c; pub use c::C; pub struct T; fn f(_: C) {}"), child]), 1);
    let gathered = ("", "mod a; mod b; pub use a::A;");
    assert_eq!(crate_of(&[gathered, ("a", "use crate::b::B; pub struct A;"), ("b", "use crate::A;")]), 1);
}

#[test]
fn no_module_depends_on_one_that_depends_on_it() {
    let crates = [
        "dkms-sys",
        "dkms-conf",
        "kmodule",
        "dkms-archive",
        "dkms-bundle",
        "dkms-pages",
        "dkms-tree",
        "dkms-core",
        "dkms",
        "dkms-registry",
    ];
    let found: Vec<String> = crates
        .iter()
        .flat_map(|name| cycles_of(name).into_iter().map(move |c| format!("{name}:\n{c}")))
        .collect();
    assert!(found.is_empty(), "move what is shared below both modules:\n{}", found.join("\n"));
}
