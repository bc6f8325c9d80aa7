//! Every package of `packages.toml`, from adding to removal, with Debian's dkms and with ours.

use dkms_tests::layers::{Layer, obstacle_to_comparison, workspace};
use dkms_tests::root::{Impl, Kernel, Root, RootError};
use dkms_tests::runner::{Failure, Outcome, Test};
use dkms_tests::{recorded, tree};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;

/// An entry of `packages.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name in the archive.
    pub name: String,
    /// How many seconds Debian's dkms needs for it, for the reader.
    #[serde(rename = "seconds")]
    _seconds: u32,
    /// The exit code of `dkms install` with Debian's dkms, if it does not build there.
    fails: Option<i32>,
    /// The exit code of `dkms install` with ours, where it differs on purpose.
    ours: Option<i32>,
    /// Facts that differ from Debian's on purpose; `reason` says why.
    #[serde(default)]
    differs: Vec<String>,
    reason: Option<String>,
    #[serde(default)]
    long: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    package: Vec<Package>,
}

impl Package {
    /// Why it cannot be tested, if the archive does not offer it or it was not fetched.
    pub fn missing(&self) -> Option<String> {
        Layer::find(&format!("packages/{}", self.name)).err().or_else(|| Layer::find("headers-6.1").err())
    }
}

/// Reads `packages.toml`.
pub fn table() -> Result<Vec<Package>, String> {
    let file = workspace().join("tests/packages.toml");
    let error = |why: String| format!("{}: {why}", file.display());
    let text = fs::read_to_string(&file).map_err(|e| error(e.to_string()))?;
    let table: Table = toml::from_str(&text).map_err(|e| error(e.to_string()))?;
    Ok(table.package)
}

/// `packages::NAME` for every package.
pub fn tests(packages: Vec<Package>) -> Vec<Test> {
    let one = |package: Package| {
        let (name, long) = (format!("packages::{}", package.name), package.long);
        let obstacle = obstacle_to_comparison().or_else(|| package.missing());
        Test::new(name, move || judge(&package)).obstacle(obstacle).long(long)
    };
    packages.into_iter().map(one).collect()
}

/// The lines of `package.sh`, in order.
type Facts = Vec<(String, String)>;

fn run(package: &Package, dkms: Impl) -> Result<Facts, RootError> {
    let root = Root::builder()
        .layer(&format!("packages/{}", package.name))
        .kernel(Kernel::K61)
        .image(Kernel::K61)
        .dkms(dkms)
        .build()?;
    let output = root.run("/e2e/package.sh \"$K\"; echo; tail -n 30 /run/package.log >&2")?;
    let mut facts: Facts = output.stdout.lines().filter_map(split).collect();
    facts.push(("log".to_owned(), output.stderr));
    Ok(facts)
}

fn split(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once(' ').unwrap_or((line, ""));
    (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
}

fn judge(package: &Package) -> Result<Outcome, Failure> {
    let content = Layer::find(&format!("packages/{}", package.name)).and_then(|layer| {
        tree::list(&layer.root).map_err(|error| format!("{}: {error}", layer.root.display()))
    })?;
    let script = workspace().join("tests/package.sh");
    let script = fs::read_to_string(&script).map_err(|error| format!("{}: {error}", script.display()))?;
    let key = format!("{}{script}", content.join("\n"));
    let failed = |error: RootError| error.to_string();
    let name = format!("packages/{}", package.name);
    let debian = recorded::of_debian(&name, &key, || run(package, Impl::Debian).map_err(failed))?;
    if recorded::is_recording() {
        return Ok(Outcome::Skipped("what Debian's dkms does was recorded".to_owned()));
    }
    let mut complaints = Vec::new();
    let installs = |facts: &Facts| facts.iter().find(|(k, _)| k == "exit-install").map(|(_, v)| v.clone());
    let built = debian.iter().any(|(key, _)| key == "module");
    if built == package.fails.is_some()
        || installs(&debian).filter(|_| !built) != package.fails.map(|c| c.to_string())
    {
        complaints.push(format!("packages.toml says fails = {:?}, Debian's dkms: {debian:?}", package.fails));
    }
    let mut ours = run(package, Impl::Ours).map_err(failed)?;
    if let Some(code) = package.ours {
        match ours.iter_mut().find(|(k, _)| k == "exit-install") {
            Some((_, value)) if *value == code.to_string() => *value = installs(&debian).unwrap_or_default(),
            other => complaints.push(format!("packages.toml says ours = {code}: {other:?}")),
        }
    }
    complaints.extend(differences(package, &debian, &ours));
    if complaints.is_empty() {
        return Ok(Outcome::Passed(Vec::new()));
    }
    complaints.extend(ours.iter().filter(|(k, _)| k == "log").map(|(_, v)| v.replace('\n', "\n      ")));
    Err(format!("\n  {}", complaints.join("\n  ")))
}

/// Compares what must be the same; what ours does better is checked by itself.
fn differences(package: &Package, debian: &Facts, ours: &Facts) -> Vec<String> {
    let by_key = |facts: &Facts| {
        let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in facts {
            map.entry(key.clone()).or_default().push(value.clone());
        }
        map
    };
    let (debian, ours) = (by_key(debian), by_key(ours));
    let mut found = Vec::new();
    for key in
        ["exit-add", "exit-autoinstall", "exit-install", "status", "module", "left-over", "left-in-tree"]
    {
        let (theirs, mine) = (debian.get(key), ours.get(key));
        match (theirs == mine, package.differs.iter().any(|d| d == key)) {
            (false, false) => found.push(format!("{key}: Debian's {theirs:?}, ours {mine:?}")),
            (true, true) => {
                found.push(format!("{key}: packages.toml says that it differs, but it no longer does"))
            }
            _ => {}
        }
    }
    if package.differs.is_empty() != package.reason.is_none() {
        found.push("packages.toml: `differs` needs a `reason`, and the other way round".to_owned());
    }
    for (key, want) in [("exit-kernel_prerm", "0"), ("left-over", ""), ("left-in-tree", "")] {
        if ours.get(key).is_none_or(|values| values.iter().any(|v| v != want)) {
            found.push(format!("{key}: {:?} instead of {want:?}", ours.get(key)));
        }
    }
    found
}
