//! What Debian's dkms does in the scenarios and with the archive's packages, kept in the repository:
//! `tests/recorded`.
//!
//! Debian's dkms takes minutes for all of them, and does the same each time. A file is used only where all
//! that its results depend on is the same ([`crate::baseline::environment`]), and one of ten, others each
//! day, runs Debian's dkms nevertheless and fails if it does something else. What is compared is kept; what
//! it said is not.

use crate::runner::is_set;
use crate::scenario::Seen;
use crate::tree::sha256;
use crate::{baseline, layers};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Write;
use std::fs;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// One scenario of so many runs Debian's dkms although its results are kept.
const SAMPLE: u64 = 10;

/// What is recorded: it has a text of lines.
pub trait Recorded: Serialize + DeserializeOwned {
    /// The lines, without the first one (the key).
    fn to_text(&self) -> String;
    /// Reads them again.
    ///
    /// # Errors
    /// What is wrong with which line (from 1), as `3: what`.
    fn from_text(text: &str) -> Result<Self, String>;
}

/// What Debian's dkms does: kept in the repository as `tests/recorded/NAME.txt`, kept on this machine, or
/// computed now. `input` stands for everything it depends on besides the environment. [`is_recording`]: it is
/// computed, and the file is written.
///
/// # Errors
/// Those of `compute`; a sentence when the file says something else than `compute`, or cannot be read or
/// written.
pub fn of_debian<T: Recorded>(
    name: &str,
    input: &str,
    compute: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let key = sha256(format!("{input}{}", baseline::environment()).as_bytes());
    let path = layers::workspace().join(format!("tests/recorded/{name}.txt"));
    let error = |why: String| format!("{}: {why}", path.display());
    let first = format!("key {key}\n");
    if is_recording() {
        let made = compute()?;
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, first + &made.to_text()))
            .map_err(|e| error(e.to_string()))?;
        return Ok(made);
    }
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(error(e.to_string())),
        text => text.unwrap_or_default(),
    };
    let Some(kept) = text.strip_prefix(&first) else { return baseline::cached(name, &key, compute) };
    if !in_sample(name) {
        return T::from_text(kept).map_err(error);
    }
    let made = baseline::cached(name, &key, compute)?;
    if made.to_text() == kept {
        Ok(made)
    } else {
        Err(error("this is not what Debian's dkms does (DKMS_RECORD=1 writes it again)".to_owned()))
    }
}

/// Whether the files are to be written (`DKMS_RECORD=1`).
#[must_use]
pub fn is_recording() -> bool {
    is_set("DKMS_RECORD")
}

/// Whether Debian's dkms runs for this today.
fn in_sample(name: &str) -> bool {
    let day = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / 86_400);
    let place: u64 = name.bytes().map(u64::from).sum();
    is_set("DKMS_TEST_LONG") || (place + day) % SAMPLE == 0
}

/// The facts of `package.sh`, in order: one `KEY VALUE` a line, without those that are never compared.
impl Recorded for Vec<(String, String)> {
    fn to_text(&self) -> String {
        let compared = self.iter().filter(|(key, _)| key != "log" && key != "seconds");
        compared.fold(String::new(), |text, (key, value)| text + key + " " + value + "\n")
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let fact = |(index, line): (usize, &str)| {
            let (key, value) = line.split_once(' ').ok_or_else(|| format!("{}: no value", index + 2))?;
            Ok((key.to_owned(), value.to_owned()))
        };
        text.lines().enumerate().map(fact).collect()
    }
}

/// ```text
/// step add-once 0                name and exit code
/// status + single/1.0: added     a line more than after the step before (or -: one less)
/// ```
impl Recorded for Vec<Seen> {
    fn to_text(&self) -> String {
        let mut text = String::new();
        let mut before = [&[][..], &[], &[]];
        for seen in self {
            let _ = writeln!(text, "step {} {}", seen.step, seen.exit);
            let now = [&seen.status[..], &seen.tree, &seen.installed];
            for ((what, before), now) in ["status", "tree", "installed"].into_iter().zip(before).zip(now) {
                for line in without(before, now) {
                    let _ = writeln!(text, "{what} - {line}");
                }
                for line in without(now, before) {
                    let _ = writeln!(text, "{what} + {line}");
                }
            }
            before = now;
        }
        text
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let mut all = Self::new();
        for (index, line) in text.lines().enumerate() {
            let error = || format!("{}: not understood: {line}", index + 2);
            let mut words = line.splitn(3, ' ');
            let (Some(first), Some(second), Some(rest)) = (words.next(), words.next(), words.next()) else {
                return Err(error());
            };
            if first == "step" {
                let mut seen = all.last().cloned().unwrap_or_else(Seen::nothing);
                second.clone_into(&mut seen.step);
                seen.exit = rest.parse().map_err(|_| error())?;
                all.push(seen);
                continue;
            }
            let seen = all.last_mut().ok_or_else(error)?;
            let list = match first {
                "status" => &mut seen.status,
                "tree" => &mut seen.tree,
                "installed" => &mut seen.installed,
                _ => return Err(error()),
            };
            match second {
                "+" => list.push(rest.to_owned()),
                "-" => {
                    let at = list.iter().position(|line| line == rest).ok_or_else(error)?;
                    list.remove(at);
                }
                _ => return Err(error()),
            }
        }
        Ok(all)
    }
}

/// The lines of `some` that `others` does not have, or has less often.
fn without<'a>(some: &'a [String], others: &[String]) -> Vec<&'a String> {
    let mut others: Vec<_> = others.iter().collect();
    let is_new = |line: &&String| match others.iter().position(|other| other == line) {
        Some(at) => {
            others.swap_remove(at);
            false
        }
        None => true,
    };
    some.iter().filter(is_new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(step: &str, exit: i32, tree: &[&str]) -> Seen {
        let tree = tree.iter().map(|line| (*line).to_owned()).collect();
        Seen { step: step.to_owned(), exit, tree, ..Seen::nothing() }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let all = vec![
            seen("a", 0, &["d 755 x", "d 755 x"]),
            seen("b", 1, &["d 755 x", "l y -> z with a space"]),
            seen("c", 77, &[]),
        ];
        let text = all.to_text();
        assert_eq!(Vec::<Seen>::from_text(&text).unwrap(), all);
        let facts = [("a", "1 2"), ("log", "x"), ("b", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let kept = Vec::<(String, String)>::from_text(&facts.to_vec().to_text()).unwrap();
        assert_eq!(kept, [facts[0].clone(), facts[2].clone()]);
        assert!(text.contains("step b 1\ntree - d 755 x\ntree + l y -> z with a space\n"), "{text}");
    }

    #[test]
    fn says_where_a_line_is_wrong() {
        for bad in ["step a", "tree + x", "step a 0\ntree - x", "step a 0\nlog + x", "step a 0\ntree * x"] {
            let error = Vec::<Seen>::from_text(bad).unwrap_err();
            assert!(error.starts_with(if bad.contains('\n') { "3: " } else { "2: " }), "{error}");
        }
    }
}
