//! The document of `dkms report --json`. The page and the metrics are made from it as well.
//! docs/json-schema.md describes it. `--fleet` reads the parts that it needs (`fleet/document.rs`).

use super::bounded;
use dkms_core::look::ready::{Check, Item};
use serde::{Deserialize, Serialize};

/// The value of `report` in a document about one machine.
pub(crate) const MACHINE: &str = "machine";

/// Everything that is known about a machine.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Machine {
    /// The schema version of all JSON output.
    pub schema: u32,
    /// [`MACHINE`].
    pub report: String,
    /// The version of dkms that wrote it.
    pub dkms: String,
    /// Seconds since 1970.
    pub generated: u64,
    /// Whether the report was made with root's privileges; without them, some facts are unknown.
    pub as_root: bool,
    /// The name of the machine.
    pub host: Option<String>,
    /// The distribution, as os-release names it.
    pub distribution: Option<String>,
    /// The running kernel.
    pub running: String,
    /// The processor.
    pub arch: String,
    pub kernels: Vec<KernelState>,
    /// One for each line of `dkms status`, and for each failed build.
    pub builds: Vec<BuildState>,
    /// The items of `dkms pending`.
    pub pending: Vec<Item>,
    pub fsck: Fsck,
    pub key: Option<Key>,
    pub secure_boot: SecureBoot,
    pub disk: Disk,
    /// Everything that needs attention, the most important first.
    pub problems: Vec<Problem>,
}

/// A kernel that has modules in `/lib/modules` or builds in the tree.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KernelState {
    pub kernel: String,
    pub arch: String,
    pub running: bool,
    /// Whether a boot loader starts it by default.
    pub newest: bool,
    /// Whether it is in `/lib/modules`.
    pub present: bool,
    /// Whether its headers are installed.
    pub headers: bool,
    /// `yes`, `no` or `unknown`; none if it is not present.
    pub ready: Option<String>,
    /// The checks of `dkms ready`.
    #[serde(skip_deserializing)]
    pub checks: Vec<Check>,
    /// What it does with modules that have no trusted signature.
    pub policy: Option<String>,
}

/// A package version, and its state for a kernel.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BuildState {
    pub package: String,
    pub version: String,
    pub kernel: Option<String>,
    pub arch: Option<String>,
    /// As in `dkms status --json`, or `failed`: it is not built, because its last build failed.
    pub state: String,
    pub from_kernel: Option<String>,
    pub original_modules: bool,
    pub built_missing: bool,
    pub differs: bool,
    /// Where its modules come from, as in the manifest.
    pub origin: Option<String>,
    /// When it was built, in seconds since 1970.
    pub built_at: Option<u64>,
    pub build_seconds: Option<f64>,
    /// The log of a failed build.
    pub failed_log: Option<String>,
    /// The first error in it.
    pub first_error: Option<String>,
    /// The worst verdict on its modules.
    pub verdict: Option<String>,
    #[serde(skip_deserializing)]
    pub modules: Vec<Module>,
}

/// An installed module file.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Module {
    pub module: String,
    pub path: String,
    /// `loads`, `refused` or `unknown`.
    pub verdict: String,
    pub reasons: Vec<Reason>,
    /// The name of the signer; none if it is not signed.
    pub signer: Option<String>,
    pub version: Option<String>,
    pub srcversion: Option<String>,
    /// `yes` if the kernel has loaded this file, `other` if it has loaded another file of this name, else
    /// `no`. None if that is unknown or the kernel is not running.
    pub loaded: Option<String>,
    /// The version of the loaded module.
    pub loaded_version: Option<String>,
    pub loaded_srcversion: Option<String>,
}

/// The reason why a kernel refuses a module, or a check that could not be made.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Reason {
    pub code: String,
    pub text: String,
    pub help: String,
}

/// The result of `dkms fsck`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Fsck {
    pub packages: usize,
    pub builds: usize,
    pub findings: Vec<Finding>,
    /// The places that could not be checked, with the reasons.
    pub unreadable: Vec<String>,
}

