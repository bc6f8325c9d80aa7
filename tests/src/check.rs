//! `checks.toml`: the tests that are programs, as data.
//!
//! ```text
//! [[check]]
//! name = "crash"                                  the tests are crash::NAME of a case
//! run = ["python3", "/e2e/crash.py"]              the driver; the arguments of a case follow
//! root = ["headers-6.1"]                          in a private root with these layers; without it, on the machine
//! tools = ["gcc", "python3"]                      it is skipped where one of these programs is not installed
//! case = [{ name = "install", proves = "..." }]   what is true when it passes
//! ```

use crate::driver::{as_driver, drive, on_the_machine};
use crate::layers::{Layer, build_dir, is_root, our_binary, workspace};
use crate::root::{Impl, Root};
use crate::runner::{Failure, Outcome, Test};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

/// A driver, and the cases that it is run for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    /// The first part of the tests' names.
    name: String,
    /// The driver with its first arguments.
    run: Vec<String>,
    /// The layers of its private root, in which dkms is the binary under test.
    root: Option<Vec<String>>,
    /// More layers, where they were fetched.
    #[serde(default)]
    optional: Vec<String>,
    /// A shell command that runs on the machine first. What it puts into the folder `$OUT` is `/run/in` in
    /// the root.
    prepare: Option<String>,
    /// Programs without which it is skipped.
    #[serde(default)]
    tools: Vec<String>,
    /// It needs root, also on the machine.
    #[serde(default)]
    as_root: bool,
    /// It needs the binary under test, also on the machine: `DKMS_BIN` is set for it.
    #[serde(default)]
    binary: bool,
    /// Variables that are passed on into the private root.
    #[serde(default)]
    pass: Vec<String>,
    /// Minutes after which it has failed.
    minutes: u64,
    /// It runs only when it is named: see [`Test::long`].
    #[serde(default)]
    long: bool,
    /// Nothing else runs beside it: see [`Test::alone`].
    #[serde(default)]
    alone: bool,
    /// One case for each of these files (`DIRECTORY/*.EXTENSION`) that is not among the cases below. The name
    /// of the file without its extension is its name.
    each: Option<Each>,
    /// Its cases.
    #[serde(default)]
    case: Vec<Case>,
}

/// Cases that are found in a folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Each {
    files: String,
    proves: String,
}

/// One test.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The second part of its name.
    name: String,
    /// What is true when it passes, as a sentence. It is shown when it fails.
    proves: String,
    /// The arguments of the driver; its name, if there are none.
    args: Option<Vec<String>>,
    /// More layers.
    #[serde(default)]
    root: Vec<String>,
    /// More programs without which it is skipped.
    #[serde(default)]
    tools: Vec<String>,
    /// Files below the build folder that `fetch.sh` brings, without which it is skipped.
    #[serde(default)]
    fetched: Vec<String>,
    /// As in [`Check`].
    #[serde(default)]
    as_root: bool,
    /// As in [`Check`].
    #[serde(default)]
    long: bool,
    /// As in [`Check`].
    minutes: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    check: Vec<Check>,
}

/// All tests of a `checks.toml`.
///
/// # Errors
/// A sentence with the file, when it cannot be read or understood.
pub fn load(file: &Path) -> Result<Vec<Test>, String> {
    let error = |why: String| format!("{}: {why}", file.display());
    let text = fs::read_to_string(file).map_err(|e| error(e.to_string()))?;
    let table: Table = toml::from_str(&text).map_err(|e| error(e.to_string()))?;
    let mut tests = Vec::new();
    for check in table.check {
        let mut cases = check.case.clone();
        if let Some(each) = &check.each {
            let named: BTreeSet<_> = check.case.iter().map(|case| &case.name).collect();
            let found = found(each).map_err(&error)?;
            cases.extend(found.into_iter().filter(|case| !named.contains(&case.name)));
        }
        if cases.is_empty() {
            return Err(error(format!("{} has no cases", check.name)));
        }
        tests.extend(cases.into_iter().map(|case| check.clone().into_test(case)));
    }
    Ok(tests)
}

