//! A scenario: steps of shell in one file, with the exit code each must have for us.
//!
//! ```text
//! # Free text at the top.
//! #: image                         lay the kernel's own modules in, not only headers
//! #: kernel 6.12                   lay the second kernel's headers in
//! #: step add-twice 3              a step, and the exit code CONTRACT demands of ours (`-`: any)
//! dkms add -m single/1.0
//! #: step dry-run 0 ours           a step for our program only
//! ```
//! The lines of a step run under `bash -eu`. A step may consist of several commands that check something
//! themselves.

use crate::root::{Impl, Kernel, Output, Root, RootError};
use crate::tree::sha256;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use thiserror::Error;

/// One step of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, unique in the scenario.
    pub name: String,
    /// The exit code demanded of ours; none: only compared.
    pub exit: Option<i32>,
    /// Only ours runs it.
    pub ours_only: bool,
    /// The shell lines.
    pub script: String,
}

/// A scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// File name without `.sh`.
    pub name: String,
    /// Lay the kernel image's modules in.
    pub image: bool,
    /// Lay the second kernel's headers in.
    pub second_kernel: bool,
    /// In order.
    pub steps: Vec<Step>,
}

/// A scenario file that cannot be parsed.
#[derive(Debug, Error)]
#[error("{file}:{line}: {what}")]
pub struct ScenarioError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// What could be seen after a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The step's name.
    pub step: String,
    /// The step's exit code.
    pub exit: i32,
    /// What the step wrote to standard output.
    pub stdout: String,
    /// What the step wrote to standard error.
    pub stderr: String,
    /// `dkms status`, by lines.
    pub status: Vec<String>,
    /// What lies in `/var/lib/dkms`: type, mode, path, link target.
    pub tree: Vec<String>,
    /// What is installed below `/lib/modules`.
    pub installed: Vec<String>,
}

impl Seen {
    /// What is seen before the first step of a scenario.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            step: String::new(),
            exit: 0,
            stdout: String::new(),
            stderr: String::new(),
            status: Vec::new(),
            tree: Vec::new(),
            installed: Vec::new(),
        }
    }
}

impl Scenario {
    /// Read a scenario from text.
    ///
    /// # Errors
    /// With file and line when a `#:` line is not understood.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let mut scenario =
            Self { name: name.to_owned(), image: false, second_kernel: false, steps: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            let error = |what: &str| ScenarioError {
                file: format!("{name}.sh"),
                line: index + 1,
                what: format!("{what}: {line}"),
            };
            let Some(rest) = line.strip_prefix("#:") else {
                if let Some(step) = scenario.steps.last_mut() {
                    step.script.push_str(line);
                    step.script.push('\n');
                }
                continue;
            };
            match rest.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["image"] => scenario.image = true,
                ["kernel", "6.12"] => scenario.second_kernel = true,
                ["step", name, exit, more @ ..] => {
                    let exit = match *exit {
                        "-" => None,
                        code => Some(code.parse().map_err(|_| error("no exit code"))?),
                    };
                    let ours_only = match more {
                        [] => false,
                        ["ours"] => true,
                        _ => return Err(error("unknown word behind the exit code")),
                    };
                    if scenario.steps.iter().any(|s| s.name == *name) {
                        return Err(error("second step of this name"));
                    }
                    let name = (*name).to_owned();
                    scenario.steps.push(Step { name, exit, ours_only, script: String::new() });
                }
                _ => return Err(error("unknown directive")),
            }
        }
        Ok(scenario)
    }

    /// Read every `*.sh` of a folder, sorted by name.
    ///
    /// # Errors
    /// A sentence with the file, when one cannot be read or understood.
    pub fn load_all(dir: &Path) -> Result<Vec<Self>, String> {
        let entries = fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        paths.retain(|p| p.extension().is_some_and(|e| e == "sh"));
        paths.sort();
        paths
            .iter()
            .map(|path| {
                let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                Self::parse(&name, &text).map_err(|e| e.to_string())
            })
            .collect()
    }

    /// The steps that an implementation is asked to do.
    pub fn steps_for(&self, dkms: Impl) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |s| dkms == Impl::Ours || !s.ours_only)
    }

    /// Digest of what Debian's dkms is asked to do.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut text = format!("image {}, second kernel {}\n", self.image, self.second_kernel);
        for step in self.steps_for(Impl::Debian) {
            let _ = writeln!(text, "{}\n{}", step.name, step.script);
        }
        sha256(text.as_bytes())
    }

    /// Runs all steps in one fresh root and returns what was seen after each.
    ///
    /// # Errors
    /// When the root cannot be made, or the recorder broke down.
    pub fn run(&self, dkms: Impl) -> Result<Vec<Seen>, RootError> {
        let mut builder = Root::builder().dkms(dkms).kernel(Kernel::K61);
        if self.image {
            builder = builder.image(Kernel::K61);
        }
        if self.second_kernel {
            builder = builder.kernel(Kernel::K612);
        }
        let root = builder.build()?;
        let write = |path: String, text: &str| {
            fs::write(root.path(&path), text).map_err(|source| RootError::Io { what: path, source })
        };
        let folder = root.path("/run/e2e/steps");
        fs::create_dir_all(&folder)
            .map_err(|source| RootError::Io { what: "/run/e2e/steps".into(), source })?;
        for (index, step) in self.steps_for(dkms).enumerate() {
            write(format!("/run/e2e/steps/{index:03}-{}", step.name), &step.script)?;
        }
        let output = root.run("/e2e/record.sh /run/e2e/out /run/e2e/steps")?;
        self.steps_for(dkms).enumerate().map(|(index, step)| collect(&root, index, step, &output)).collect()
    }
}

fn collect(root: &Root, index: usize, step: &Step, output: &Output) -> Result<Seen, RootError> {
    let dir = root.path(format!("/run/e2e/out/{index:03}-{}", step.name));
    let read = |name: &str| fs::read(dir.join(name)).map(|b| String::from_utf8_lossy(&b).into_owned());
    let lines = |name: &str| read(name).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let exit = read("exit").ok().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
        let what = format!("step {} left no exit code; the recorder said: {}", step.name, output.stderr);
        RootError::Setup(what)
    })?;
    Ok(Seen {
        step: step.name.clone(),
        exit,
        stdout: read("stdout").unwrap_or_default(),
        stderr: read("stderr").unwrap_or_default(),
        status: lines("status"),
        tree: lines("tree"),
        installed: lines("installed"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_directives_and_steps() {
        let text = "# hello\n#: image\n#: step one 0\necho 1\n#: step two -\n#: step three 77 ours\nx\ny\n";
        let s = Scenario::parse("s", text).unwrap();
        assert!(s.image && !s.second_kernel);
        assert_eq!(s.steps.len(), 3);
        assert_eq!(s.steps[0].script, "echo 1\n");
        assert_eq!((s.steps[1].exit, s.steps[2].exit), (None, Some(77)));
        assert_eq!(s.steps_for(Impl::Debian).count(), 2);
        assert_eq!(s.steps_for(Impl::Ours).count(), 3);
    }

    #[test]
    fn says_where_a_line_is_wrong() {
        for bad in ["#: stop", "#: step x", "#: step x y", "#: step x 0 theirs", "#: step x 0\n#: step x 0"] {
            assert!(Scenario::parse("s", bad).unwrap_err().to_string().starts_with("s.sh:"), "{bad}");
        }
    }
}
