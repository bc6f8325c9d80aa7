//! What a script checks for every package of `packages.toml`, in a root of its own: `confined::NAME`,
//! `twice::NAME`.

use crate::packages::Package;
use dkms_tests::driver::{as_driver, drive};
use dkms_tests::layers::{is_root, our_binary};
use dkms_tests::root::{Impl, Kernel, Root};
use dkms_tests::runner::{Failure, Outcome, Test};
use std::time::Duration;

/// How long one package may take. OpenAFS, built four times, takes half an hour on two busy cores.
const LIMIT: Duration = Duration::from_secs(2 * 3600);

/// One check of all packages.
struct Check {
    /// What the names of its tests begin with; the script in `tests/` has the same name.
    name: &'static str,
    kernels: &'static [Kernel],
    /// The packages that `make test` takes.
    sample: &'static [&'static str],
}

const CHECKS: [Check; 2] = [
    // It builds confined as it does unconfined, to the byte.
    Check {
        name: "confined",
        kernels: &[Kernel::K61],
        sample: &["bbswitch-dkms", "ddcci-dkms", "v4l2loopback-dkms"],
    },
    // Built twice with the same fingerprint, it has the same modules outside .BTF.
    Check { name: "twice", kernels: &[Kernel::K61, Kernel::K612], sample: &["ddcci-dkms"] },
];

/// The tests of all checks.
pub fn tests(packages: &[Package]) -> Vec<Test> {
    let of_check = |check: &'static Check| packages.iter().map(move |package| test(check, package));
    CHECKS.iter().flat_map(of_check).collect()
}

fn test(check: &'static Check, package: &Package) -> Test {
    let (name, obstacle) = (package.name.clone(), obstacle(package));
    let is_long = !check.sample.contains(&package.name.as_str());
    let test = Test::new(format!("{}::{name}", check.name), move || run(check, &name));
    test.obstacle(obstacle).long(is_long)
}

fn obstacle(package: &Package) -> Option<String> {
    if !is_root() {
        return Some("needs root, for a private mount namespace".to_owned());
    }
    package.missing().or_else(|| our_binary().err())
}

fn run(check: &Check, name: &str) -> Result<Outcome, Failure> {
    let root = Root::builder().layer(&format!("packages/{name}")).dkms(Impl::Alone);
    let root = check.kernels.iter().fold(root, |root, kernel| root.kernel(*kernel));
    let root = root.build().map_err(|error| error.to_string())?;
    let script = format!("/e2e/{}.sh", check.name);
    let command = root.command(&as_driver(&["bash", &script]), LIMIT);
    drive(&format!("{}::{name}", check.name), command)
}
