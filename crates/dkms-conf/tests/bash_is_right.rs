//! Compares the native evaluator with real bash, and the product's bash program with one written only for the
//! tests.
//!
//! `DKMS_PROPTEST_CASES` sets the number of generated files (default 400).

#![allow(clippy::print_stderr, reason = "tests print what they skip and count")]

mod common;

use common::{Bash, regex_matches, state};
use dkms_conf::{Dialect, State, evaluate};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use std::cell::Cell;

/// Turns a list of numbers into choices, so that a failing file shrinks with the list.
struct Choices<'a> {
    numbers: std::slice::Iter<'a, u16>,
    depth: u32,
}

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.numbers.next().copied().unwrap_or(0)) % n.max(1)
    }

    fn one<'s>(&mut self, of: &[&'s str]) -> &'s str {
        of.get(self.below(of.len())).copied().unwrap_or_default()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn done(&self) -> bool {
        self.numbers.len() == 0
    }
}

const DIRECTIVES: [&str; 9] = [
    "PACKAGE_NAME",
    "PACKAGE_VERSION",
    "MAKE",
    "BUILT_MODULE_NAME",
    "DEST_MODULE_LOCATION",
    "PATCH",
    "AUTOINSTALL",
    "PRE_BUILD",
    "CLEAN",
];
const HELPERS: [&str; 4] = ["x", "arr", "KV", "i"];
const KNOWN: [&str; 6] = ["kernelver", "arch", "odd", "empty", "module", "number"];
const PLAIN: [&str; 30] = [
    "a", "make", "6.1", "-C", "/usr/src", "=", ":", ",", "[0]", "*", "?", "{", "}", "{a,b}", "~", "!", "^",
    "%", "@", "+", "é", "#", "]", "[", "[a-c]", "..", "./", "\\", "0", "modules",
];

fn name(c: &mut Choices<'_>) -> String {
    match c.below(10) {
        0..=4 => c.one(&DIRECTIVES).to_owned(),
        5..=6 => c.one(&HELPERS).to_owned(),
        _ => c.one(&KNOWN).to_owned(),
    }
}

fn subscript(c: &mut Choices<'_>) -> String {
    c.one(&["0", "1", "2", "7", "i", "$i", "${number}", "number", "01", "x"]).to_owned()
}

fn pattern(c: &mut Choices<'_>) -> String {
    let mut out = String::new();
    for _ in 0..=c.below(3) {
        out += c.one(&[
            "*", "?", "6", ".", "-", "a", "[0-9]", "[!0-9]", "[a-z.]", "1", "$arch", "[", " ", "é", "**", "e",
        ]);
    }
    out
}

fn parameter(c: &mut Choices<'_>) -> String {
    let name = name(c);
    if c.chance(40) {
        return if c.chance(50) { format!("${name}") } else { format!("${{{name}}}") };
    }
    let name = if c.chance(20) { format!("{name}[{}]", subscript(c)) } else { name };
    match c.below(12) {
        0 => format!("${{#{name}}}"),
        1 => format!("${{#{}[@]}}", name.split('[').next().unwrap_or_default()),
        2..=5 => {
            let operator = c.one(&[":-", "-", ":+", "+"]);
            let mut word = String::new();
            for _ in 0..c.below(3) {
                word += &match c.below(4) {
                    0 => parameter(c),
                    _ => c.one(&["a", " ", "b c", "/", "*", "-", "é", "x=y", "$", "#", "!", "["]).to_owned(),
                };
            }
            format!("${{{name}{operator}{word}}}")
        }
        6..=8 => format!("${{{name}{}{}}}", c.one(&["#", "##", "%", "%%"]), pattern(c)),
        9..=10 => {
            let with = c.one(&["", "/", "/_", "/ab", "/$arch", "/ ", "/$odd", "/a/b", "/&"]);
            format!("${{{name}{}{}{with}}}", c.one(&["/", "//"]), pattern(c))
        }
        _ => format!("${{{name}}}"),
    }
}

