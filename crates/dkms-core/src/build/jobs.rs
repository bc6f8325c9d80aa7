//! Connects the make commands of a build to the job slots that all builds of a dkms command share.
//!
//! A make that uses these slots must not have a `-jN` option: with it, make would leave the jobserver and
//! start its own ("-jN forced in submake"). So dkms removes this option if it is a word of a make command,
//! whether dkms or the package added it. Everything that cannot be parsed with certainty stays unchanged.

use std::ops::Range;

/// The number of job slots that a command line uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// One slot, and more if they are free: the command runs under the jobserver.
    Pool,
    /// One slot, because the command runs one job.
    One,
    /// All slots, because the command chooses its number of jobs itself.
    All,
}

/// A command line, and how many slots it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line that bash runs.
    pub text: String,
    /// The slots that it uses.
    pub share: Share,
}

/// Connects a command line to the job slots, if that is possible.
pub fn fit(line: &str) -> Line {
    let words = words(line);
    let (mut uses_pool, mut uses_all) = (false, false);
    let mut changes = Vec::new();
    for command in words.split(|word| word.ends_command) {
        match Make::parse(command) {
            None => uses_all |= command.iter().any(|word| hides_option(word.text)),
            // make uses the last option. If that is -j1, the author does not want several jobs.
            Some(make) if make.options.is_empty() || make.jobs == Some("1") => {
                // Otherwise make would find the jobserver in its environment.
                changes.push((make.start..make.start, "MAKEFLAGS= "));
            }
            Some(make) => {
                uses_pool = true;
                changes.extend(make.options.into_iter().map(|option| (option, "")));
            }
        }
    }
    match (uses_all, uses_pool) {
        (true, _) => Line { text: line.to_owned(), share: Share::All },
        (false, true) => Line { text: change(line, changes), share: Share::Pool },
        (false, false) => Line { text: line.to_owned(), share: Share::One },
    }
}

/// Removes the job options of all make commands in a line, because they do not influence the result.
pub fn without_jobs(line: &str) -> String {
    let words = words(line);
    let makes = words.split(|word| word.ends_command).filter_map(Make::parse);
    change(line, makes.flat_map(|make| make.options).map(|option| (option, "")))
}

/// Replaces parts of a line by other text. The parts are in order and do not overlap.
fn change<'a>(line: &str, changes: impl IntoIterator<Item = (Range<usize>, &'a str)>) -> String {
    let mut text = String::with_capacity(line.len());
    let mut copied = 0;
    for (part, replacement) in changes {
        text.push_str(line.get(copied..part.start).unwrap_or_default());
        text.push_str(replacement);
        copied = part.end;
    }
    text + line.get(copied..).unwrap_or_default()
}

/// A make command.
struct Make<'a> {
    /// The position of its first word.
    start: usize,
    /// The positions of its job options, with the blanks before them.
    options: Vec<Range<usize>>,
    /// The number of jobs in the last option, if it has one.
    jobs: Option<&'a str>,
}

impl<'a> Make<'a> {
    /// Parses a simple command; `None` if it is not make.
    fn parse(command: &[Word<'a>]) -> Option<Self> {
        let variables = command.iter().take_while(|word| is_assignment(word.text)).count();
        let mut words = command.iter().skip(variables).peekable();
        let mut previous = words.next().filter(|word| is_make(word.text))?;
        let mut make = Self { start: command.first()?.from, options: Vec::new(), jobs: None };
        while let Some(word) = words.next() {
            let mut last = word;
            if is_option(word.text) {
                make.jobs = word.text.strip_prefix("--jobs=").or(word.text.strip_prefix("-j"));
                if word.text == "-j" || word.text == "--jobs" {
                    let number = words.next_if(|next| is_number(next.text));
                    make.jobs = number.map(|number| number.text);
                    last = number.unwrap_or(word);
                }
                make.options.push(previous.end()..last.end());
            }
            previous = last;
        }
        Some(make)
    }
}

/// Returns whether a word sets a variable for the command that follows it.
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    })
}

fn is_make(word: &str) -> bool {
    let plain = word.trim_matches(['\'', '"']);
    matches!(plain.rsplit('/').next(), Some("make" | "gmake")) && !plain.contains(['$', '`'])
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

/// Returns whether a word is `-j`, `-jN`, `-j$(nproc)`, `--jobs` or `--jobs=N`.
fn is_option(word: &str) -> bool {
    word == "--jobs"
        || word.starts_with("--jobs=")
        || word
            .strip_prefix("-j")
            .is_some_and(|n| n.is_empty() || is_number(n) || n.starts_with(['$', '`', '"', '\'']))
}

/// Returns whether a word of a command other than make contains a job option: as the option itself, or in a
/// make command for another shell.
fn hides_option(word: &str) -> bool {
    is_option(word) || (word.contains("make") && (word.contains(" -j") || word.contains(" --jobs")))
}

/// A word of a command line, or a character that ends a simple command.
#[derive(Debug)]
struct Word<'a> {
    text: &'a str,
    /// Its position in the line.
    from: usize,
    ends_command: bool,
}

