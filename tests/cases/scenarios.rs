//! Every file of `scenarios/`, with Debian's dkms and with ours: `cargo test -p dkms-tests --test scenarios [NAME]`.
//!
//! `DKMS_SHOW=1` prints what was seen after each step.

use dkms_tests::baseline;
use dkms_tests::differences::{Ledger, compare, wrong_exits};
use dkms_tests::layers::{obstacle, our_binary, workspace};
use dkms_tests::root::Impl;
use dkms_tests::scenario::{Scenario, Seen};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if let Some(why) = obstacle() {
        println!("skipped: {why}");
        return ExitCode::SUCCESS;
    }
    // Two at a time: each runs make itself.
    arguments.test_threads.get_or_insert(2);
    let tests = workspace().join("tests");
    let loaded = fs::read_to_string(tests.join("differences.toml"))
        .map_err(|e| format!("differences.toml: {e}"))
        .and_then(|text| Ledger::parse(&text).map_err(|e| e.to_string()))
        .and_then(|ledger| Ok((Arc::new(ledger), Scenario::load_all(&tests.join("scenarios"))?)));
    let (ledger, scenarios) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let environment: Arc<str> = baseline::environment().into();
    let trials = scenarios.into_iter().map(|scenario| {
        let (ledger, environment) = (Arc::clone(&ledger), Arc::clone(&environment));
        Trial::test(scenario.name.clone(), move || judge(&scenario, &ledger, &environment))
    });
    let everything = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // An entry that explains nothing can only be told from one whose scenario broke when all passed.
    if everything && our_binary().is_ok() && !conclusion.has_failed() {
        let unused = ledger.unused();
        if !unused.is_empty() {
            println!("differences.toml lists what no longer occurs:\n  {}", unused.join("\n  "));
            return ExitCode::FAILURE;
        }
    }
    conclusion.exit_code()
}

fn judge(scenario: &Scenario, ledger: &Ledger, environment: &str) -> Result<(), Failed> {
    let key = format!("{}{environment}", scenario.digest);
    let debian = baseline::cached(&scenario.name, &key, || scenario.run(Impl::Debian))?;
    show("Debian", &debian);
    if let Err(why) = our_binary() {
        println!("{}: only Debian's dkms ran: {why}", scenario.name);
        return Ok(());
    }
    let ours = scenario.run(Impl::Ours)?;
    show("ours", &ours);
    let mut complaints = wrong_exits(scenario.steps_for(Impl::Ours), &ours);
    let deviations = compare(&debian, &ours);
    let unexplained = ledger.unexplained(&scenario.name, &deviations);
    complaints.extend(unexplained.iter().map(|d| format!("differs from Debian's: {d}")));
    if complaints.is_empty() { Ok(()) } else { Err(format!("\n  {}", complaints.join("\n  ")).into()) }
}

fn show(who: &str, seen: &[Seen]) {
    if env::var_os("DKMS_SHOW").is_none() {
        return;
    }
    for s in seen {
        println!("=== {who}, {}: exit {}\n{}{}", s.step, s.exit, s.stdout, s.stderr);
        for (name, lines) in [("status", &s.status), ("tree", &s.tree), ("installed", &s.installed)] {
            for line in lines {
                println!("  {name}: {line}");
            }
        }
    }
}
