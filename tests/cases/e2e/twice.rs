//! Every package of `packages.toml`, built twice with the same fingerprint, has the same modules outside .BTF: see `twice.sh`.

use crate::packages::Package;
use dkms_tests::driver::{as_driver, drive};
use dkms_tests::layers::{is_root, our_binary};
use dkms_tests::root::{Impl, Kernel, Root};
use dkms_tests::runner::{Failure, Outcome, Test};
use std::time::Duration;

/// The one that `make test` takes.
const SAMPLE: [&str; 1] = ["ddcci-dkms"];

/// `twice::NAME` for every package.
pub fn tests(packages: &[Package]) -> Vec<Test> {
    let one = |package: &Package| {
        let (name, obstacle) = (package.name.clone(), obstacle(package));
        let test = Test::new(format!("twice::{name}"), move || run(&name));
        test.obstacle(obstacle).long(!SAMPLE.contains(&package.name.as_str()))
    };
    packages.iter().map(one).collect()
}

fn obstacle(package: &Package) -> Option<String> {
    if !is_root() {
        return Some("needs root, for a private mount namespace".to_owned());
    }
    package.missing().or_else(|| our_binary().err())
}

fn run(name: &str) -> Result<Outcome, Failure> {
    let root = Root::builder()
        .layer(&format!("packages/{name}"))
        .kernel(Kernel::K61)
        .kernel(Kernel::K612)
        .dkms(Impl::Alone)
        .build()
        .map_err(|error| error.to_string())?;
    let words = as_driver(&["bash", "/e2e/twice.sh"]);
    drive(&format!("twice::{name}"), root.command(&words, Duration::from_secs(1800)))
}
