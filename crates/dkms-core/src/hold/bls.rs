//! Changes grub's default entry on systems where entries are files (`/boot/loader/entries/*.conf`,
//! BootLoaderSpec), as in Fedora and RHEL: `saved_entry` in grub's environment block.
//!
//! On these systems, a plugin of kernel-install that runs before the plugin of dkms has already written the
//! entry of a new kernel and has made it the default. So dkms keeps the entry, and makes a kernel that has
//! its modules the default. The environment block also contains the previous values, as two variables that
//! grub ignores.

use crate::error::Result;
use crate::event::Sink;
use crate::host::Host;
use crate::program::ProgramError;
use dkms_sys::fs::Limit;
use dkms_sys::process::{Command, which};
use dkms_tree::layout::Layout;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The required packages that each installed kernel lacks, oldest kernel first.
pub(super) type Kernels = Vec<(String, Vec<String>)>;

/// The default entry.
const SAVED: &str = "saved_entry";

/// The entry that dkms has made the default.
const HELD: &str = "dkms_held_entry";

/// The default before that.
const BEFORE: &str = "dkms_entry_before";

/// An entry of the boot loader's menu.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    id: String,
    release: String,
}

/// grub's environment block and the entries.
#[derive(Clone, Debug)]
pub(super) struct Menu {
    block: PathBuf,
    program: PathBuf,
    values: BTreeMap<String, String>,
    entries: Vec<Entry>,
}

/// The change of the default entry.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// It becomes this one instead of another.
    Hold { entry: String, before: String },
    /// It becomes this one, which it was before.
    Release { entry: String },
    /// The administrator or another program has chosen another one since.
    Forget,
}

impl Menu {
    /// `None` if this machine has no such menu.
    pub(super) fn find(layout: &Layout, host: &Host) -> Option<Self> {
        let boot = &layout.boot_dir;
        let blocks = ["grub2/grubenv", "grub/grubenv"].map(|name| boot.join(name));
        let block = blocks.into_iter().find(|file| file.is_file())?;
        let programs = ["grub2-editenv", "grub-editenv"];
        let program = programs.iter().find_map(|program| which(program, &host.path))?;
        let values = values(&dkms_sys::fs::read_text(&block, Limit::CONFIG).ok()?);
        let dir = boot.join("loader/entries");
        let names = dkms_sys::fs::list_dir_optional(&dir).unwrap_or_default();
        let read = |name: &std::ffi::OsString| {
            let text = dkms_sys::fs::read_text(dir.join(name), Limit::CONFIG).ok()?;
            entry(name.to_str()?, &text)
        };
        let entries: Vec<Entry> = names.iter().filter_map(read).collect();
        (!entries.is_empty()).then_some(Self { block, program, values, entries })
    }

    /// Returns whether dkms has changed the default.
    pub(super) fn is_held(&self) -> bool {
        self.values.contains_key(HELD)
    }

    /// Returns whether a kernel is in the menu already.
    pub(super) fn has(&self, release: &str) -> bool {
        self.entries.iter().any(|entry| entry.release == release)
    }

    /// Changes the default if it has to be another one. `kernels`: none if nothing is to be held.
    pub(super) fn refresh(&self, host: &Host, sink: &dyn Sink, kernels: &Kernels) -> Result<()> {
        match self.step(kernels) {
            None => Ok(()),
            Some(Step::Hold { entry, before }) => {
                self.edit(host, "set", &[(SAVED, &entry), (HELD, &entry), (BEFORE, &before)])?;
                let lacking = self.entries.iter().find(|e| e.id == before).map(|e| e.release.as_str());
                let lacking = kernels.iter().find(|(release, _)| Some(release.as_str()) == lacking);
                let (release, missing) = lacking.or(kernels.last()).cloned().unwrap_or_default();
                sink.warn(format!(
                    "kernel {release} lacks {}, so the default entry of grub is {entry} (hold_kernel=yes)",
                    missing.join(", ")
                ));
                Ok(())
            }
            Some(Step::Release { entry }) => {
                self.edit(host, "set", &[(SAVED, &entry)])?;
                self.edit(host, "unset", &[(HELD, ""), (BEFORE, "")])?;
                let text = format!("nothing is held any more: the default entry of grub is {entry}");
                sink.event(crate::event::Event::Detail { text });
                Ok(())
            }
            Some(Step::Forget) => self.edit(host, "unset", &[(HELD, ""), (BEFORE, "")]),
        }
    }

