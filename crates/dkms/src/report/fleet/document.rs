//! The documents that machines wrote. They are not trusted: only the keys that the page needs are read, and
//! the length of every list is limited, so that a document takes little more memory than its file.

use super::super::bounded;
use super::super::data::{BuildState, KernelState, MACHINE, Problem, Severity};
use crate::render::json::SCHEMA;
use dkms_sys::IoError;
use serde::Deserialize;
use serde_json::error::Category;

/// The output of `dkms report --json`, `dkms status --json` or `dkms ready --json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    schema: u32,
    report: Option<String>,
    host: Option<String>,
    distribution: Option<String>,
    running: Option<String>,
    generated: u64,
    #[serde(deserialize_with = "bounded::list")]
    kernels: Vec<KernelState>,
    #[serde(deserialize_with = "bounded::list")]
    builds: Vec<BuildState>,
    #[serde(deserialize_with = "bounded::list")]
    problems: Vec<Problem>,
    /// The entries of `status`.
    #[serde(deserialize_with = "bounded::optional_list")]
    entries: Option<Vec<BuildState>>,
    /// This and the following keys are those of `ready`.
    kernel: Option<String>,
    ready: Option<String>,
    #[serde(deserialize_with = "bounded::list")]
    checks: Vec<Check>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Check {
    about: Option<String>,
    answer: String,
    what: String,
}

/// One machine of a fleet.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub host: String,
    pub distribution: Option<String>,
    pub running: Option<String>,
    /// When the document was written, in seconds since 1970; 0 if that is unknown.
    pub generated: u64,
    pub kernels: Vec<KernelState>,
    pub builds: Vec<BuildState>,
    pub problems: Vec<Problem>,
}

impl Machine {
    /// Reads a document. Without a host name in it, the machine is named after its file.
    ///
    /// # Errors
    /// The document is not JSON, or not one that dkms writes.
    pub(super) fn parse(bytes: &[u8], file: &str) -> Result<Self, DocumentError> {
        let document: Document = serde_json::from_slice(bytes)?;
        if document.schema > SCHEMA {
            return Err(DocumentError::Newer(document.schema));
        }
        let name = document.host.filter(|host| !host.is_empty());
        let mut machine = Self {
            host: name.unwrap_or_else(|| file.strip_suffix(".json").unwrap_or(file).to_owned()),
            distribution: document.distribution,
            running: document.running.filter(|running| !running.is_empty()),
            generated: document.generated,
            ..Self::default()
        };
        let is_report = document.report.as_deref() == Some(MACHINE);
        match (is_report, document.entries, document.kernel) {
            _ if document.schema == 0 => return Err(DocumentError::NotOurs),
            (true, ..) => {
                machine.kernels = document.kernels;
                machine.builds = document.builds;
                machine.problems = document.problems;
            }
            (false, Some(entries), _) => machine.builds = entries,
            (false, None, Some(kernel)) if document.ready.is_some() => {
                machine.problems = problems(document.checks, &kernel);
                let running = machine.running.as_deref() == Some(&kernel);
                machine.kernels = vec![KernelState {
                    kernel,
                    running,
                    newest: true,
                    ready: document.ready,
                    ..KernelState::default()
                }];
            }
            _ => return Err(DocumentError::NotOurs),
        }
        Ok(machine)
    }

    /// Whether its newest kernel can be booted with every required module: `yes`, `no` or `unknown`.
    pub(super) fn ready(&self) -> &str {
        let newest = self.kernels.iter().find(|kernel| kernel.newest).or(self.kernels.last());
        match newest.and_then(|kernel| kernel.ready.as_deref()) {
            Some("yes") => "yes",
            Some("no") => "no",
            _ => "unknown",
        }
    }
}

/// The reason why a document cannot be used. Its text never quotes the document.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("it is a symbolic link")]
    Link,
    #[error("{}", .0.source)]
    Unreadable(#[from] IoError),
    #[error("it was written by a newer dkms (schema {0})")]
    Newer(u32),
    #[error("it is not the output of dkms report, status or ready with --json")]
    NotOurs,
    #[error("{} (line {}, column {})", syntax_error(.0), .0.line(), .0.column())]
    Syntax(#[from] serde_json::Error),
}

/// The kind of an error in JSON, without any text of the document.
fn syntax_error(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        Category::Eof => "it ends too early",
        Category::Data => "a value has a type or a size that dkms does not write",
        Category::Io | Category::Syntax => "it is not JSON",
    }
}

/// The checks that a kernel does not pass, as problems.
fn problems(checks: Vec<Check>, kernel: &str) -> Vec<Problem> {
    let failed = checks.into_iter().filter(|check| check.answer != "yes");
    let problem = |check: Check| {
        let about = check.about.unwrap_or_default();
        let id = about.split(": ").next().unwrap_or_default();
        let (package, version) = id.split_once('/').map_or((id, None), |(p, v)| (p, Some(v)));
        Problem {
            severity: if check.answer == "no" { Severity::Error } else { Severity::Warning },
            cause: "not-ready".to_owned(),
            package: Some(package.to_owned()).filter(|package| !package.is_empty()),
            version: version.map(str::to_owned),
            kernel: Some(kernel.to_owned()),
            what: check.what,
            ..Problem::default()
        }
    };
    failed.map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_three_actions() {
        let read = |text: &str| Machine::parse(text.as_bytes(), "file.json");
        let report = read(
            r#"{"schema":1,"report":"machine","host":"a","new":[1],"kernels":[{"kernel":"6.1","newest":true,"ready":"no"}],
               "builds":[{"package":"p","version":"1","kernel":null,"state":"added"}],"problems":null}"#,
        )
        .unwrap();
        assert_eq!((&*report.host, report.ready(), report.builds.len()), ("a", "no", 1));
        let status =
            read(r#"{"schema":1,"entries":[{"package":"p","version":"1","state":"added"}]}"#).unwrap();
        assert_eq!((&*status.host, status.ready(), status.builds.len()), ("file", "unknown", 1));
        let ready = read(
            r#"{"schema":1,"kernel":"6.1","arch":"x","running":"6.1","ready":"no",
               "checks":[{"about":"p/1: m","answer":"no","what":"x"},{"about":null,"answer":"yes","what":"y"}]}"#,
        )
        .unwrap();
        assert_eq!((ready.ready(), ready.problems.len()), ("no", 1));
        assert_eq!(ready.problems[0].package.as_deref(), Some("p"));
    }

    #[test]
    fn others_are_refused_without_quoting_them() {
        let error = |text: &str| Machine::parse(text.as_bytes(), "f").unwrap_err().to_string();
        assert!(error("{\"schema\":2}").contains("newer"));
        assert!(error("{}").contains("not the output") && error("{\"schema\":1}").contains("not the output"));
        assert!(error("root:secret:0").contains("not JSON"));
        assert!(error("{\"schema\":1,").contains("too early") && error("").contains("too early"));
        assert!(!error("{\"schema\":\"secret\"}").contains("secret"));
        assert!(
            error(&"[".repeat(100_000)).contains("not JSON") || error(&"[".repeat(100_000)).contains("type")
        );
    }
}