impl Word<'_> {
    fn end(&self) -> usize {
        self.from + self.text.len()
    }
}

/// Splits a line into words as a shell does: not at blanks within quotes, `$(...)`, `${...}` and backticks.
fn words(line: &str) -> Vec<Word<'_>> {
    let text = |part: Range<usize>| line.get(part).unwrap_or_default();
    let word = |from: usize, to: usize| Word { text: text(from..to), from, ends_command: false };
    let mut words = Vec::new();
    let mut begun: Option<usize> = None;
    let (mut quote, mut depth, mut escaped) = (None, 0usize, false);
    let mut before = '\0';
    for (at, character) in line.char_indices() {
        let plain = quote.is_none() && depth == 0 && !escaped;
        let ends =
            plain && matches!(character, ';' | '&' | '|' | '\n' | '(' | ')' | '{' | '}') && before != '$';
        if plain && (character.is_whitespace() || ends) {
            words.extend(begun.take().map(|from| word(from, at)));
            if ends {
                let end = Word { ends_command: true, ..word(at, at + character.len_utf8()) };
                words.push(end);
            }
            before = character;
            continue;
        }
        begun.get_or_insert(at);
        match (quote, character) {
            _ if escaped => escaped = false,
            (Some('\''), '\'') | (Some('"'), '"') | (Some('`'), '`') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => escaped = true,
            (None, '\'' | '"' | '`') => quote = Some(character),
            (None, '(' | '{') if before == '$' || depth > 0 => depth += 1,
            (None, ')' | '}') if depth > 0 => depth -= 1,
            _ => {}
        }
        before = character;
    }
    words.extend(begun.map(|from| word(from, line.len())));
    words
}

#[cfg(test)]
mod tests {
    use super::{Share, fit, without_jobs};
    use proptest::prelude::*;

    #[test]
    fn only_options_of_make_are_removed() {
        use Share::{All, One, Pool};
        let table = [
            ("make -j2 KERNELRELEASE=6.1 -C /k M=/b", "make KERNELRELEASE=6.1 -C /k M=/b", Pool),
            ("make -j KERNELRELEASE=6.1", "make KERNELRELEASE=6.1", Pool),
            ("make -j 8 all", "make all", Pool),
            ("make --jobs=4 all -j3", "make all", Pool),
            ("make -j2 KERNELRELEASE=k -j$(nproc --all) x", "make KERNELRELEASE=k x", Pool),
            ("'make' -j4 all", "'make' all", Pool),
            ("CC=gcc V=1 /usr/bin/make -j`nproc` all", "CC=gcc V=1 /usr/bin/make all", Pool),
            ("cd src && make -j2 all", "cd src && make all", Pool),
            ("make -j2 K=k -C a && make -C b", "make K=k -C a && MAKEFLAGS= make -C b", Pool),
            ("make -j2 K=k; 'make' -j1 b", "make K=k; MAKEFLAGS= 'make' -j1 b", Pool),
            ("'make' all", "'make' all", One),
            ("make -j1 all", "make -j1 all", One),
            ("make -j2 KERNELRELEASE=k -j1", "make -j2 KERNELRELEASE=k -j1", One),
            ("./build.sh -j8", "./build.sh -j8", All),
            ("sh -c 'make -j8'", "sh -c 'make -j8'", All),
            ("sh -c 'make all'", "sh -c 'make all'", One),
            ("ninja -j4 && make -j2", "ninja -j4 && make -j2", All),
            ("cp a.ko b.ko", "cp a.ko b.ko", One),
            ("make -j2 X=\"a -j4 b\" all", "make X=\"a -j4 b\" all", Pool),
            ("", "", One),
        ];
        for (line, text, share) in table {
            let fitted = fit(line);
            assert_eq!((fitted.text.as_str(), fitted.share), (text, share), "{line}");
        }
    }

    #[test]
    fn the_number_of_jobs_does_not_change_the_result() {
        let table = [
            ("make -j2 KERNELRELEASE=6.1 -C /k", "make KERNELRELEASE=6.1 -C /k"),
            ("make -j1 KERNELRELEASE=6.1 -C /k", "make KERNELRELEASE=6.1 -C /k"),
            ("make -j KERNELRELEASE=6.1 -C /k", "make KERNELRELEASE=6.1 -C /k"),
            ("cd a && 'make' -j 8 all; X=1 make --jobs=3 b", "cd a && 'make' all; X=1 make b"),
            ("ninja -j4", "ninja -j4"),
        ];
        for (line, text) in table {
            assert_eq!(without_jobs(line), text, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_causes_a_panic(line in "[-a-z0-9 $(){}'\"`;&|=\\\\\n]{0,60}") {
            let _ = fit(&line);
            let _ = without_jobs(&line);
            let _ = fit(&format!("make -j2 {line}"));
        }
    }
}
