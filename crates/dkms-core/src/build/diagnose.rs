//! Finds the first real errors in a make.log, and explains them if the cause is certain.

use crate::build::Diagnosis;
use crate::host::Host;

/// Lines shown per error, and errors shown.
const CONTEXT: usize = 3;
const ERRORS: usize = 3;

/// Errors whose cause may be gone soon.
const PASSING: [&str; 5] = [
    "No space left on device",
    "Killed",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
    "Too many open files",
];

/// Diagnoses the text of a make.log.
pub fn diagnose(host: &Host, log: &str) -> Diagnosis {
    let lines: Vec<&str> = log.lines().collect();
    let mut out = Diagnosis::default();
    let mut at = 0;
    let mut shown = 0;
    while at < lines.len() && shown < ERRORS {
        let Some(line) = lines.get(at) else { break };
        if is_error(line) {
            shown += 1;
            out.errors.push(clean(line));
            // The compiler's explanation of it: source line and caret.
            let context = lines.iter().skip(at + 1).take(CONTEXT).take_while(|l| is_context(l));
            for line in context {
                out.errors.push(clean(line));
                at += 1;
            }
        }
        at += 1;
    }
    if out.errors.is_empty() {
        // The output of the last command, without the lines of dkms.
        let from = lines.iter().rposition(|l| l.starts_with("# command: ")).map_or(0, |n| n + 1);
        let tail = lines
            .iter()
            .skip(from)
            .rev()
            .filter(|l| !l.trim().is_empty() && !l.starts_with("# ") && !l.starts_with("----"));
        let mut tail: Vec<String> = tail.take(5).map(|l| clean(l)).collect();
        tail.reverse();
        out.errors = tail;
    }
    out.meaning = meaning(host, &lines);
    let is_passing = |line: &&str| PASSING.iter().any(|text| line.contains(text));
    out.is_passing = lines.iter().any(is_passing);
    out
}

fn clean(line: &str) -> String {
    line.chars().map(|c| if c == '\t' { ' ' } else { c }).take(300).collect()
}

fn is_error(line: &str) -> bool {
    let l = line.trim_start();
    let compiler = l.contains(": error:") || l.contains(": fatal error:") || l.starts_with("error:");
    let modpost =
        l.starts_with("ERROR: modpost:") || l.starts_with("FATAL: modpost:") || l.starts_with("ERROR: \"");
    let make = (l.starts_with("make") && l.contains("*** ") && !l.contains("] Error "))
        || l.ends_with(": not found")
        || l.ends_with(": command not found")
        || l.starts_with("pahole: unrecognized option")
        || l.contains("No space left on device");
    let linker = l.contains("undefined reference to") || l.contains("ld: cannot find");
    compiler || modpost || make || linker || is_of_loader(l)
}

/// A program did not start, because of its libraries.
fn is_of_loader(line: &str) -> bool {
    line.contains(": error while loading shared libraries: ")
        || line.contains(": symbol lookup error: ")
        || (line.contains(": version `") && line.contains("' not found (required by "))
}

fn is_context(line: &str) -> bool {
    let l = line.trim_start();
    l.starts_with('|')
        || l.split_once('|')
            .is_some_and(|(n, _)| !n.is_empty() && n.trim().bytes().all(|b| b.is_ascii_digit()))
}

fn meaning(host: &Host, lines: &[&str]) -> Option<String> {
    let has = |needle: &str| lines.iter().any(|l| l.contains(needle));
    let package = |program: &str| host.program_package(program);
    if has("No space left on device") {
        return Some("the disk that holds the dkms tree or TMPDIR is full".into());
    }
    if has("Killed signal terminated program") || has("internal compiler error: Killed") {
        return Some("the machine ran out of memory while compiling; use fewer jobs (-j 1)".into());
    }
    for line in lines {
        if let Some(program) = missing_program(line) {
            return Some(format!("{program} is not installed; it is in the package {}", package(&program)));
        }
        if let Some((symbol, module)) = undefined_symbol(line) {
            return Some(format!(
                "this kernel does not export {symbol}, which {module} uses, and no package in BUILD_DEPENDS provides it"
            ));
        }
        if is_of_loader(line) {
            return Some(
                "a program of the headers or the compiler lacks a library, or needs a newer one than this system has; \
                 it runs on the release of the distribution that it is from (--root, if that is another root)"
                    .into(),
            );
        }
        if line.starts_with("pahole: unrecognized option") {
            return Some("this kernel's headers need a newer pahole than the installed one".into());
        }
        if let Some(header) = missing_header(line) {
            return Some(format!(
                "{header} is not part of this kernel's headers: this version of the module does not support this kernel, or its headers are incomplete"
            ));
        }
    }
    None
}

/// `/bin/sh: 1: gcc-13: not found`, `make[2]: gcc-13: No such file or directory`, `bash: line 1: foo: command
/// not found`
fn missing_program(line: &str) -> Option<String> {
    let by_shell = line.strip_suffix(": not found").or_else(|| line.strip_suffix(": command not found"));
    let by_make = line.strip_suffix(": No such file or directory").filter(|l| l.starts_with("make"));
    let program = by_shell.or(by_make)?.rsplit(": ").next()?.trim();
    let plain =
        !program.is_empty() && program.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
    plain.then(|| program.to_owned())
}

/// `ERROR: modpost: "foo" [/path/bar.ko] undefined!`
fn undefined_symbol(line: &str) -> Option<(String, String)> {
    let rest = line.strip_suffix("undefined!")?;
    let symbol = rest.split('"').nth(1)?;
    let file = rest.split_once('[')?.1.split(']').next()?;
    let module = file.rsplit('/').next().unwrap_or(file);
    Some((symbol.to_owned(), module.to_owned()))
}

/// `x.c:1:10: fatal error: linux/foo.h: No such file or directory`
fn missing_header(line: &str) -> Option<String> {
    let rest = line.split_once("fatal error: ")?.1.strip_suffix(": No such file or directory")?;
    let of_kernel = ["linux/", "asm/", "net/", "drm/", "media/", "sound/", "scsi/", "crypto/", "uapi/"];
    of_kernel.iter().any(|p| rest.starts_with(p)).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_mean_something_certain() {
        assert_eq!(missing_program("/bin/sh: 1: gcc-13: not found").as_deref(), Some("gcc-13"));
        assert_eq!(missing_program("make[2]: gcc-12: No such file or directory").as_deref(), Some("gcc-12"));
        assert_eq!(missing_program("make[2]: *** /nonexistent: No such file or directory"), None);
        assert_eq!(
            undefined_symbol("ERROR: modpost: \"nf_foo\" [/var/lib/dkms/a/1/build/b.ko] undefined!"),
            Some(("nf_foo".into(), "b.ko".into()))
        );
        assert_eq!(
            missing_header("a.c:3:10: fatal error: linux/gone.h: No such file or directory").as_deref(),
            Some("linux/gone.h")
        );
        assert!(is_error(
            "scripts/basic/fixdep: /lib/riscv64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by fixdep)"
        ));
        assert!(is_error(
            "fixdep: error while loading shared libraries: libelf.so.1: cannot open shared object file"
        ));
        assert!(is_error("a.c:3:10: error: implicit declaration of function 'foo'"));
        assert!(!is_error("make[1]: *** [Makefile:10: all] Error 2"));
    }
}
