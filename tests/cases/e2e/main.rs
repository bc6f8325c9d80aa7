//! Every end-to-end test but the scenarios: `cargo test -p dkms-tests --test e2e [NAME]`. See
//! `tests/README.md`.

mod each_package;
mod harness;
mod packages;
mod pages;
mod takeover;

use dkms_tests::check;
use dkms_tests::layers::workspace;
use dkms_tests::runner::{self, Test};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = runner::arguments();
    match all() {
        Ok(tests) => runner::run(&arguments, tests).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn all() -> Result<Vec<Test>, String> {
    let mut tests = check::load(&workspace().join("tests/checks.toml"))?;
    tests.extend(harness::tests());
    tests.extend(takeover::tests());
    tests.extend(pages::tests()?);
    let packages = packages::table()?;
    tests.extend(each_package::tests(&packages));
    tests.extend(packages::tests(packages));
    Ok(tests)
}
