//! Every package of `packages.toml`, from add to removal, with Debian's dkms and ours:
//! `cargo test -p dkms-tests --test packages [NAME]`. `DKMS_ALL_PACKAGES=1` takes the long ones too.

use dkms_tests::layers::{build_dir, obstacle, our_binary, workspace};
use dkms_tests::root::{Impl, Kernel, Root, RootError};
use dkms_tests::{baseline, tree};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    name: String,
    /// Seconds that Debian's dkms needed; for the reader.
    #[serde(rename = "seconds")]
    _seconds: u32,
    /// Exit code of `dkms install` with Debian's, when it does not build there.
    fails: Option<i32>,
    /// Exit code of `dkms install` with ours, where it is another one on purpose.
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

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if let Some(why) = obstacle() {
        println!("skipped: {why}");
        return ExitCode::SUCCESS;
    }
    arguments.test_threads.get_or_insert(2);
    let text = fs::read_to_string(workspace().join("tests/packages.toml")).unwrap_or_default();
    let table: Table = match toml::from_str(&text) {
        Ok(table) => table,
        Err(error) => {
            eprintln!("packages.toml: {error}");
            return ExitCode::FAILURE;
        }
    };
    let all = env::var_os("DKMS_ALL_PACKAGES").is_some() || arguments.filter.is_some();
    let environment: Arc<str> = baseline::environment().into();
    let trials = table.package.into_iter().filter(|p| all || !p.long).map(|package| {
        let environment = Arc::clone(&environment);
        Trial::test(package.name.clone(), move || judge(&package, &environment))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
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

fn judge(package: &Package, environment: &str) -> Result<(), Failed> {
    let version = build_dir().join("corpus").join(&package.name);
    let Ok(content) = tree::list(&version) else { return Err("cannot read the package".into()) };
    if content.is_empty() {
        println!("{}: skipped: the archive does not offer it", package.name);
        return Ok(());
    }
    let script = fs::read_to_string(workspace().join("tests/package.sh"))?;
    let key = format!("{}{environment}{script}", content.join("\n"));
    let debian = baseline::cached(&package.name, &key, || run(package, Impl::Debian))?;
    let mut complaints = Vec::new();
    let installs = |facts: &Facts| facts.iter().find(|(k, _)| k == "exit-install").map(|(_, v)| v.clone());
    let built = debian.iter().any(|(key, _)| key == "module");
    if built == package.fails.is_some()
        || installs(&debian).filter(|_| !built) != package.fails.map(|c| c.to_string())
    {
        complaints.push(format!("packages.toml says fails = {:?}, Debian's dkms: {debian:?}", package.fails));
    }
    if let Err(why) = our_binary() {
        println!("{}: only Debian's dkms ran: {why}", package.name);
    } else {
        let mut ours = run(package, Impl::Ours)?;
        if let Some(code) = package.ours {
            match ours.iter_mut().find(|(k, _)| k == "exit-install") {
                Some((_, value)) if *value == code.to_string() => {
                    *value = installs(&debian).unwrap_or_default();
                }
                other => complaints.push(format!("packages.toml says ours = {code}: {other:?}")),
            }
        }
        complaints.extend(differences(package, &debian, &ours));
        if !complaints.is_empty() {
            complaints
                .extend(ours.iter().filter(|(k, _)| k == "log").map(|(_, v)| v.replace('\n', "\n      ")));
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(format!("\n  {}", complaints.join("\n  ")).into()) }
}

/// What must be alike is compared; what ours does better is checked by itself.
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
                found.push(format!("{key}: packages.toml says it differs, and it no longer does"))
            }
            _ => {}
        }
    }
    if package.differs.is_empty() != package.reason.is_none() {
        found.push("packages.toml: `differs` and `reason` go together".to_owned());
    }
    for (key, want) in [("exit-kernel_prerm", "0"), ("left-over", ""), ("left-in-tree", "")] {
        if ours.get(key).is_none_or(|values| values.iter().any(|v| v != want)) {
            found.push(format!("{key}: {:?} instead of {want:?}", ours.get(key)));
        }
    }
    found
}
