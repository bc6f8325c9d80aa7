//! Determines from the command line which packages and kernels a command works on.

use crate::actions::{ACTIONS, Action, Effect, Kernels, Misplaced, Operand, Opt, OptionRow, Relation};
use crate::cli::Arguments;
use crate::host::{arch_of_config, arch_of_package};
use crate::operand::{is_archive, is_path};
use dkms_core::error::Result;
use dkms_core::event::{Event, Sink};
use dkms_core::host::Host;
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::kernel::default;
use dkms_core::request::{RequestError, UsageError};
use dkms_core::system::System;
use dkms_core::tree::state;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// The package, directory or archive that the command line names.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    /// Package name.
    pub name: Option<String>,
    /// Package version.
    pub version: Option<String>,
    /// Whether the version was given, but empty, because a script passed an empty variable.
    pub empty_version: bool,
    /// A directory with sources.
    pub directory: Option<PathBuf>,
    /// An archive.
    pub archive: Option<PathBuf>,
    /// Further packages, for an action that takes several.
    pub others: Vec<String>,
}

impl Subject {
    /// Determines what the operands are: a dkms.conf or a directory that has one, another file, or
    /// MODULE/VERSION.
    ///
    /// # Errors
    /// There are too many operands.
    pub(crate) fn from_arguments(arguments: &Arguments) -> Result<Self> {
        let archive = arguments.archive.clone();
        let mut subject = Self { archive, empty_version: arguments.empty_version, ..Self::default() };
        let takes_several = arguments.action.is_some_and(|action| action.row().operand == Operand::Packages);
        if let Some(module) = &arguments.module {
            subject.module_version(module);
        }
        if let Some(version) = &arguments.module_version {
            subject.version = Some(version.clone());
        }
        let takes_word = |action: Action| matches!(action.row().operand, Operand::WordAndPackage(_));
        let words_before = usize::from(arguments.action.is_some_and(takes_word));
        for word in arguments.words.iter().skip(words_before) {
            let path = Path::new(word);
            if path.exists() && !path.is_dir() && word.ends_with("dkms.conf") {
                let parent =
                    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                subject.directory = Some(parent.to_owned());
            } else if path.is_dir() && path.join("dkms.conf").exists() {
                subject.directory = Some(path.to_owned());
            } else if path.is_file() {
                subject.archive = Some(path.to_owned());
            } else if path.is_dir() && is_path(word) {
                subject.directory = Some(path.to_owned());
            } else if is_path(word) || is_archive(word) {
                // It does not exist. The action that loads it reports that.
                subject.archive = Some(path.to_owned());
            } else if subject.name.is_none() {
                subject.module_version(word);
            } else if takes_several {
                subject.others.push(word.clone());
            } else {
                return Err(UsageError::ExtraOperand(word.clone()).into());
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

    /// The package. Its name and version must be given.
    ///
    /// # Errors
    /// One of them is missing or invalid.
    pub(crate) fn package(&self, action: &str) -> Result<PackageId> {
        match (self.name.as_deref().unwrap_or_default(), self.version.as_deref().unwrap_or_default()) {
            ("", _) | (_, "") => Err(RequestError::ModuleNotNamed { action: action.to_owned() }.into()),
            (name, version) => Ok(PackageId::new(name, version)?),
        }
    }
}

/// The packages of an action that takes several, each once.
///
/// # Errors
/// A name or version is missing or invalid.
pub(crate) fn packages(subject: &Subject, action: &str) -> Result<Vec<PackageId>> {
    let mut packages = vec![subject.package(action)?];
    for word in &subject.others {
        let mut other = Subject::default();
        other.module_version(word);
        let package = other.package(action)?;
        if !packages.contains(&package) {
            packages.push(package);
        }
    }
    Ok(packages)
}

/// The kernels and architectures of the command line.
#[derive(Debug, Default)]
pub(crate) struct KernelWords {
    /// The releases, in the order of the command line.
    pub releases: Vec<String>,
    /// The architectures: none, one for all kernels, or one for each kernel.
    pub arches: Vec<String>,
}

/// Checks for options that do not apply or exclude each other, in the same order as dkms 3.x.
///
/// # Errors
/// The first of them.
pub(crate) fn check(arguments: &Arguments) -> Result<KernelWords> {
    check_word(arguments)?;
    let refused = arguments.misplaced().into_iter().filter(|row| row.misplaced == Misplaced::Refuse);
    if let Some(option) = refused.clone().find(|row| row.opt != Opt::All) {
        return Err(option_of_others(option, arguments).into());
    }
    let words = kernel_words(arguments);
    if arguments.binaries_only && arguments.source_only {
        return Err(RequestError::BothOnly.into());
    }
    if words.arches.len() > 1 && words.arches.len() != words.releases.len() {
        return Err(RequestError::ArchesForKernels {
            arches: words.arches.len(),
            kernels: words.releases.len(),
        }
        .into());
    }
    if arguments.all_kernels && (arguments.all || !words.releases.is_empty()) {
        return Err(RequestError::Exclusive("--all-kernels, --all and a kernel").into());
    }
    if arguments.all && !words.releases.is_empty() {
        return Err(RequestError::Exclusive("--all and a kernel").into());
    }
    if arguments.all && !words.arches.is_empty() {
        return Err(RequestError::AllWithArch.into());
    }
    if refused.count() > 0 {
        return Err(RequestError::AllBanned(arguments.action_word().to_owned()).into());
    }
    Ok(words)
}

/// The kernels and architectures of `-k` and `-a`.
fn kernel_words(arguments: &Arguments) -> KernelWords {
    let mut words = KernelWords::default();
    for kernel in &arguments.kernels {
        // In 'K/' and '/A', one part is not given.
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

/// The error about an option that only applies to other actions.
fn option_of_others(option: &OptionRow, arguments: &Arguments) -> RequestError {
    let actions = ACTIONS.iter().filter(|row| row.relation(option.opt) == Relation::Listed);
    RequestError::OptionOfOthers {
        option: option.name(),
        actions: actions.map(|row| row.word).collect(),
        action: arguments.action_word().to_owned(),
    }
}

/// The warning about options and operands without effect; none if there are no such options.
pub(crate) fn without_effect(arguments: &Arguments) -> Option<String> {
    let row = arguments.action?.row();
    let options = arguments.misplaced().into_iter().filter(|option| option.misplaced == Misplaced::Warn);
    let mut ignored: Vec<String> = options.map(OptionRow::name).collect();
    // Queries that take no operands report them as errors.
    if row.operand == Operand::None && row.effect == Effect::Changes {
        ignored.extend(arguments.words.iter().map(|word| format!("'{word}'")));
    }
    let verb = if ignored.len() == 1 { "has" } else { "have" };
    let word = row.word;
    let text = format!("{} {verb} no effect on {word}: see 'dkms help {word}'", ignored.join(", "));
    (!ignored.is_empty()).then_some(text)
}

/// Checks the operand of an action that takes one of several words.
fn check_word(arguments: &Arguments) -> Result<()> {
    let Some(action) = arguments.action.map(Action::row) else { return Ok(()) };
    let (known, words) = match action.operand {
        Operand::Words(known) => (known, arguments.words.as_slice()),
        // A module follows.
        Operand::WordAndPackage(known) => (known, arguments.words.get(..1).unwrap_or_default()),
        _ => return Ok(()),
    };
    let Some(word) = words.iter().find(|word| !known.contains(&word.as_str())) else {
        return Ok(());
    };
    let meant = dkms_conf::nearest(word, 2, known.iter().copied());
    let (action, word) = (action.word.to_owned(), word.clone());
    Err(UsageError::UnknownWord { action, word, known, meant }.into())
}

/// The kernels that an action works on: those that the package `all_of` is built for (`--all`), else the
/// given ones, else the running one, or the newest of an image.
pub(crate) fn kernels(
    system: &System,
    words: &KernelWords,
    all_of: Option<&PackageId>,
) -> Result<Vec<Kernel>> {
    if let Some(package) = all_of {
        return Ok(state::builds(&system.layout, package).into_iter().map(|build| build.kernel).collect());
    }
    if !words.releases.is_empty() {
        return with_arches(system, &words.releases, &words.arches);
    }
    require_kernel_in_image(&system.host, &system.layout)?;
    running(system, words).map(|kernel| vec![kernel])
}

/// The kernels that modules are built for: like [`kernels`], but in an image there can be several, depending
/// on framework.conf. Reports the kernels of an image.
pub(crate) fn kernels_to_build(system: &System, sink: &dyn Sink, words: &KernelWords) -> Result<Vec<Kernel>> {
    let chosen = match (words.releases.is_empty(), default::of_image(system)) {
        (true, Some(chosen)) => chosen,
        _ => return kernels(system, words, None),
    };
    require_kernel_in_image(&system.host, &system.layout)?;
    let kernels = with_arches(system, &chosen, &words.arches)?;
    report_default(system, sink, words, &kernels);
    Ok(kernels)
}

/// The running kernel, or the newest of an image; for actions that need a kernel only to evaluate dkms.conf.
pub(crate) fn running(system: &System, words: &KernelWords) -> Result<Kernel> {
    let mut kernels = with_arches(system, std::slice::from_ref(&system.host.release), &words.arches)?;
    kernels.pop().ok_or_else(|| RequestError::NoKernel.into())
}

/// Reports the kernels of an image that are used because no kernel is given.
pub(crate) fn report_default(system: &System, sink: &dyn Sink, words: &KernelWords, kernels: &[Kernel]) {
    if let (Some(image), true) = (&system.host.image, words.releases.is_empty()) {
        sink.event(Event::KernelsOfImage {
            chosen: kernels.to_vec(),
            all: image.releases().to_vec(),
            tree: system.layout.install_tree.clone(),
        });
    }
}

/// Refuses an image without kernels, because it has no default kernel.
fn require_kernel_in_image(host: &Host, layout: &Layout) -> Result<()> {
    if host.image.as_ref().is_none_or(|image| image.newest().is_some()) {
        return Ok(());
    }
    let tree = layout.install_tree.clone();
    let usual = host.distribution.as_ref().and_then(|known| known.usual_kernel(&host.machine));
    let packages = usual.map_or_else(
        || "a kernel and its headers".into(),
        |(kernel, headers)| if kernel == headers { kernel } else { format!("{kernel} and {headers}") },
    );
    Err(match host.other_root.clone() {
        Some(root) => RequestError::NoKernelIn { tree, root, packages },
        None => RequestError::NoKernelInImage { tree, packages },
    }
    .into())
}

/// The kernels with these releases. `arches` is empty, one for all of them, or one for each.
fn with_arches(system: &System, releases: &[impl AsRef<str>], arches: &[String]) -> Result<Vec<Kernel>> {
    let mut kernels = Vec::new();
    let mut usual = None;
    for (position, release) in releases.iter().map(AsRef::as_ref).enumerate() {
        let arch = match arches {
            [] => {
                // Run rpm only once.
                let usual = usual.get_or_insert_with(|| {
                    arch_of_package(&system.host, &system.layout.install_tree, release)
                });
                arch_of_config(&system.layout, &system.settings, release, usual.clone())
            }
            [arch] => arch.clone(),
            arches => arches.get(position).cloned().unwrap_or_default(),
        };
        kernels.push(Kernel::new(release, &arch)?);
    }
    Ok(kernels)
}

/// The kernel of an action that takes only one.
pub(crate) fn one_kernel(system: &System, arguments: &Arguments, words: &KernelWords) -> Result<Kernel> {
    let action = arguments.action_word();
    let must_name = arguments.action.is_some_and(|action| action.row().kernels == Kernels::Named);
    if must_name && words.releases.len() != 1 {
        return Err(RequestError::KernelNotNamed(action.to_owned()).into());
    }
    let mut all = kernels(system, words, None)?;
    match (all.pop(), all.is_empty()) {
        (Some(kernel), true) => Ok(kernel),
        _ => {
            let count = words.releases.len();
            Err(RequestError::SeveralKernels { action: action.to_owned(), count }.into())
        }
    }
}

#[cfg(test)]
mod tests;
