//! Every file of `scenarios/`, with Debian's dkms and with ours: `cargo test -p dkms-tests --test scenarios
//! [NAME]`.
//!
//! `DKMS_SHOW=1` prints what was seen after each step.

use dkms_tests::differences::{Ledger, compare, wrong_exits};
use dkms_tests::layers::{obstacle_to_comparison, workspace};
use dkms_tests::recorded;
use dkms_tests::root::Impl;
use dkms_tests::runner::{self, Failure, Outcome, Test};
use dkms_tests::scenario::{Scenario, Seen};
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs};

fn main() -> ExitCode {
    let arguments = runner::arguments();
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
    let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name.clone()).collect();
    if let Some(entry) = ledger.without_scenario(&names) {
        eprintln!("differences.toml: there is no such scenario: {entry}");
        return ExitCode::FAILURE;
    }
    let obstacle = obstacle_to_comparison();
    let everything =
        obstacle.is_none() && arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let all = scenarios.into_iter().map(|scenario| {
        let ledger = Arc::clone(&ledger);
        Test::new(scenario.name.clone(), move || judge(&scenario, &ledger)).obstacle(obstacle.clone())
    });
    let conclusion = runner::run(&arguments, all.collect());
    // An entry for all scenarios is only known to be out of date when all of them passed.
    if everything && !conclusion.has_failed() && !recorded::is_recording() {
        let unused = ledger.unused("*");
        if !unused.is_empty() {
            println!("differences.toml lists what no longer occurs:\n  {}", unused.join("\n  "));
            return ExitCode::FAILURE;
        }
    }
    conclusion.exit_code()
}

fn judge(scenario: &Scenario, ledger: &Ledger) -> Result<Outcome, Failure> {
    let run = |dkms| scenario.run(dkms).map_err(|error| error.to_string());
    let debian = recorded::of_debian(&scenario.name, &scenario.digest(), || run(Impl::Debian))?;
    show("Debian", &debian);
    if recorded::is_recording() {
        return Ok(Outcome::Skipped("what Debian's dkms does was recorded".to_owned()));
    }
    let ours = run(Impl::Ours)?;
    show("ours", &ours);
    let mut complaints = wrong_exits(scenario.steps_for(Impl::Ours), &ours);
    let deviations = compare(&debian, &ours);
    let unexplained = ledger.unexplained(&scenario.name, &deviations);
    complaints.extend(unexplained.iter().map(|d| format!("differs from Debian's: {d}")));
    if complaints.is_empty() {
        let unused = ledger.unused(&scenario.name);
        complaints
            .extend(unused.iter().map(|e| format!("differences.toml lists what no longer occurs: {e}")));
    }
    if complaints.is_empty() {
        return Ok(Outcome::Passed(Vec::new()));
    }
    Err(format!("\n  {}", complaints.join("\n  ")))
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
