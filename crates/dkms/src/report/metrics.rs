//! The metrics of a machine in the text format of Prometheus, for node_exporter's textfile collector.
//!
//! A test checks that docs/grafana-dashboard.json uses no metric that does not exist.

use super::data::{BuildState, KernelState, Machine, Severity};
use dkms_core::look::ready::{Item, Wait};
use std::fmt::{Display, Write};

/// The name and the help text of a metric.
type Family = (&'static str, &'static str);

const INFO: Family = ("dkms_info", "The version of dkms that wrote these metrics.");
const TIME: Family = ("dkms_report_timestamp_seconds", "When these metrics were written.");
const RUNNING: Family = ("dkms_kernel_running", "Whether the kernel is running (1) or not (0).");
const NEWEST: Family =
    ("dkms_kernel_newest", "Whether the kernel is the newest, which is started by default (1), or not (0).");
const READY: Family = (
    "dkms_kernel_ready",
    "Whether the kernel can be started with every required module (1); 0: no, or unknown.",
);
const READY_UNKNOWN: Family =
    ("dkms_kernel_ready_unknown", "Whether dkms could not determine if the kernel is ready (1).");
const PENDING: Family =
    ("dkms_pending_modules", "Packages that are not installed yet, by what they wait for.");
const INSTALLED: Family = (
    "dkms_module_installed",
    "Whether a package that is built or failed is installed for the kernel (1) or not (0).",
);
const LOADABLE: Family = (
    "dkms_module_loadable",
    "Whether the kernel would load the modules of an installed package (1); 0: no, or unknown.",
);
const FAILED: Family =
    ("dkms_build_failed", "Whether the last build of the package for the kernel failed (1) or not (0).");
const FAILED_COUNT: Family = ("dkms_failed_builds", "Packages whose last build for the kernel failed.");
const DURATION: Family = (
    "dkms_build_duration_seconds",
    "How long the last build took; for one from the cache or a registry, how long that took.",
);
const BUILT_AT: Family = ("dkms_build_timestamp_seconds", "When the last build ended.");
const BUILDS: Family = ("dkms_builds", "Builds in the tree by the origin of their modules.");
const EXPIRY: Family = (
    "dkms_key_expiry_timestamp_seconds",
    "When the validity of the signing certificate ends; kernels do not check it.",
);
const TRUSTED: Family =
    ("dkms_key_trusted", "Whether the machine trusts the signing certificate (1) or not (0).");
const SECURE_BOOT: Family = ("dkms_secure_boot_enabled", "Whether Secure Boot is on (1) or off (0).");
const FSCK: Family = ("dkms_fsck_findings", "Inconsistencies in the tree and the modules of the kernels.");
const PROBLEMS: Family = ("dkms_problems", "Problems in the report, by their severity.");
const DISK: Family = ("dkms_disk_usage_bytes", "The space that dkms takes, by what it is for.");

/// The names and values of a sample's labels.
type Labels<'a> = Vec<(&'static str, &'a str)>;

/// The text of the file.
pub(super) fn text(machine: &Machine) -> String {
    let mut out = Out::default();
    out.family(INFO, [(vec![("version", machine.dkms.as_str())], 1)]);
    out.family(TIME, [(Vec::new(), machine.generated)]);
    kernels(&mut out, machine);
    packages(&mut out, machine);
    builds(&mut out, machine);
    key(&mut out, machine);
    out.family(FSCK, [(Vec::new(), machine.fsck.findings.len())]);
    let problems = [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
        let count = machine.problems.iter().filter(|problem| problem.severity == severity).count();
        (vec![("severity", severity.word())], count)
    });
    out.family(PROBLEMS, problems);
    let disk = &machine.disk;
    let usage = [
        ("tree", disk.tree),
        ("sources", disk.sources),
        ("cache", disk.cache),
        ("installed", Some(disk.installed)),
    ];
    let known = usage.into_iter().filter_map(|(what, bytes)| Some((vec![("what", what)], bytes?)));
    out.family(DISK, known);
    out.0
}

