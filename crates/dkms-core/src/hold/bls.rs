//! Changes grub's default entry on systems where entries are files (`/boot/loader/entries/*.conf`, Boot
//! Loader Specification), as in Fedora and RHEL: `saved_entry` in grub's environment block.
//!
//! On these systems, another plugin of kernel-install writes the entry of a new kernel and makes it the
//! default before the plugin of dkms runs. So dkms keeps the entry, and makes a kernel that has its modules
//! the default. It records its choice and the previous default in two more variables, which grub ignores.

use crate::error::{Cause, Result};
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::program::ProgramError;
use dkms_sys::fs::Limit;
use dkms_sys::process::{Command, which};
use dkms_tree::layout::Layout;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The installed kernels, oldest first, with the required packages that each lacks.
pub(super) type Kernels = Vec<(String, Vec<String>)>;

/// The variable with the default entry.
const SAVED: &str = "saved_entry";

/// The variable with the entry that dkms made the default.
const HELD: &str = "dkms_held_entry";

/// The variable with the default before that.
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

/// How the default entry changes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `entry` becomes the default instead of `before`.
    Hold { entry: String, before: String },
    /// `entry` becomes the default again.
    Release { entry: String },
    /// The default stays, because the administrator or another program has changed it. The records of dkms
    /// are removed.
    Forget,
}

impl Menu {
    /// Reads the menu; `None` if this machine has no such menu.
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

    /// Changes the default entry if necessary. `kernels` is empty if no kernel is to be held.
    pub(super) fn refresh(&self, host: &Host, sink: &dyn Sink, kernels: &Kernels) -> Result<()> {
        match self.step(kernels) {
            None => Ok(()),
            Some(Step::Hold { entry, before }) => {
                self.edit(host, "set", &[(SAVED, &entry), (HELD, &entry), (BEFORE, &before)])?;
                let held = self.entries.iter().find(|e| e.id == before).map(|e| e.release.as_str());
                let held = kernels.iter().find(|(release, _)| Some(release.as_str()) == held);
                let (release, missing) = held.or(kernels.last()).cloned().unwrap_or_default();
                sink.warn(format!(
                    "kernel {release} lacks {}, so the default entry of grub is {entry} (hold_kernel=yes)",
                    missing.join(", ")
                ));
                Ok(())
            }
            Some(Step::Release { entry }) => {
                self.edit(host, "set", &[(SAVED, &entry)])?;
                self.edit(host, "unset", &[(HELD, ""), (BEFORE, "")])?;
                let text = format!("no kernel is held any more: the default entry of grub is {entry}");
                sink.event(Event::Detail { text });
                Ok(())
            }
            Some(Step::Forget) => self.edit(host, "unset", &[(HELD, ""), (BEFORE, "")]),
        }
    }

    /// Returns how the default entry has to change; `None` if it stays.
    fn step(&self, kernels: &Kernels) -> Option<Step> {
        let value = |name: &str| self.values.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let entry_of_kernel = |release: &str| self.entries.iter().find(|entry| entry.release == release);
        let entry_in = |name| value(name).and_then(|id| self.entries.iter().find(|entry| entry.id == id));
        let newest = kernels.iter().rev().find_map(|(release, _)| entry_of_kernel(release));
        let is_ours = value(HELD).is_some() && value(HELD) == value(SAVED);
        // The entry that would be the default without dkms.
        let default = entry_in(if is_ours { BEFORE } else { SAVED }).or(newest);
        let lacks_modules = |entry: &Entry| {
            kernels.iter().any(|(release, missing)| *release == entry.release && !missing.is_empty())
        };
        if let Some(default) = default.filter(|entry| lacks_modules(entry)) {
            let mut complete = kernels.iter().rev().filter(|(_, missing)| missing.is_empty());
            let chosen = complete.find_map(|(release, _)| entry_of_kernel(release))?;
            let is_done = is_ours && value(SAVED) == Some(&*chosen.id);
            return (!is_done).then(|| Step::Hold { entry: chosen.id.clone(), before: default.id.clone() });
        }
        match (is_ours, default) {
            (true, Some(default)) => Some(Step::Release { entry: default.id.clone() }),
            (_, _) => self.is_held().then_some(Step::Forget),
        }
    }

