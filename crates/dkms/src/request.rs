//! From words to what is asked for: which package, which kernels, which trees.

use crate::actions::{ACTIONS, Kernels, Misplaced, Opt, OptionRow, Relation};
use crate::cli::Arguments;
use crate::operand::{is_archive, is_path};
use dkms_core::conf::framework;
use dkms_core::error::{Error, Result};
use dkms_core::event::Event;
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::session::{Host, Options, Session};
use dkms_core::tree::layout::Layout;
use dkms_core::tree::state;
use std::path::{Path, PathBuf};

/// What the operands name.
#[derive(Debug, Default)]
pub struct Subject {
    /// Package name.
    pub name: Option<String>,
    /// Package version.
    pub version: Option<String>,
    /// A version is given, but empty: a script passed an empty variable.
    pub empty_version: bool,
    /// A source tree.
    pub directory: Option<PathBuf>,
    /// An archive.
    pub archive: Option<PathBuf>,
}

impl Subject {
    /// Sorts the operands: a dkms.conf or a directory with one, another existing file, else MODULE/VERSION.
    pub fn of(arguments: &Arguments) -> Result<Self> {
        let archive = arguments.archive.clone();
        let mut subject = Self { archive, empty_version: arguments.empty_version, ..Self::default() };
        if let Some(module) = &arguments.module {
            subject.module_version(module);
        }
        if let Some(version) = &arguments.module_version {
            subject.version = Some(version.clone());
        }
        for word in &arguments.words {
            let path = Path::new(word);
            if path.exists() && !path.is_dir() && word.ends_with("dkms.conf") {
                let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                subject.directory = Some(parent.to_owned());
            } else if path.is_dir() && path.join("dkms.conf").exists() {
                subject.directory = Some(path.to_owned());
            } else if path.is_file() {
                subject.archive = Some(path.to_owned());
            } else if path.is_dir() && is_path(word) {
                subject.directory = Some(path.to_owned());
            } else if is_path(word) || is_archive(word) {
                // Not there; whoever wants to load it says so.
                subject.archive = Some(path.to_owned());
            } else if subject.name.is_none() {
                subject.module_version(word);
            } else {
                return Err(Error::Usage(format!(
                    "'{word}' is neither an action nor a file or directory, and a module is named already"
                )));
            }
        }
        Ok(subject)
    }

    /// `M/V`, `M`, `M/` (any version) or `/V` (any module).
    fn module_version(&mut self, word: &str) {
        let (name, version) = word.split_once('/').unwrap_or((word, ""));
        self.empty_version |= word.ends_with('/');
        for (to, value) in [(&mut self.name, name), (&mut self.version, version)] {
            if !value.is_empty() {
                *to = Some(value.to_owned());
            }
        }
    }

    /// The package, which must be named completely.
    pub fn package(&self, action: &str) -> Result<PackageId> {
        match (self.name.as_deref().unwrap_or_default(), self.version.as_deref().unwrap_or_default()) {
            ("", _) | (_, "") => Err(Error::ModuleNotNamed { action: action.to_owned() }),
            (name, version) => Ok(PackageId::new(name, version)?),
        }
    }
}

/// Kernel words with the architectures that belong to them.
#[derive(Debug, Default)]
pub struct KernelWords {
    /// In the order given.
    pub releases: Vec<String>,
    /// None, one for all, or one each.
    pub arches: Vec<String>,
}

/// Checks which options exclude each other or do not apply, in the order in which dkms 3.x does.
pub fn check(arguments: &Arguments) -> Result<KernelWords> {
    let refused = arguments.misplaced().into_iter().filter(|row| row.misplaced == Misplaced::Refuse);
    if let Some(option) = refused.clone().find(|row| row.opt != Opt::All) {
        return Err(Error::Conflict(belongs_to(option, arguments)));
    }
    let words = kernel_words(arguments);
    if arguments.binaries_only && arguments.source_only {
        return Err(Error::BothOnly);
    }
    if words.arches.len() > 1 && words.arches.len() != words.releases.len() {
        return Err(Error::KernelArchPairing(format!(
            "{} architectures for {} kernels: give one for all kernels, or one for each",
            words.arches.len(),
            words.releases.len()
        )));
    }
    if arguments.all_kernels && (arguments.all || !words.releases.is_empty()) {
        return Err(Error::Conflict("--all-kernels, --all and a kernel exclude each other".into()));
    }
    if arguments.all && !words.releases.is_empty() {
        return Err(Error::Conflict("--all and a kernel exclude each other".into()));
    }
    if arguments.all && !words.arches.is_empty() {
        return Err(Error::AllWithArch);
    }
    if refused.count() > 0 {
        return Err(Error::AllBanned(arguments.action_word().to_owned()));
    }
    Ok(words)
}

