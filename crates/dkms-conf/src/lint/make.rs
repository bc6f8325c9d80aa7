//! Checks commands: a MAKE that installs or ignores the kernel, and shell code for which a variable is
//! enough.

use super::file::{Facts, File};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Location, edit};
use crate::directives::Directives;

/// The two forms of command substitution.
const FORMS: [(&str, &str); 2] = [("$(", ")"), ("`", "`")];

/// Checks for `uname` and `nproc` in the text, and for other constructs that need bash.
pub(super) fn check_shell(file: &File<'_>, facts: &Facts<'_>, diagnostics: &mut Vec<Diagnostic>) {
    // A diagnostic in the same line may be about the construct that needs bash.
    let mut lines: Vec<u32> = diagnostics.iter().filter_map(|f| Some(f.at.as_ref()?.line)).collect();
    for (command, variable) in [("uname -r", "kernelver"), ("uname -m", "arch")] {
        for at in occurrences(file, command) {
            let diagnostic = uname(file, at, command, variable);
            lines.extend(diagnostic.at.as_ref().map(|l| l.line));
            diagnostics.push(diagnostic);
        }
    }
    for command in ["nproc", "getconf _NPROCESSORS_ONLN", "grep -c ^processor /proc/cpuinfo"] {
        for at in occurrences(file, command) {
            let place = file.at(at..at + command.len());
            lines.extend(place.as_ref().map(|l| l.line));
            let message = format!("'{command}' is not needed, because dkms knows the value");
            let help = "make without -j: dkms adds it; ${parallel_jobs} is the number of jobs";
            diagnostics.push(Diagnostic::warning(Code::Nproc, message, help).at(place));
        }
    }
    if let Some(declined) = facts.declined.filter(|d| !lines.contains(&d.line)) {
        let text = file.text.lines().nth(declined.line.saturating_sub(1) as usize).unwrap_or_default();
        let text = text.trim_end_matches('\r').to_owned();
        let rest = text.chars().skip(declined.column.saturating_sub(1) as usize).collect::<String>();
        let len = u32::try_from(rest.trim_end().chars().count()).unwrap_or(u32::MAX).max(1);
        let at = Location { line: declined.line, column: declined.column, len, text };
        let message = format!("only bash can evaluate this: {}", declined.construct);
        diagnostics
            .push(Diagnostic::note(Code::NeedsBash, message, alternative(&declined.construct)).at(Some(at)));
    }
}

/// What an author can often use instead of a construct that needs bash.
fn alternative(construct: &str) -> &'static str {
    match construct {
        "command substitution" | "pipe" => {
            "use ${kernelver%%-*} to cut, case and [[ $kernelver =~ … ]] to compare, or BUILD_EXCLUSIVE_…"
        }
        "loop" => "write one line for each entry",
        "redirection" => "remove the output, which dkms discards",
        _ => {
            "use only assignments, ${…}, if, case and [[ ]], which need no shell; a PRE_BUILD script can do the rest"
        }
    }
}

/// The positions where a command is written as separate words, outside comments; at most a hundred.
fn occurrences(file: &File<'_>, command: &str) -> Vec<usize> {
    let alone = |at: usize| {
        let before = file.text.get(..at).unwrap_or_default().chars().next_back();
        let after = file.text.get(at + command.len()..).unwrap_or_default().chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || "_-/.".contains(c));
        !part(before) && !part(after)
    };
    let all = file.text.match_indices(command).map(|(at, _)| at);
    all.filter(|&at| !file.scan.in_comment(at) && alone(at)).take(100).collect()
}

fn uname(file: &File<'_>, at: usize, command: &str, variable: &str) -> Diagnostic {
    let text = file.text;
    let end = at + command.len();
    let form = FORMS.iter().find_map(|(open, close)| {
        let start = at.checked_sub(open.len())?;
        let whole = text.get(start..at)? == *open && text.get(end..)?.starts_with(close);
        whole.then_some(start..end + close.len())
    });
    let what = if variable == "arch" { "this machine's architecture" } else { "the running kernel" };
    let message = format!("'{command}' is {what}, not the one to build for");
    let range = form.clone().unwrap_or(at..end);
    let mut diagnostic =
        Diagnostic::warning(Code::Uname, message, format!("${{{variable}}}")).at(file.at(range));
    if let Some(range) = form {
        let in_value = file.scan.assignments.iter().find(|a| a.value.contains(&range.start));
        let escaped = text.get(..range.start).is_some_and(|t| t.ends_with('\\'));
        let single = in_value.is_none_or(|a| file.raw(a).contains('\''));
        let taken = file.scan.assignments.iter().any(|a| a.name == variable);
        if !escaped && !single && !taken {
            diagnostic.edits = vec![edit(range, format!("${{{variable}}}"))];
        }
    }
    diagnostic
}

/// Checks the MAKE commands.
pub(super) fn check_commands(
    file: &File<'_>,
    directives: &Directives,
    words: &[String],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let knows = |text: &str| words.iter().any(|w| !w.is_empty() && text.contains(w.as_str()));
    let prepared = knows(directives.scalar("PRE_BUILD"));
    for index in directives.indices("MAKE").take(200) {
        let Some(make) = directives.get("MAKE", index).filter(|m| !m.is_empty()) else { continue };
        let at = || file.place("MAKE", Some(index));
        if let Some(what) = installs(make) {
            let message = format!("MAKE[{index}] installs: {what}");
            let help = "only build; BUILT_MODULE_NAME and DEST_MODULE_LOCATION define what is installed";
            diagnostics.push(Diagnostic::warning(Code::MakeInstalls, message, help).at(at()));
        }
        let nothing = matches!(make.trim(), "true" | "/bin/true" | "/usr/bin/true" | ":");
        if !nothing && !prepared && !knows(make) {
            let message = format!("MAKE[{index}] uses neither $kernelver nor $kernel_source_dir");
            let help = format!(
                "MAKE[{index}]=\"make -C ${{kernel_source_dir}} M=${{dkms_tree}}/${{PACKAGE_NAME}}/${{PACKAGE_VERSION}}/build\", or pass ${{kernelver}} to the Makefile"
            );
            diagnostics.push(Diagnostic::warning(Code::MakeIgnoresKernel, message, help).at(at()));
        }
    }
}

/// The command of a MAKE line that installs files, if there is one.
fn installs(make: &str) -> Option<&str> {
    let commands = make.split([';', '&', '|', '(', ')', '\n']);
    commands.map(str::trim).find(|command| {
        let mut words = command
            .split_ascii_whitespace()
            .map(|w| w.trim_matches(['"', '\'']))
            .skip_while(|w| w.contains('=') || matches!(*w, "exec" | "env" | "sudo" | "nice" | "!" | "{"));
        let program = words.next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default();
        match program {
            "make" | "gmake" => {
                words.any(|w| w == "install" || w == "modules_install" || w == "install-modules")
            }
            "depmod" | "insmod" | "modprobe" => true,
            _ => false,
        }
    })
}