/// A case for each executable or source file that the pattern names, sorted.
fn found(each: &Each) -> Result<Vec<Case>, String> {
    let (folder, extension) =
        each.files.split_once("/*.").ok_or_else(|| format!("{} is not DIRECTORY/*.EXTENSION", each.files))?;
    let entries = fs::read_dir(workspace().join(folder)).map_err(|e| format!("{folder}: {e}"))?;
    let mut names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    let case = |name: String| Case {
        proves: each.proves.replace("{}", &name),
        name,
        args: None,
        root: Vec::new(),
        tools: Vec::new(),
        fetched: Vec::new(),
        as_root: false,
        long: false,
        minutes: None,
    };
    Ok(names.into_iter().map(case).collect())
}

impl Check {
    fn into_test(self, case: Case) -> Test {
        let name = format!("{}::{}", self.name, case.name);
        let (obstacle, long, alone) = (self.obstacle(&case), self.long || case.long, self.alone);
        let title = name.clone();
        Test::new(name, move || self.run(&title, &case)).obstacle(obstacle).long(long).alone(alone)
    }

    /// The layers that it cannot do without.
    fn needed<'a>(&'a self, case: &'a Case) -> impl Iterator<Item = &'a String> {
        self.root.iter().flatten().chain(&case.root)
    }

    /// All layers of its root, each once.
    fn layers<'a>(&'a self, case: &'a Case) -> BTreeSet<&'a String> {
        let there = self.optional.iter().filter(|name| Layer::find(name).is_ok());
        self.needed(case).chain(there).collect()
    }

    /// Why it cannot run on this machine.
    fn obstacle(&self, case: &Case) -> Option<String> {
        if (self.root.is_some() || self.as_root || case.as_root) && !is_root() {
            return Some("needs root".to_owned());
        }
        let tool = self.tools.iter().chain(&case.tools).find(|tool| !is_installed(tool));
        let missing = tool.map(|tool| format!("{tool} is not installed"));
        let file = || case.fetched.iter().find(|file| !build_dir().join(file).exists());
        let file = || file().map(|file| format!("no {file} in the build folder: run tests/fetch.sh first"));
        let layer = || self.needed(case).find_map(|name| Layer::find(name).err());
        let binary = || our_binary().err().filter(|_| self.root.is_some() || self.binary);
        missing.or_else(file).or_else(layer).or_else(binary)
    }

    fn run(&self, title: &str, case: &Case) -> Result<Outcome, Failure> {
        let result = match &self.root {
            Some(_) => self.run_in_root(title, case),
            None => self.run_on_the_machine(title, case),
        };
        result.map_err(|why| format!("It should be true that: {}\n{why}", case.proves))
    }

    /// The driver's command line. `{}` in it is the name of the case; otherwise its arguments follow.
    fn words(&self, case: &Case) -> Vec<String> {
        let mut words: Vec<_> = self.run.iter().map(|word| word.replace("{}", &case.name)).collect();
        if words == self.run {
            words.extend(case.args.clone().unwrap_or_else(|| vec![case.name.clone()]));
        }
        words
    }

    fn limit(&self, case: &Case) -> Duration {
        Duration::from_secs(60 * case.minutes.unwrap_or(self.minutes))
    }

    fn run_on_the_machine(&self, title: &str, case: &Case) -> Result<Outcome, Failure> {
        let words = self.words(case);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let mut command = on_the_machine(&as_driver(&words), self.limit(case));
        drive(title, with_surroundings(&mut command))
    }