fn double_quoted(c: &mut Choices<'_>) -> String {
    let mut out = String::from("\"");
    for _ in 0..c.below(6) {
        out += &match c.below(10) {
            0..=2 => parameter(c),
            3 => c.one(&["\\\"", "\\$", "\\\\", "\\`", "\\x", "\\'", "\\\n", "\\*"]).to_owned(),
            4 => c.one(&["  ", "\t", "\n", " \n ", " ", "\r", "\r\n"]).to_owned(),
            5 => c.one(&["'", "'y z'", "`", "$", "$ ", "$\\x", "#", " # "]).to_owned(),
            _ => c.one(&PLAIN).replace('\\', "\\\\"),
        };
    }
    out + "\""
}

fn word(c: &mut Choices<'_>) -> String {
    let mut out = String::new();
    for _ in 0..c.below(5) {
        out += &match c.below(12) {
            0..=3 => double_quoted(c),
            4..=5 => format!(
                "'{}'",
                c.one(&[
                    "",
                    "a b",
                    "$arch",
                    "${x}",
                    "\"",
                    "a\"b",
                    "x\" y",
                    "\\",
                    "a  b\n c",
                    "*",
                    "\\\"",
                    "\r",
                    "$(y)",
                    "# c",
                    "\" -O2 \"",
                    "\" x=1\"",
                    "\\$arch",
                    "\\\\\\\\",
                    "/*",
                    "\" \r \"",
                    "\" ;y=\"",
                    "\" || z=\"",
                    "\"# \""
                ])
            ),
            6..=7 => parameter(c),
            8 => format!("\\{}", c.one(&["\"", "$", "\\", " ", "a", "'", "\n", "#", "\r", "*", "~"])),
            _ => c.one(&PLAIN).to_owned(),
        };
    }
    out
}

fn assignment(c: &mut Choices<'_>) -> String {
    let name = name(c);
    let operator = if c.chance(20) { "+=" } else { "=" };
    match c.below(10) {
        0..=4 => format!("{name}{operator}{}", word(c)),
        5..=7 => format!("{name}[{}]{operator}{}", subscript(c), word(c)),
        _ => {
            let mut out = format!("{name}{operator}(");
            for _ in 0..c.below(5) {
                out += c.one(&[" ", "  ", "\n", " # note\n", "\t", "\r\n"]);
                if c.chance(25) {
                    out += &format!("[{}]=", subscript(c));
                }
                out += &word(c);
            }
            out + c.one(&["", " ", "\n"]) + ")"
        }
    }
}

fn condition(c: &mut Choices<'_>) -> String {
    c.depth += 1;
    let shallow = c.depth < 4;
    let out = match c.below(9) {
        0 => format!("[ {} ]", word(c)),
        1 => format!(
            "[ {}{} {} {} ]",
            c.one(&["", "! "]),
            word(c),
            c.one(&["=", "==", "!=", "-eq", "-gt"]),
            word(c)
        ),
        2 => format!("[ {} {} ]", c.one(&["-z", "-n", "!"]), word(c)),
        3 => format!("[[ {} {} {} ]]", parameter(c), c.one(&["==", "=", "!="]), pattern(c)),
        4 => {
            let regex = c.one(&[
                "^6",
                "6\\.1",
                "(6|5)\\.",
                "amd64$",
                "[0-9]+\\.",
                "^$",
                "a|b",
                "\"6.1\"",
                "$arch",
                "\"$odd\"",
                "x86_64|i686",
                "^[0-9.]+-[0-9]+",
                "(",
                "[",
                "x{2}",
                "(a b)",
                "\\-",
                "1*\\+",
                "6.1'.'0",
                "^(6\\.(1|2)|5).*$",
                "$number",
                "[^.]-",
                "e?'|'",
            ]);
            format!("[[ {} =~ {regex} ]]", parameter(c))
        }
        5 => format!("[[ {}{} {} ]]", c.one(&["", "! "]), c.one(&["-n", "-z", ""]), word(c)),
        6 if shallow => {
            let mut parts = format!("[[ {} == {}", parameter(c), pattern(c));
            for _ in 0..c.below(3) {
                parts += &format!(
                    " {} {}",
                    c.one(&["&&", "||"]),
                    c.one(&["! a", "( -n $x )", "\"\"", "$arch", "( a && ! b || c )", "1 -lt 2"])
                );
            }
            parts + " ]]"
        }
        7 => format!(
            "[[ {} {} {} ]]",
            parameter(c),
            c.one(&["-eq", "-lt", "-ge"]),
            c.one(&["0", "6", "$number", "-1", "08"])
        ),
        _ => c.one(&["true", "false", ":", "! true", "! :", "test x", "[ ]"]).to_owned(),
    };
    c.depth -= 1;
    out
}

