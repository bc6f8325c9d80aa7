//! Every package of `packages.toml` builds confined as it does unconfined, to the byte: see `confined.sh`.

use crate::packages::Package;
use dkms_tests::driver::{as_driver, drive};
use dkms_tests::layers::{is_root, our_binary};
use dkms_tests::root::{Impl, Kernel, Root};
use dkms_tests::runner::{Failure, Outcome, Test};
use std::time::Duration;

/// Those that `make test` takes.
const SAMPLE: [&str; 3] = ["bbswitch-dkms", "ddcci-dkms", "v4l2loopback-dkms"];

/// `confined::NAME` for every package.
pub fn tests(packages: &[Package]) -> Vec<Test> {
    let one = |package: &Package| {
        let (name, obstacle) = (package.name.clone(), obstacle(package));
        let test = Test::new(format!("confined::{name}"), move || run(&name));
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
        .dkms(Impl::Alone)
        .build()
        .map_err(|error| error.to_string())?;
    let words = as_driver(&["bash", "/e2e/confined.sh"]);
    drive(&format!("confined::{name}"), root.command(&words, Duration::from_secs(1800)))
}