    fn run_in_root(&self, title: &str, case: &Case) -> Result<Outcome, Failure> {
        let mut builder = Root::builder().dkms(Impl::Alone);
        let mut kernels = Vec::new();
        for name in self.layers(case) {
            builder = builder.layer(name);
            let kernel = Layer::find(name).map(|layer| layer.kernel).unwrap_or_default();
            if let Some(short) = name.strip_prefix("vm-").filter(|_| !kernel.is_empty()) {
                kernels.push(format!("{short}={kernel}"));
            }
        }
        let root = builder.build().map_err(|error| error.to_string())?;
        if let Some(script) = &self.prepare {
            self.prepare(title, script, &root.path("/run/in"), self.limit(case))?;
        }
        let mut words = vec!["env".to_owned(), format!("VM_KERNELS={}", kernels.join(" "))];
        let has = |layer: &str| self.layers(case).iter().any(|name| *name == layer);
        // The release of a kernel that is not in this root.
        for (layer, variable) in [("headers-6.1", "K="), ("headers-6.12", "K612=")] {
            words.extend((!has(layer)).then(|| variable.to_owned()));
        }
        let passed = self.pass.iter().filter_map(|name| Some(format!("{name}={}", env::var(name).ok()?)));
        words.extend(passed);
        words.extend(self.words(case));
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        drive(title, root.command(&as_driver(&words), self.limit(case)))
    }

    /// Runs the preparing command, with a folder in the private root as `$OUT`.
    fn prepare(&self, title: &str, script: &str, out: &Path, limit: Duration) -> Result<(), Failure> {
        fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
        let mut command = on_the_machine(&as_driver(&["bash", "-euo", "pipefail", "-c", script]), limit);
        command.env("OUT", out);
        match drive(title, with_surroundings(&mut command))? {
            Outcome::Passed(_) => Ok(()),
            Outcome::Skipped(why) => Err(format!("the preparing command does not skip: {why}")),
        }
    }
}

/// The command, in the workspace, with the paths that drivers read.
fn with_surroundings(command: &mut Command) -> Command {
    let mut ready = std::mem::replace(command, Command::new("true"));
    ready.current_dir(workspace()).env("DKMS_TEST_BUILD", absolute(build_dir()));
    if let Ok(binary) = our_binary() {
        ready.env("DKMS_BIN", absolute(binary));
    }
    ready
}

fn absolute(path: PathBuf) -> PathBuf {
    fs::canonicalize(&path).unwrap_or(path)
}

/// Whether a program is on the PATH, or in the folders that only root's has.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(more).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_names_every_test_once_and_says_what_it_proves() {
        let text = fs::read_to_string(workspace().join("tests/checks.toml")).unwrap();
        let table: Table = toml::from_str(&text).unwrap();
        let mut names = BTreeSet::new();
        for check in &table.check {
            for case in &check.case {
                assert!(names.insert(format!("{}::{}", check.name, case.name)), "{} twice", case.name);
                assert!(
                    case.proves.ends_with('.') && case.proves.len() > 20,
                    "{}: {}",
                    case.name,
                    case.proves
                );
            }
        }
        assert!(names.contains("attacks::network"));
        assert!(load(&workspace().join("tests/checks.toml")).is_ok_and(|tests| tests.len() > names.len()));
    }

    #[test]
    fn ci_runs_every_check_that_is_not_long() {
        let read = |file: &str| fs::read_to_string(workspace().join("tests").join(file)).unwrap();
        let table: Table = toml::from_str(&read("checks.toml")).unwrap();
        let ci = read("ci.sh");
        let (_, sections) = ci.split_once("testing=(").unwrap();
        let (sections, _) = sections.split_once(')').unwrap();
        for check in table.check.iter().filter(|check| !check.long) {
            let runs = |section: &str| section.split("::").next() == Some(check.name.as_str());
            assert!(sections.split_whitespace().any(runs), "tests/ci.sh does not run {}", check.name);
        }
    }

    #[test]
    fn the_arguments_of_a_case_follow_the_driver_unless_it_is_part_of_a_word() {
        let words = |run: &str, args: &str| {
            let text = format!(
                "[[check]]\nname = 'a'\nrun = {run}\nminutes = 1\ncase = [{{ name = 'b', proves = 'c'{args} }}]"
            );
            let table: Table = toml::from_str(&text).unwrap();
            table.check[0].words(&table.check[0].case[0])
        };
        assert_eq!(words("['x']", ""), ["x", "b"]);
        assert_eq!(words("['x', 'y']", ", args = ['1', '2']"), ["x", "y", "1", "2"]);
        assert_eq!(words("['tests/{}.sh']", ""), ["tests/b.sh"]);
    }
}