/// The kernels and architectures of `-k` and `-a`.
fn kernel_words(arguments: &Arguments) -> KernelWords {
    let mut words = KernelWords::default();
    for kernel in &arguments.kernels {
        // 'K/' and '/A' leave open what is empty.
        let (release, arch) = kernel.split_once('/').unwrap_or((kernel, ""));
        for (list, word) in [(&mut words.releases, release), (&mut words.arches, arch)] {
            if !word.is_empty() {
                list.push(word.to_owned());
            }
        }
    }
    words.arches.extend(arguments.arches.iter().cloned());
    words
}

/// Says which actions an option is for.
fn belongs_to(option: &OptionRow, arguments: &Arguments) -> String {
    let actions = ACTIONS.iter().filter(|row| row.relation(option.opt) == Relation::Listed);
    let actions: Vec<&str> = actions.map(|row| row.word).collect();
    format!("{} is for {}, not for {}", option.name(), actions.join(" and "), arguments.action_word())
}

/// The warning about options that have no effect, if there are any.
pub fn without_effect(arguments: &Arguments) -> Option<String> {
    let ignored = arguments.misplaced().into_iter().filter(|row| row.misplaced == Misplaced::Warn);
    let ignored: Vec<String> = ignored.map(OptionRow::name).collect();
    let action = arguments.action_word();
    let verb = if ignored.len() == 1 { "has" } else { "have" };
    let text = format!(
        "{} {verb} no effect on {action}: 'dkms help {action}' lists its options",
        ignored.join(", ")
    );
    (!ignored.is_empty()).then_some(text)
}

/// The trees and options: built in, framework.conf over that, the command line over all.
pub fn resolve(
    arguments: &Arguments,
    host: &Host,
    sink: &dyn dkms_core::event::Sink,
) -> Result<(Layout, Options)> {
    let mut layout = Layout::default();
    // The variable means a directory of the machine.
    let tmp = std::env::var_os("TMPDIR").filter(|t| !t.is_empty() && host.other_root.is_none());
    let mut options = Options {
        force: arguments.force,
        force_version_override: arguments.force_version_override,
        conf_file: arguments.conf.clone(),
        kernel_config: arguments.config.clone(),
        kernel_source_dir: arguments.kernelsourcedir.as_deref().map(absolute),
        no_depmod: arguments.no_depmod,
        jobs: arguments.jobs,
        rpm_safe_upgrade: arguments.rpm_safe_upgrade,
        tmp_location: tmp.map_or_else(|| "/tmp".into(), PathBuf::from),
        signing: signing(arguments)?,
        ..Options::default()
    };
    for d in &arguments.directives {
        let Some((name, value)) = d.split_once('=') else {
            return Err(Error::Usage(format!("--directive {d}: write NAME=VALUE")));
        };
        options.directives.push((name.trim().to_owned(), value.to_owned()));
    }
    let framework = {
        let early = Session { layout: &layout, host, options: &options, sink };
        match framework::load(&early, None) {
            // What is there can be shown all the same.
            Err(e) if arguments.only_looks() => {
                sink.event(Event::Warning { text: format!("{e}\n  the defaults are used") });
                Default::default()
            }
            other => other?,
        }
    };
    if !arguments.only_looks() {
        let early = Session { layout: &layout, host, options: &options, sink };
        for text in framework::unknown_settings(&early) {
            sink.event(Event::Warning { text });
        }
    }
    let set = |to: &mut PathBuf, from: &Option<String>| {
        if let Some(v) = from.as_deref().filter(|v| !v.is_empty()) {
            *to = absolute(Path::new(v));
        }
    };
    set(&mut layout.dkms_tree, &framework.dkms_tree);
    set(&mut layout.source_tree, &framework.source_tree);
    set(&mut layout.install_tree, &framework.install_tree);
    set(&mut options.tmp_location, &framework.tmp_location);
    arguments.set_trees(&mut layout);
    options.verbose = arguments.verbose || arguments.debug || framework.verbose == Some(true);
    options.symlink_modules = arguments.symlink_modules || framework.symlink_modules == Some(true);
    options.modprobe_on_install =
        arguments.modprobe_on_install || framework.modprobe_on_install == Some(true);
    options.jobs = options.jobs.or(framework.parallel_jobs);
    options.framework = framework;
    if let Some(seconds) = arguments.lock_timeout {
        options.framework.lock_timeout = Some(seconds);
    }
    Ok((layout, options))
}