fn kernels(out: &mut Out, machine: &Machine) {
    fn labels(kernel: &KernelState) -> Labels<'_> {
        vec![("kernel", &kernel.kernel), ("arch", &kernel.arch)]
    }
    let present = || machine.kernels.iter().filter(|kernel| kernel.present);
    let mut add_flag = |family, flag: &dyn Fn(&KernelState) -> bool| {
        out.family(family, present().map(|kernel| (labels(kernel), u8::from(flag(kernel)))));
    };
    add_flag(RUNNING, &|kernel| kernel.running);
    add_flag(NEWEST, &|kernel| kernel.newest);
    add_flag(READY, &|kernel| kernel.ready.as_deref() == Some("yes"));
    add_flag(READY_UNKNOWN, &|kernel| kernel.ready.as_deref() == Some("unknown"));
    let waiting = present().flat_map(|kernel| Wait::ALL.map(|wait| (kernel, wait))).map(|(kernel, wait)| {
        let is_counted = |item: &&Item| {
            item.kernel.release == *kernel.kernel && item.kernel.arch == kernel.arch && item.wait == wait
        };
        let mut labels = labels(kernel);
        labels.push(("waits_for", wait.word()));
        (labels, machine.pending.iter().filter(is_counted).count())
    });
    out.family(PENDING, waiting);
    let failed = present().map(|kernel| {
        let is_counted = |build: &&BuildState| {
            build.kernel.as_ref() == Some(&kernel.kernel)
                && build.arch.as_ref() == Some(&kernel.arch)
                && build.failed_log.is_some()
        };
        (labels(kernel), machine.builds.iter().filter(is_counted).count())
    });
    out.family(FAILED_COUNT, failed);
}

fn packages(out: &mut Out, machine: &Machine) {
    let with_kernel = || machine.builds.iter().filter(|build| build.kernel.is_some());
    let mut add_flag = |family, flag: &dyn Fn(&BuildState) -> Option<bool>| {
        let samples = with_kernel().filter_map(|build| Some((labels(build), u8::from(flag(build)?))));
        out.family(family, samples);
    };
    add_flag(INSTALLED, &|build| Some(build.state.starts_with("installed")));
    add_flag(LOADABLE, &|build| Some(build.verdict.as_deref()? == "loads"));
    add_flag(FAILED, &|build| Some(build.failed_log.is_some()));
}

fn builds(out: &mut Out, machine: &Machine) {
    // A weak module belongs to the build for the other kernel.
    let built =
        || machine.builds.iter().filter(|build| build.kernel.is_some() && build.from_kernel.is_none());
    let with_origin = |build| {
        let mut labels = labels(build);
        labels.push(("origin", origin(build)));
        labels
    };
    let durations =
        built().filter_map(|build| Some((with_origin(build), format!("{:.3}", build.build_seconds?))));
    out.family(DURATION, durations);
    out.family(BUILT_AT, built().filter_map(|build| Some((with_origin(build), build.built_at?))));
    let counts = ["built", "cache", "registry", "unknown"].map(|word| {
        let count = built().filter(|build| build.state != "failed" && origin(build) == word).count();
        (vec![("origin", word)], count)
    });
    out.family(BUILDS, counts);
}

/// The first word of the origin. With the name of the registry, every build would be a new time series.
fn origin(build: &BuildState) -> &str {
    build.origin.as_deref().and_then(|origin| origin.split(' ').next()).unwrap_or("unknown")
}

fn labels(build: &BuildState) -> Labels<'_> {
    vec![
        ("package", build.package.as_str()),
        ("version", build.version.as_str()),
        ("kernel", build.kernel.as_deref().unwrap_or_default()),
        ("arch", build.arch.as_deref().unwrap_or_default()),
    ]
}

