//! Renders the output of `dkms cache` as text and as JSON.

use super::json::{line as document, list, lossy};
use super::numbers::{bytes, count};
use crate::printable::on_one_line;
use dkms_core::cache::{Base, Cache, Contents, Damaged, Entry, Listed, Nearest};
use dkms_core::ids::Build;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn summary(contents: &Contents) -> String {
    let builds = count(contents.entries.len(), "build");
    match contents.bases.len() {
        0 => builds,
        bases => format!("{builds} and the BTF of {}", count(bases, "kernel")),
    }
}

/// `dkms cache size`
pub(crate) fn size(cache: &Cache, contents: &Contents) -> String {
    let limit = match cache.limit() {
        0 => "switched off".into(),
        limit => format!("of {}", bytes(limit)),
    };
    let dir = cache.dir().display();
    format!("{} {limit}, {} in {dir}\n", bytes(contents.size()), summary(contents))
}

/// `dkms cache size --json`
pub(crate) fn size_json(cache: &Cache, contents: &Contents) -> String {
    document(json!({
        "directory": lossy(cache.dir()),
        "limit": cache.limit(),
        "bytes": contents.size(),
        "count": contents.entries.len(),
        "bases_count": contents.bases.len(),
    }))
}

/// `dkms cache show`
pub(crate) fn show(cache: &Cache, contents: &Contents) -> String {
    let line = |entry: &Listed| {
        let used = dkms_core::time::utc(seconds(entry.used));
        let what = match &entry.record {
            Ok(record) => {
                format!("{}/{}, {}, {}", record.package, record.version, record.kernel, record.arch)
            }
            Err(damaged) => format!("damaged: {damaged}"),
        };
        let short = entry.fingerprint.get(..12).unwrap_or_default();
        format!("{}\n", on_one_line(&format!("{what}: {}, last used {used}, {short}", bytes(entry.size))))
    };
    let base = |base: &Base| {
        let used = dkms_core::time::utc(seconds(base.used));
        let what = match &base.kernel {
            Some(kernel) => format!("BTF of kernel {kernel}"),
            None => format!("damaged: {}", base.path.display()),
        };
        format!("{}\n", on_one_line(&format!("{what}: {}, last used {used}", bytes(base.size))))
    };
    let entries = contents.entries.iter().map(line);
    entries.chain(contents.bases.iter().map(base)).collect::<String>() + &size(cache, contents)
}

/// `dkms cache show --json`
pub(crate) fn show_json(cache: &Cache, contents: &Contents) -> String {
    let entry = |entry: &Listed| {
        let mut value = json!({
            "fingerprint": entry.fingerprint,
            "bytes": entry.size,
            "used": seconds(entry.used),
        });
        match &entry.record {
            Ok(record) => {
                value["package"] = json!(record.package);
                value["version"] = json!(record.version);
                value["kernel"] = json!(record.kernel);
                value["arch"] = json!(record.arch);
                value["build_ms"] = json!(record.build_ms);
            }
            Err(damaged) => value["damaged"] = json!(damaged.reason),
        }
        value
    };
    let base = |base: &Base| json!({ "kernel": base.kernel, "bytes": base.size, "used": seconds(base.used) });
    document(json!({
        "directory": lossy(cache.dir()),
        "limit": cache.limit(),
        "bytes": contents.size(),
        "count": contents.entries.len(),
        "entries": list(&contents.entries, entry),
        "bases": list(&contents.bases, base),
    }))
}

/// `dkms cache clear`. `done` is false with `--dry-run`.
pub(crate) fn cleared(contents: &Contents, done: bool) -> String {
    let verb = if done { "Removed" } else { "Would remove" };
    format!("{verb} {} ({})\n", summary(contents), bytes(contents.size()))
}

/// `dkms cache clear --json`
pub(crate) fn cleared_json(contents: &Contents) -> String {
    document(json!({
        "count": contents.entries.len(),
        "bases_count": contents.bases.len(),
        "bytes": contents.size(),
    }))
}

/// The answer of `dkms cache why`: whether the cache has a build, and if not, how the nearest one differs.
pub(crate) struct Why<'a> {
    pub build: &'a Build,
    pub fingerprint: &'a str,
    /// The reason why the cache is not used.
    pub off: Option<&'static str>,
    /// The entry of the build.
    pub entry: Result<Option<Entry>, Damaged>,
    /// The most similar build of the same package in the cache.
    pub nearest: Option<Nearest>,
}

impl Why<'_> {
    /// The answer as text.
    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(why) = self.off {
            lines.push(format!("The cache is not used: {why}"));
        }
        match (&self.entry, &self.nearest) {
            (Ok(Some(_)), _) => {
                lines.push(format!("{} is in the cache, fingerprint {}", self.build, self.fingerprint));
            }
            (Err(damaged), _) => lines.push(format!("Its entry is damaged, so it is rebuilt: {damaged}")),
            (Ok(None), None) => {
                let package = &self.build.package.name;
                lines.push(format!("{} is not in the cache, which has no build of {package}", self.build));
            }
            (Ok(None), Some(nearest)) => {
                let record = &nearest.record;
                lines.push(format!(
                    "{} is not in the cache. The nearest build there is {}/{} for kernel {} ({}), which differs in:",
                    self.build, record.package, record.version, record.kernel, record.arch
                ));
                for difference in &nearest.differences {
                    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
                    let (cached, now) = (value(&difference.cached), value(&difference.current));
                    lines.push(format!("  {}: {cached} there, {now} now", difference.name));
                }
            }
        }
        lines.iter().map(|line| format!("{}\n", on_one_line(line))).collect()
    }

    fn is_cached(&self) -> bool {
        matches!(self.entry, Ok(Some(_)))
    }

    /// The answer as JSON.
    pub(crate) fn json(&self) -> String {
        let nearest = self.nearest.as_ref().filter(|_| !self.is_cached()).map(|nearest| {
            let difference = |d: &dkms_core::cache::Difference| {
                json!({ "name": d.name, "cached": d.cached, "wanted": d.current })
            };
            let record = &nearest.record;
            json!({
                "fingerprint": record.fingerprint,
                "version": record.version,
                "kernel": record.kernel,
                "arch": record.arch,
                "differences": list(&nearest.differences, difference),
            })
        });
        document(json!({
            "package": self.build.package.name,
            "version": self.build.package.version,
            "kernel": self.build.kernel.release,
            "arch": self.build.kernel.arch,
            "fingerprint": self.fingerprint,
            "cached": self.is_cached(),
            "off": self.off,
            "damaged": self.entry.as_ref().err().map(|damaged| damaged.reason.clone()),
            "nearest": nearest,
        }))
    }
}