fn statement(c: &mut Choices<'_>) -> String {
    c.depth += 1;
    let deep = c.depth > 3;
    let out = match c.below(24) {
        0..=12 => assignment(c),
        13 => format!("{} {}", assignment(c), assignment(c)),
        14..=15 => format!("{} {} {}", condition(c), c.one(&["&&", "||"]), assignment(c)),
        16 if !deep => {
            format!(
                "if {}\nthen {}\nelif {}; then {}\nelse {}\nfi",
                condition(c),
                statement(c),
                condition(c),
                statement(c),
                statement(c)
            )
        }
        17 if !deep => format!("if {} && {}; then\n{}\nfi", condition(c), condition(c), statement(c)),
        18 if !deep => {
            format!(
                "case {} in\n {}|{}) {};; (*) {}\nesac",
                word(c),
                pattern(c),
                pattern(c),
                statement(c),
                statement(c)
            )
        }
        19 => format!("export {}", c.one(&["x", "x=1", "MAKE=\"a b\"", "KV=$arch y=2", "x={a,b}", "x=~"])),
        20 => format!("unset {}", c.one(&["x", "MAKE", "arch", "arr"])),
        21 => format!("# {}", c.one(&["it's", "a \\", "\"", "`"])),
        22 => format!("i=$(({}))", c.one(&["i+1", "$number + 1", "1 - 2", "number-1+ 3", "i*2", "08", "x"])),
        _ => format!("echo {}", word(c)),
    };
    c.depth -= 1;
    out
}

fn file(numbers: &[u16]) -> String {
    let mut c = Choices { numbers: numbers.iter(), depth: 0 };
    // Most of the variables that the generator refers to exist.
    let mut out = String::new();
    if c.chance(70) {
        out += "x=1\narr=(p 'q  r' [5]=s)\nKV=${kernelver%%-*}\ni=3\n";
    }
    let dos = c.chance(15);
    while !c.done() {
        out += &statement(&mut c);
        out +=
            c.one(&["\n", "\n", "\n", "\n", ";", " ; ", " \n", " # end\n", "\n\n", "\r\n", " \r\n", " && "]);
    }
    if c.chance(90) {
        out.push('\n');
    }
    if dos { out.replace('\n', "\r\n") } else { out }
}

fn before(numbers: &[u16]) -> State {
    let mut state = state("6.1.0-56-amd64", "x86_64");
    for (name, value) in [("odd", "a  b\t\"c\" $arch \\ *"), ("empty", ""), ("number", "7")] {
        state.variables.insert(name.into(), value.into());
    }
    let mut c = Choices { numbers: numbers.iter(), depth: 0 };
    if c.chance(30) {
        state.directives.set("MAKE", 2, c.one(&["old value", "a \\\\ b", "$arch", "\\$x", "x\"y"]));
        state.directives.set("PATCH", 0, "first");
    }
    state
}