    /// Runs grub-editenv: sets the variables, or removes them.
    fn edit(&self, host: &Host, verb: &str, values: &[(&str, &str)]) -> Result<()> {
        let arguments = values.iter().map(|(name, value)| match verb {
            "set" => format!("{name}={value}"),
            _ => (*name).to_owned(),
        });
        let command = Command::new(&self.program)
            .arg(&self.block)
            .arg(verb)
            .args(arguments)
            .envs(host.environment.iter().cloned())
            .timeout(Duration::from_secs(60));
        let shown = command.display();
        let failed = |cause: Cause| ProgramError::Failed { command: shown.clone(), cause };
        let done = command.run().map_err(|e| failed(e.into()))?;
        if done.status.success() {
            return Ok(());
        }
        Err(failed(format!("{}: {}", done.status, done.stderr_text().trim()).into()).into())
    }
}

/// Returns the variables in an environment block.
fn values(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Parses the file of an entry. Its name is the entry's identifier; `None` if it contains a character that is
/// not allowed in grub's environment block.
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
            .filter_map(|release| {
                entry(&format!("id-{release}.conf"), &format!("title x\nversion {release}\n"))
            })
            .collect();
        Menu { block: PathBuf::new(), program: PathBuf::new(), values, entries }
    }

    fn kernels(lacking: &[&str]) -> Kernels {
        let missing = |name: &str| if lacking.contains(&name) { vec!["zfs".to_owned()] } else { Vec::new() };
        ["6.1", "6.2", "6.3"].iter().map(|name| ((*name).to_owned(), missing(name))).collect()
    }

    fn hold(entry: &str, before: &str) -> Option<Step> {
        Some(Step::Hold { entry: entry.into(), before: before.into() })
    }

    #[test]
    fn the_default_is_a_kernel_with_its_modules() {
        let step = |menu: Menu, lacking: &[&str]| menu.step(&kernels(lacking));
        assert_eq!(step(menu("id-6.3", "", ""), &[]), None);
        assert_eq!(step(menu("id-6.3", "", ""), &["6.3"]), hold("id-6.2", "id-6.3"));
        assert_eq!(step(menu("", "", ""), &["6.3", "6.2"]), hold("id-6.1", "id-6.3"));
        // The administrator selects another entry.
        assert_eq!(step(menu("id-6.1", "", ""), &["6.3"]), None);
        // No kernel has its modules.
        assert_eq!(step(menu("id-6.3", "", ""), &["6.3", "6.2", "6.1"]), None);
        // A kernel is already held; then the kernel that is the default loses its modules.
        assert_eq!(step(menu("id-6.2", "id-6.2", "id-6.3"), &["6.3"]), None);
        assert_eq!(step(menu("id-6.2", "id-6.2", "id-6.3"), &["6.3", "6.2"]), hold("id-6.1", "id-6.3"));
        let release = |entry: &str| Some(Step::Release { entry: entry.into() });
        assert_eq!(step(menu("id-6.2", "id-6.2", "id-6.3"), &[]), release("id-6.3"));
        assert_eq!(step(menu("id-6.2", "id-6.2", "id-gone"), &[]), release("id-6.3"));
        assert_eq!(menu("id-6.2", "id-6.2", "id-6.3").step(&Vec::new()), release("id-6.3"));
        // Another kernel was made the default since.
        assert_eq!(step(menu("id-6.3", "id-6.2", "id-6.3"), &[]), Some(Step::Forget));
    }

    #[test]
    fn files_of_entries() {
        assert_eq!(entry("a-1.conf", "version\t6.1 \n").map(|e| e.release).as_deref(), Some("6.1"));
        assert_eq!(entry("a-1.conf", "versions 6.1\n"), None);
        assert_eq!(entry("a 1.conf", "version 6.1\n"), None);
        assert_eq!(entry("a", "version 6.1\n"), None);
    }
}