/// The key pair that the command line names.
fn signing(arguments: &Arguments) -> Result<Option<(String, PathBuf)>> {
    match (&arguments.mok_signing_key, &arguments.mok_certificate) {
        (None, None) => Ok(None),
        (Some(key), Some(certificate)) => {
            let token = key.to_string_lossy().starts_with("pkcs11:");
            // A pair that somebody names is not made for him.
            for (option, file) in [("--mok-signing-key", key), ("--mok-certificate", certificate)] {
                let is_token = token && file == key;
                if !is_token && !file.exists() {
                    return Err(Error::Usage(format!("{option} {}: there is no such file", file.display())));
                }
            }
            let key = if token { key.clone() } else { absolute(key) };
            Ok(Some((key.to_string_lossy().into_owned(), absolute(certificate))))
        }
        _ => Err(Error::Usage("--mok-signing-key and --mok-certificate belong together: give both".into())),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The kernels an action works on: those named, with `--all` those the package is built for, else the running
/// one.
pub fn kernels(s: &Session<'_>, words: &KernelWords, all_of: Option<&PackageId>) -> Result<Vec<Kernel>> {
    if let Some(package) = all_of {
        return Ok(state::builds(s.layout, package).into_iter().map(|b| b.kernel).collect());
    }
    let running = [s.host.release.clone()];
    if let (Some(root), true, "") = (&s.host.other_root, words.releases.is_empty(), &*s.host.release) {
        let tree = s.layout.install_tree.display();
        return Err(Error::KernelCount(format!(
            "there is no kernel in {tree} of {}: name one with -k",
            root.display()
        )));
    }
    let releases: &[String] = if words.releases.is_empty() { &running } else { &words.releases };
    let mut kernels = Vec::new();
    let mut arch = None;
    for (n, release) in releases.iter().enumerate() {
        let a = match words.arches.as_slice() {
            [] => arch
                .get_or_insert_with(|| crate::host::arch_of(s.host, &s.layout.install_tree, release))
                .clone(),
            [one] => one.clone(),
            many => many.get(n).cloned().unwrap_or_default(),
        };
        kernels.push(Kernel::new(release, &a)?);
    }
    Ok(kernels)
}

/// The one kernel of an action that takes only one.
pub fn one_kernel(s: &Session<'_>, arguments: &Arguments, words: &KernelWords) -> Result<Kernel> {
    let action = arguments.action_word();
    let must_name = arguments.action().is_some_and(|action| action.row().kernels == Kernels::Named);
    if must_name && words.releases.len() != 1 {
        return Err(Error::KernelCount(format!(
            "{action} takes exactly one kernel: dkms {action} -k KERNEL"
        )));
    }
    let mut all = kernels(s, words, None)?;
    match (all.pop(), all.is_empty()) {
        (Some(kernel), true) => Ok(kernel),
        _ => {
            let count = words.releases.len();
            Err(Error::KernelCount(format!("{action} takes one kernel, but {count} are given")))
        }
    }
}

#[cfg(test)]
mod tests;