    fn step(&self, kernels: &Kernels) -> Option<Step> {
        let value = |name: &str| self.values.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let entry = |release: &str| self.entries.iter().find(|entry| entry.release == release);
        let newest = kernels.iter().rev().find_map(|(release, _)| entry(release));
        let saved = value(SAVED).and_then(|id| self.entries.iter().find(|entry| entry.id == id));
        let is_ours = value(HELD).is_some() && value(HELD) == value(SAVED);
        let before = value(BEFORE).and_then(|id| self.entries.iter().find(|entry| entry.id == id));
        // The entry that would be started without dkms.
        let wanted = if is_ours { before.or(newest) } else { saved.or(newest) };
        let missing = |wanted: &Entry| {
            kernels.iter().any(|(release, missing)| *release == wanted.release && !missing.is_empty())
        };
        if let Some(wanted) = wanted.filter(|wanted| missing(wanted)) {
            let mut good = kernels.iter().rev().filter(|(_, missing)| missing.is_empty());
            let good = good.find_map(|(release, _)| entry(release))?;
            let is_done = is_ours && value(SAVED) == Some(&*good.id);
            return (!is_done).then(|| Step::Hold { entry: good.id.clone(), before: wanted.id.clone() });
        }
        match (is_ours, wanted) {
            (true, Some(wanted)) => Some(Step::Release { entry: wanted.id.clone() }),
            (_, _) => self.is_held().then_some(Step::Forget),
        }
    }

    fn edit(&self, host: &Host, verb: &str, values: &[(&str, &str)]) -> Result<()> {
        let words = values.iter().map(|(name, value)| match verb {
            "set" => format!("{name}={value}"),
            _ => (*name).to_owned(),
        });
        let command = Command::new(&self.program)
            .arg(&self.block)
            .arg(verb)
            .args(words)
            .envs(host.environment.iter().cloned())
            .timeout(Duration::from_secs(60));
        let shown = command.display();
        let failed = |cause: String| ProgramError::Failed { command: shown.clone(), cause: cause.into() };
        let done = command.run().map_err(|e| failed(e.to_string()))?;
        if done.status.success() {
            return Ok(());
        }
        Err(failed(format!("{}: {}", done.status, done.stderr_text().trim())).into())
    }
}

/// The variables of an environment block.
fn values(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// The entry in a file. Its name is its identifier. grub's environment block cannot have every character.
fn entry(name: &str, text: &str) -> Option<Entry> {
    let id = name.strip_suffix(".conf")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    let version =
        text.lines().find_map(|line| line.trim().strip_prefix("version")?.strip_prefix([' ', '\t']));
    let release = version?.trim().to_owned();
    id.chars().all(legal).then(|| Entry { id: id.to_owned(), release })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu(saved: &str, held: &str, before: &str) -> Menu {
        let text =
            format!("# GRUB Environment Block\n{SAVED}={saved}\n{HELD}={held}\n{BEFORE}={before}\n####");
        let mut values = values(&text);
        values.retain(|_, value| !value.is_empty());
        let entries = ["6.1", "6.2", "6.3"]
            .iter()
            .filter_map(|k| entry(&format!("id-{k}.conf"), &format!("title x\nversion {k}\n")))
            .collect();
        Menu { block: PathBuf::new(), program: PathBuf::new(), values, entries }
    }

    fn kernels(lacking: &[&str]) -> Kernels {
        let missing = |k: &&str| if lacking.contains(k) { vec!["zfs".to_owned()] } else { Vec::new() };
        ["6.1", "6.2", "6.3"].iter().map(|k| ((*k).to_owned(), missing(k))).collect()
    }

    fn hold(entry: &str, before: &str) -> Option<Step> {
        Some(Step::Hold { entry: entry.into(), before: before.into() })
    }

    #[test]
    fn the_default_is_a_kernel_with_its_modules() {
        let of = |menu: Menu, lacking: &[&str]| menu.step(&kernels(lacking));
        assert_eq!(of(menu("id-6.3", "", ""), &[]), None);
        assert_eq!(of(menu("id-6.3", "", ""), &["6.3"]), hold("id-6.2", "id-6.3"));
        assert_eq!(of(menu("", "", ""), &["6.3", "6.2"]), hold("id-6.1", "id-6.3"));
        // The administrator selects another entry.
        assert_eq!(of(menu("id-6.1", "", ""), &["6.3"]), None);
        // No kernel has its modules.
        assert_eq!(of(menu("id-6.3", "", ""), &["6.3", "6.2", "6.1"]), None);
        // A kernel is already held; then the kernel that is the default loses its modules.
        assert_eq!(of(menu("id-6.2", "id-6.2", "id-6.3"), &["6.3"]), None);
        assert_eq!(of(menu("id-6.2", "id-6.2", "id-6.3"), &["6.3", "6.2"]), hold("id-6.1", "id-6.3"));
        let release = |entry: &str| Some(Step::Release { entry: entry.into() });
        assert_eq!(of(menu("id-6.2", "id-6.2", "id-6.3"), &[]), release("id-6.3"));
        assert_eq!(of(menu("id-6.2", "id-6.2", "id-gone"), &[]), release("id-6.3"));
        assert_eq!(menu("id-6.2", "id-6.2", "id-6.3").step(&Vec::new()), release("id-6.3"));
        // Another kernel was made the default since.
        assert_eq!(of(menu("id-6.3", "id-6.2", "id-6.3"), &[]), Some(Step::Forget));
    }

    #[test]
    fn files_of_entries() {
        assert_eq!(entry("a-1.conf", "version\t6.1 \n").map(|e| e.release).as_deref(), Some("6.1"));
        assert_eq!(entry("a-1.conf", "versions 6.1\n"), None);
        assert_eq!(entry("a 1.conf", "version 6.1\n"), None);
        assert_eq!(entry("a", "version 6.1\n"), None);
    }
}