fn cases() -> u32 {
    std::env::var("DKMS_PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

fn check(
    bash: &Bash,
    text: &str,
    before: &State,
    locale: &str,
    native: &Cell<u32>,
) -> Result<(), TestCaseError> {
    let Ok(ours) = evaluate(text.as_bytes(), before, Dialect::Module, &regex_matches) else {
        return Ok(());
    };
    native.set(native.get() + 1);
    let reference = bash.reference(text.as_bytes(), before, Dialect::Module, locale);
    prop_assert_eq!(&Ok(ours), &reference, "natively (left) and by bash (right): {:?}", text);
    let program = bash.program(text.as_bytes(), before, Dialect::Module, locale);
    prop_assert_eq!(program, reference, "the product's program (left) and the test's: {:?}", text);
    Ok(())
}

fn runner() -> TestRunner {
    TestRunner::new(Config {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 3000,
        ..Config::default()
    })
}

/// Prints only the reason, because the shrunk numbers of a file are meaningless.
fn report<T: std::fmt::Debug>(result: Result<(), TestError<T>>) {
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn generated_files() {
    // This path is empty, because the generator invents commands.
    let Some(bash) = Bash::new("/nonexistent") else { return };
    let native = Cell::new(0);
    let numbers = proptest::collection::vec(any::<u16>(), 0..60);
    let result = runner().run(&(numbers, any::<[u16; 2]>()), |(numbers, more)| {
        let locale = if more[1] % 2 == 0 { "C" } else { "C.UTF-8" };
        check(&bash, &file(&numbers), &before(&more), locale, &native)
    });
    report(result);
    eprintln!("{} of {} generated files were evaluated natively", native.get(), cases());
}

#[test]
fn damaged_files() {
    let Some(bash) = Bash::new("/nonexistent") else { return };
    let native = Cell::new(0);
    let numbers = proptest::collection::vec(any::<u16>(), 0..30);
    let cuts = proptest::collection::vec((any::<u16>(), 0usize..24), 0..4);
    let result = runner().run(&(numbers, cuts), |(numbers, cuts)| {
        let mut text: Vec<char> = file(&numbers).chars().collect();
        for (at, what) in cuts {
            let at = usize::from(at) % (text.len() + 1);
            match "\"'\\$`{}[]()#;&|=\n\r ~*/+".chars().nth(what) {
                Some(c) => text.insert(at, c),
                None if at < text.len() => {
                    text.remove(at);
                }
                None => {}
            }
        }
        check(&bash, &text.into_iter().collect::<String>(), &before(&[]), "C", &native)
    });
    report(result);
    eprintln!("{} of {} damaged files were evaluated natively", native.get(), cases());
}

/// A file may have a function with the name of a command that the program uses: all directives are read.
#[test]
fn functions_that_hide_commands() {
    let Some(bash) = Bash::new("/usr/bin:/bin") else { return };
    for name in ["echo", "eval", "printf", "set", "trap", "local", "unset"] {
        let text =
            format!("{name}() {{ :; }}\nPACKAGE_NAME=x\nMAKE[1]=\"make $(command printf '%s' all)\"\n");
        let read = bash.program(text.as_bytes(), &State::default(), Dialect::Module, "C").unwrap();
        assert_eq!(
            read.iter().collect::<Vec<_>>(),
            [("MAKE", 1, "make all"), ("PACKAGE_NAME", 0, "x")],
            "{name}"
        );
    }
}

#[test]
fn any_bytes_return() {
    let mut runner = runner();
    let bytes = proptest::collection::vec(any::<u8>(), 0..400);
    runner
        .run(&bytes, |bytes| {
            dkms_conf::fuzz_evaluate(&bytes);
            Ok(())
        })
        .expect("no panic");
    let likely = proptest::string::string_regex(
        "([A-Z_]{1,5}(\\[[0-9a-z]*\\])?\\+?=[\"'$a-z{}() *;&|\\n\\\\]{0,12}[\n;])*",
    )
    .expect("expression");
    runner
        .run(&likely, |text| {
            dkms_conf::fuzz_evaluate(text.as_bytes());
            Ok(())
        })
        .expect("no panic");
}
