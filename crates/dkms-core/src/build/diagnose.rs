//! Finds the first errors in a make.log, and explains them if the cause is certain.

use crate::build::Diagnosis;
use crate::host::Host;

/// The maximum number of lines after an error that are shown.
const CONTEXT: usize = 3;

/// The maximum number of errors that are shown.
const ERRORS: usize = 3;

/// Errors with a temporary cause.
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
    let mut errors = Vec::new();
    let mut remaining = lines.iter().peekable();
    for _ in 0..ERRORS {
        let Some(line) = remaining.find(|line| is_error(line)) else { break };
        errors.push(clean(line));
        // The compiler's explanation: the source line and a caret.
        for _ in 0..CONTEXT {
            errors.extend(remaining.next_if(|line| is_context(line)).map(|line| clean(line)));
        }
    }
    if errors.is_empty() {
        errors = last_output(&lines);
    }
    let is_passing = lines.iter().any(|line| PASSING.iter().any(|text| line.contains(text)));
    Diagnosis { errors, is_passing, meaning: meaning(host, &lines) }
}

/// Returns the last lines of the output of the last command, without the lines that dkms wrote.
fn last_output(lines: &[&str]) -> Vec<String> {
    let is_output =
        |line: &&&str| !line.trim().is_empty() && !line.starts_with("# ") && !line.starts_with("----");
    let output = lines.iter().rev().take_while(|line| !line.starts_with("# command: ")).filter(is_output);
    let mut last: Vec<String> = output.take(5).map(|line| clean(line)).collect();
    last.reverse();
    last
}

/// Replaces tabs, and shortens a long line.
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
    compiler || modpost || make || linker || is_loader_error(l)
}

/// Returns whether a program could not start because of its libraries.
fn is_loader_error(line: &str) -> bool {
    line.contains(": error while loading shared libraries: ")
        || line.contains(": symbol lookup error: ")
        || (line.contains(": version `") && line.contains("' not found (required by "))
}

/// Returns whether a line of a compiler shows the source of the error before it.
fn is_context(line: &str) -> bool {
    let l = line.trim_start();
    l.starts_with('|')
        || l.split_once('|')
            .is_some_and(|(n, _)| !n.is_empty() && n.trim().bytes().all(|b| b.is_ascii_digit()))
}

/// Explains an error, if its cause is certain.
fn meaning(host: &Host, lines: &[&str]) -> Option<String> {
    let has = |needle: &str| lines.iter().any(|l| l.contains(needle));
    if has("No space left on device") {
        return Some("the disk that holds the dkms tree or TMPDIR is full".into());
    }
    if has("Killed signal terminated program") || has("internal compiler error: Killed") {
        return Some("the machine ran out of memory while compiling; use fewer jobs (-j 1)".into());
    }
    for line in lines {
        if let Some(program) = missing_program(line) {
            let package = host.program_package(&program);
            return Some(format!("{program} is not installed; it is in the package {package}"));
        }
        if let Some((symbol, module)) = undefined_symbol(line) {
            return Some(format!(
                "this kernel does not export {symbol}, which {module} uses, and no package in BUILD_DEPENDS provides it"
            ));
        }
        if is_loader_error(line) {
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

/// Returns the program in `/bin/sh: 1: gcc-13: not found`, `make[2]: gcc-13: No such file or directory`, or
/// `bash: line 1: gcc-13: command not found`.
fn missing_program(line: &str) -> Option<String> {
    let by_shell = line.strip_suffix(": not found").or_else(|| line.strip_suffix(": command not found"));
    let by_make = line.strip_suffix(": No such file or directory").filter(|l| l.starts_with("make"));
    let program = by_shell.or(by_make)?.rsplit(": ").next()?.trim();
    let plain =
        !program.is_empty() && program.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
    plain.then(|| program.to_owned())
}

/// Returns the symbol and the module in `ERROR: modpost: "foo" [/path/bar.ko] undefined!`.
fn undefined_symbol(line: &str) -> Option<(String, String)> {
    let rest = line.strip_suffix("undefined!")?;
    let symbol = rest.split('"').nth(1)?;
    let file = rest.split_once('[')?.1.split(']').next()?;
    let module = file.rsplit('/').next().unwrap_or(file);
    Some((symbol.to_owned(), module.to_owned()))
}

/// Returns the header in `x.c:1:10: fatal error: linux/foo.h: No such file or directory`, if it is one of the
/// kernel.
fn missing_header(line: &str) -> Option<String> {
    let rest = line.split_once("fatal error: ")?.1.strip_suffix(": No such file or directory")?;
    let kernel_directories =
        ["linux/", "asm/", "net/", "drm/", "media/", "sound/", "scsi/", "crypto/", "uapi/"];
    kernel_directories.iter().any(|p| rest.starts_with(p)).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_with_a_certain_cause() {
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
