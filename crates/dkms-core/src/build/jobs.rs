//! Connects a make command to the pool of job slots that all builds of a command share.
//!
//! A make that shares the pool must not have a `-jN` option: it would leave the jobserver and start another
//! ("-jN forced in submake"). So this option, whether dkms or the package added it, is removed where it is a
//! word of a make command. Anything that cannot be parsed with certainty stays unchanged.

/// The number of job slots that a command uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// One slot, and others while they are free: it runs under the jobserver.
    Pool,
    /// One slot, because it runs one job.
    One,
    /// All slots: it chooses a number of jobs itself, and that cannot be changed.
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

/// Connects a command line to the pool, if that is possible.
pub fn fit(line: &str) -> Line {
    let words = words(line);
    let mut text = String::with_capacity(line.len());
    let mut copied = 0;
    let (mut shared, mut own) = (false, false);
    let mut n = 0;
    while let Some(word) = words.get(n) {
        let command: Vec<&Word> = words.iter().skip(n).take_while(|w| !w.ends_command).collect();
        let length = command.len();
        match jobs_of(line, &command) {
            Jobs::Several(options) => {
                shared = true;
                for (from, to) in options {
                    text.push_str(line.get(copied..from).unwrap_or_default());
                    copied = to;
                }
            }
            // It would find the jobserver of the others in its environment.
            Jobs::Serial(at) => {
                text.push_str(line.get(copied..at).unwrap_or_default());
                text.push_str("MAKEFLAGS= ");
                copied = at;
            }
            Jobs::NoMake => own |= command.iter().any(|w| hides_option(w.text(line))),
        }
        n += length.max(1);
        if length == 0 && !word.ends_command {
            break;
        }
    }
    text.push_str(line.get(copied..).unwrap_or_default());
    match (own, shared) {
        (true, _) => Line { text: line.to_owned(), share: Share::All },
        (false, true) => Line { text, share: Share::Pool },
        (false, false) => Line { text: line.to_owned(), share: Share::One },
    }
}

/// The jobs of a simple command.
enum Jobs {
    /// It is not make.
    NoMake,
    /// make without `-j`, or with `-j1`, and where its first word begins.
    Serial(usize),
    /// make with `-j`, and the places of the options, with the blanks before them.
    Several(Vec<(usize, usize)>),
}

fn jobs_of(line: &str, command: &[&Word]) -> Jobs {
    let Some(found) = job_options(line, command) else { return Jobs::NoMake };
    // The last option is used. If it requests one job, the author does not want more.
    if found.options.is_empty() || found.number.as_deref() == Some("1") {
        return Jobs::Serial(found.start);
    }
    Jobs::Several(found.options)
}

/// The job options of a make command.
struct JobOptions {
    /// The position of its first word.
    start: usize,
    /// The places of the options, with the blanks before them.
    options: Vec<(usize, usize)>,
    /// The number of jobs in the last one, if it has one.
    number: Option<String>,
}

/// `None`: the command is not make.
fn job_options(line: &str, command: &[&Word]) -> Option<JobOptions> {
    let assignment = |w: &&&Word| {
        let text = w.text(line);
        let name = text.split('=').next().unwrap_or_default();
        text.contains('=')
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let variables = command.iter().take_while(assignment).count();
    let rest = command.get(variables..).unwrap_or_default();
    let (make, arguments) = rest.split_first().filter(|(w, _)| is_make(w.text(line)))?;
    let mut found = JobOptions {
        start: command.first().map_or(make.from, |w| w.from),
        options: Vec::new(),
        number: None,
    };
    let mut skip = false;
    for (index, word) in arguments.iter().enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        let text = word.text(line);
        if !is_option(text) {
            continue;
        }
        let mut to = word.to;
        found.number = text.strip_prefix("--jobs=").or(text.strip_prefix("-j")).map(str::to_owned);
        if text == "-j" || text == "--jobs" {
            let next = arguments.get(index + 1).filter(|w| is_number(w.text(line)));
            found.number = next.map(|w| w.text(line).to_owned());
            to = next.map_or(to, |w| w.to);
            skip = next.is_some();
        }
        // Includes the blanks before it. At least one blank exists, because make precedes it.
        let before = line.get(..word.from).map_or(word.from, |l| l.trim_end().len());
        found.options.push((before, to));
    }
    Some(found)
}

/// Removes the job options of all make commands in a line. The remaining options determine the result.
pub fn without_jobs(line: &str) -> String {
    let words = words(line);
    let mut text = String::with_capacity(line.len());
    let mut copied = 0;
    for command in words.split(|word| word.ends_command) {
        let command: Vec<&Word> = command.iter().collect();
        let options = job_options(line, &command).map(|found| found.options).unwrap_or_default();
        for (from, to) in options {
            text.push_str(line.get(copied..from).unwrap_or_default());
            copied = to;
        }
    }
    text.push_str(line.get(copied..).unwrap_or_default());
    text
}

fn is_make(word: &str) -> bool {
    let plain = word.trim_matches(['\'', '"']);
    matches!(plain.rsplit('/').next(), Some("make" | "gmake")) && !plain.contains(['$', '`'])
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

/// `-j`, `-jN`, `-j$(nproc)`, `--jobs`, `--jobs=N`
fn is_option(word: &str) -> bool {
    word == "--jobs"
        || word.starts_with("--jobs=")
        || word
            .strip_prefix("-j")
            .is_some_and(|n| n.is_empty() || is_number(n) || n.starts_with(['$', '`', '"', '\'']))
}

/// A job option of a command that is not make, or in a make command that is an argument of another shell.
fn hides_option(word: &str) -> bool {
    is_option(word) || (word.contains("make") && (word.contains(" -j") || word.contains(" --jobs")))
}

/// A word or the end of a simple command, by its place in the line.
#[derive(Debug)]
struct Word {
    from: usize,
    to: usize,
    ends_command: bool,
}

impl Word {
    fn text<'a>(&self, line: &'a str) -> &'a str {
        line.get(self.from..self.to).unwrap_or_default()
    }
}

/// The words of a line as a shell splits them: blanks within quotes, `$(...)`, `${...}` and backticks do not
/// split.
fn words(line: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut begun: Option<usize> = None;
    let (mut quote, mut depth, mut escaped) = (None, 0usize, false);
    let mut before = '\0';
    for (at, character) in line.char_indices() {
        let plain = quote.is_none() && depth == 0 && !escaped;
        let ends =
            plain && matches!(character, ';' | '&' | '|' | '\n' | '(' | ')' | '{' | '}') && before != '$';
        if plain && (character.is_whitespace() || ends) {
            found.extend(begun.take().map(|from| Word { from, to: at, ends_command: false }));
            if ends {
                found.push(Word { from: at, to: at + character.len_utf8(), ends_command: true });
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
    found.extend(begun.map(|from| Word { from, to: line.len(), ends_command: false }));
    found
}

#[cfg(test)]
mod tests {
    use super::{Share, fit, without_jobs};
    use proptest::prelude::*;

    #[test]
    fn options_of_makes_are_taken_out_and_nothing_else() {
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
    fn the_number_of_jobs_is_no_part_of_what_a_line_does() {
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
        fn whatever_is_written(line in "[-a-z0-9 $(){}'\"`;&|=\\\\\n]{0,60}") {
            let _ = fit(&line);
            let _ = without_jobs(&line);
            let _ = fit(&format!("make -j2 {line}"));
        }
    }
}