/// An inconsistency.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Finding {
    pub kind: String,
    pub package: Option<String>,
    pub version: Option<String>,
    pub kernel: Option<String>,
    pub path: String,
    pub what: String,
    pub repair: String,
    pub safe: bool,
}

/// The signing key.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Key {
    pub path: String,
    /// `there`, `token`, `missing` or `unknown`.
    pub state: String,
    /// Whether users other than its owner can read it.
    pub exposed: bool,
    pub certificate: String,
    /// The reason why the certificate cannot be used.
    pub error: Option<String>,
    pub subject: Option<String>,
    pub key_type: Option<String>,
    /// Seconds since 1970.
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    /// Whether this machine trusts it; none if that is unknown.
    pub trusted: Option<bool>,
    /// The next step, as in `dkms mok --json`.
    pub step: String,
    pub next: String,
}

/// Secure Boot, and whether the kernel requires signatures.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct SecureBoot {
    /// As in `dkms mok --json`.
    pub state: String,
    /// Whether the newest kernel requires signatures: `no`, `sig-enforce`, `lockdown` or `unknown`.
    pub enforcement: String,
    pub why: String,
}

/// Bytes on the disk; none if they could not be counted.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Disk {
    /// The dkms tree.
    pub tree: Option<u64>,
    /// The sources of the packages.
    pub sources: Option<u64>,
    /// The cache of builds.
    pub cache: Option<u64>,
    /// The maximum size of the cache; 0 if it is switched off.
    pub cache_limit: u64,
    /// The modules that dkms installed.
    pub installed: u64,
    /// The free space on the file system of the tree.
    pub free: Option<u64>,
    pub packages: Vec<PackageSize>,
}

/// The disk usage of a package version in the tree, and of its sources.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct PackageSize {
    pub package: String,
    pub version: String,
    pub tree: Option<u64>,
    pub sources: Option<u64>,
}

/// The severity of a problem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// A kernel that is running or will be booted next lacks a module.
    Error,
    #[default]
    Warning,
    /// Nothing is wrong yet. Any unknown severity is read as this one.
    #[serde(other)]
    Note,
}

impl Severity {
    /// Its word in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A problem, and how to fix it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub severity: Severity,
    /// A word for the cause, which is the same in all versions of dkms.
    pub cause: String,
    pub package: Option<String>,
    pub version: Option<String>,
    pub kernel: Option<String>,
    pub what: String,
    /// Commands that fix it, in the order in which to run them.
    #[serde(deserialize_with = "bounded::list")]
    pub fix: Vec<String>,
    /// Instructions that are not commands.
    #[serde(deserialize_with = "bounded::list")]
    pub help: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_core::ids::{Kernel, PackageId};
    use dkms_core::look::ready::Wait;
    use dkms_core::look::verify::Outcome;

    #[test]
    fn the_keys_of_pending_items_and_checks_stay_the_same() {
        let item = |package| Item {
            package,
            kernel: Kernel::new("6.1", "x86_64").unwrap(),
            wait: Wait::Headers,
            what: "x".into(),
            help: vec!["y".into()],
        };
        let check = Check {
            about: None,
            answer: Outcome::Refused,
            what: "x".into(),
            help: Some("y".into()),
            reasons: Vec::new(),
            remark: true,
        };
        for (json, expected) in [
            (
                serde_json::to_string(&item(PackageId::new("a", "1").ok())),
                r#"{"package":"a","version":"1","kernel":"6.1","arch":"x86_64","waits_for":"headers","what":"x","help":["y"]}"#,
            ),
            (
                serde_json::to_string(&item(None)),
                r#"{"package":null,"version":null,"kernel":"6.1","arch":"x86_64","waits_for":"headers","what":"x","help":["y"]}"#,
            ),
            (serde_json::to_string(&check), r#"{"about":null,"answer":"no","what":"x","help":"y"}"#),
        ] {
            assert_eq!(json.unwrap(), expected);
        }
    }
}