fn key(out: &mut Out, machine: &Machine) {
    let key = machine.key.as_ref();
    let certificate = || key.map_or("", |key| key.certificate.as_str());
    let end = key.and_then(|key| key.not_after);
    out.family(EXPIRY, end.map(|end| (vec![("certificate", certificate())], end)));
    let trusted = key.and_then(|key| key.trusted);
    out.family(TRUSTED, trusted.map(|is| (vec![("certificate", certificate())], u8::from(is))));
    let enabled = match machine.secure_boot.state.as_str() {
        "on" => Some(true),
        "unknown" | "" => None,
        _ => Some(false),
    };
    out.family(SECURE_BOOT, enabled.map(|is| (Vec::new(), u8::from(is))));
}

/// The text of the file.
#[derive(Default)]
struct Out(String);

impl Out {
    /// Adds a metric with its samples. It is left out if there are none.
    fn family<'a, V: Display>(
        &mut self,
        (name, help): Family,
        samples: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        // Every value can decrease, so none of the metrics is a counter.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            self.0.push_str(name);
            for (position, (label, value)) in labels.iter().enumerate() {
                let separator = if position == 0 { '{' } else { ',' };
                let _ = write!(self.0, "{separator}{label}=\"{}\"", escaped(value));
            }
            let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
        }
    }
}

/// The value of a label: unprintable characters are written as `\u000a`, then backslashes and quotes are
/// escaped.
fn escaped(value: &str) -> String {
    crate::printable::on_one_line(value).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::{KernelState, Key};
    use std::collections::BTreeSet;

    fn machine() -> Machine {
        let kernel = KernelState {
            kernel: "6.1.0\"\\\n}".into(),
            arch: "x86_64".into(),
            present: true,
            ready: Some("no".into()),
            ..KernelState::default()
        };
        let build = BuildState {
            package: "hello".into(),
            version: "1.0".into(),
            kernel: Some("6.1.0\"\\\n}".into()),
            arch: Some("x86_64".into()),
            state: "installed".into(),
            origin: Some("registry example.org/dkms/hello@sha256:0".into()),
            built_at: Some(1_700_000_000),
            build_seconds: Some(1.25),
            verdict: Some("loads".into()),
            ..BuildState::default()
        };
        Machine {
            dkms: "4".into(),
            kernels: vec![kernel],
            builds: vec![build],
            key: Some(Key { not_after: Some(-1), trusted: Some(false), ..Key::default() }),
            secure_boot: crate::report::data::SecureBoot { state: "on".into(), ..Default::default() },
            ..Machine::default()
        }
    }

    #[test]
    fn names_and_labels() {
        let text = text(&machine());
        let label = r#"kernel="6.1.0\"\\\\u000a}",arch="x86_64""#;
        for line in [
            format!("dkms_kernel_ready{{{label}}} 0"),
            format!("dkms_pending_modules{{{label},waits_for=\"headers\"}} 0"),
            format!(
                "dkms_build_duration_seconds{{package=\"hello\",version=\"1.0\",{label},origin=\"registry\"}} 1.250"
            ),
            "dkms_builds{origin=\"registry\"} 1".to_owned(),
            "dkms_key_expiry_timestamp_seconds{certificate=\"\"} -1".to_owned(),
            "dkms_secure_boot_enabled 1".to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
        }
    }

    #[test]
    fn the_dashboard_only_uses_metrics_that_exist() {
        let text = text(&machine());
        let known: BTreeSet<&str> =
            text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/grafana-dashboard.json");
        let dashboard = std::fs::read_to_string(path).unwrap();
        serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
        let words = dashboard.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let used: BTreeSet<&str> = words.filter(|w| w.starts_with("dkms_")).collect();
        assert!(used.len() > 8, "{used:?}");
        for name in used {
            assert!(known.contains(name), "{name} is not a metric");
        }
    }
}
