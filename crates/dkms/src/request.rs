//! From words to what is asked for: which package, which kernels, which trees.

use crate::cli::{Action, Arguments};
use dkms_core::conf::framework;
use dkms_core::error::Result;
use dkms_core::event::Event;
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::request::RequestError;
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
    /// A source tree.
    pub directory: Option<PathBuf>,
    /// An archive.
    pub archive: Option<PathBuf>,
}

impl Subject {
    /// Sorts the operands: a dkms.conf or a directory with one, another existing file, else MODULE/VERSION.
    pub fn of(arguments: &Arguments) -> Result<Self> {
        let mut subject = Self { archive: arguments.archive.clone(), ..Self::default() };
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
                return Err(RequestError::Usage(format!(
                    "'{word}' is neither an action nor a file or directory, and a module is named already"
                ))
                .into());
            }
        }
        Ok(subject)
    }

    /// `M/V`, `M`, `M/` (any version) or `/V` (any module).
    fn module_version(&mut self, word: &str) {
        let (name, version) = word.split_once('/').unwrap_or((word, ""));
        for (to, value) in [(&mut self.name, name), (&mut self.version, version)] {
            if !value.is_empty() {
                *to = Some(value.to_owned());
            }
        }
    }

    /// The package, which must be named completely.
    pub fn package(&self, action: &str) -> Result<PackageId> {
        match (self.name.as_deref().unwrap_or_default(), self.version.as_deref().unwrap_or_default()) {
            ("", _) | (_, "") => Err(RequestError::ModuleNotNamed { action: action.to_owned() }.into()),
            (name, version) => Ok(PackageId::new(name, version)?),
        }
    }
}

/// Whether a word can only be meant as a path: `foo/1.0` may be a module although such a directory is here.
fn is_path(word: &str) -> bool {
    word.starts_with('/') || [".", ".."].iter().any(|d| word == *d || word.starts_with(&format!("{d}/")))
}

/// Whether a word is meant as a path, as [`Subject::of`] sorts them.
pub fn names_a_path(word: &str) -> bool {
    let path = Path::new(word);
    path.is_file() || path.is_dir() && path.join("dkms.conf").exists() || is_path(word) || is_archive(word)
}

/// Whether a word is named as archives are: `foo/1.0.tar` is hardly a version.
fn is_archive(word: &str) -> bool {
    let ends = [
        ".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".tgz", ".txz", ".tbz2", ".tzst", ".rpm",
        ".deb",
    ];
    ends.iter().any(|e| word.ends_with(e))
}

/// Kernel words with the architectures that belong to them.
#[derive(Debug, Default)]
pub struct KernelWords {
    /// In the order given.
    pub releases: Vec<String>,
    /// None, one for all, or one each.
    pub arches: Vec<String>,
}

/// Checks what excludes each other, in the order in which dkms does.
pub fn check(arguments: &Arguments) -> Result<KernelWords> {
    let mut words = KernelWords::default();
    for k in &arguments.kernels {
        // 'K/' and '/A' leave open what is empty.
        let (release, arch) = k.split_once('/').unwrap_or((k, ""));
        for (list, word) in [(&mut words.releases, release), (&mut words.arches, arch)] {
            if !word.is_empty() {
                list.push(word.to_owned());
            }
        }
    }
    words.arches.extend(arguments.arches.iter().cloned());
    if arguments.repair && arguments.action() != Some(Action::Fsck) {
        return Err(RequestError::Conflict("--repair belongs to fsck".into()).into());
    }
    if arguments.fix && arguments.action() != Some(Action::Lint) {
        return Err(RequestError::Conflict("--fix belongs to lint".into()).into());
    }
    if arguments.binaries_only && arguments.source_only {
        return Err(RequestError::BothOnly.into());
    }
    if words.arches.len() > 1 && words.arches.len() != words.releases.len() {
        return Err(RequestError::KernelArchPairing(format!(
            "{} architectures for {} kernels: give one for all kernels, or one for each",
            words.arches.len(),
            words.releases.len()
        ))
        .into());
    }
    if arguments.all && !words.releases.is_empty() {
        return Err(RequestError::Conflict("--all and a kernel exclude each other".into()).into());
    }
    if arguments.all && !words.arches.is_empty() {
        return Err(RequestError::AllWithArch.into());
    }
    Ok(words)
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
    // A repair never replaces files that are newer or unknown.
    let may_force = arguments.action() != Some(Action::Fsck);
    let mut options = Options {
        force: may_force && arguments.force,
        force_version_override: may_force && arguments.force_version_override,
        conf_file: arguments.conf.clone(),
        kernel_config: arguments.config.clone(),
        kernel_source_dir: arguments.kernelsourcedir.as_deref().map(absolute),
        no_depmod: arguments.no_depmod,
        jobs: arguments.jobs(),
        rpm_safe_upgrade: may_force && arguments.rpm_safe_upgrade,
        tmp_location: tmp.map_or_else(|| "/tmp".into(), PathBuf::from),
        signing: signing(arguments)?,
        ..Options::default()
    };
    for d in &arguments.directives {
        let Some((name, value)) = d.split_once('=') else {
            return Err(RequestError::Usage(format!("--directive {d}: write NAME=VALUE")).into());
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
        for text in framework::unknown_settings(&layout.config_dir) {
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
    named_trees(arguments, &mut layout);
    options.verbose = arguments.verbose || arguments.debug || framework.verbose == Some(true);
    options.symlink_modules = arguments.symlink_modules || framework.symlink_modules == Some(true);
    options.modprobe_on_install =
        arguments.modprobe_on_install || framework.modprobe_on_install == Some(true);
    options.jobs = options.jobs.or(framework.parallel_jobs);
    options.framework = framework;
    if let Some(seconds) = arguments.lock_timeout() {
        options.framework.lock_timeout = Some(seconds);
    }
    Ok((layout, options))
}

/// The trees that the command line names.
pub fn named_trees(arguments: &Arguments, layout: &mut Layout) {
    for (to, from) in [
        (&mut layout.dkms_tree, &arguments.dkmstree),
        (&mut layout.source_tree, &arguments.sourcetree),
        (&mut layout.install_tree, &arguments.installtree),
    ] {
        if let Some(v) = from {
            *to = absolute(v);
        }
    }
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
                    return Err(RequestError::Usage(format!(
                        "{option} {}: there is no such file",
                        file.display()
                    ))
                    .into());
                }
            }
            let key = if token { key.clone() } else { absolute(key) };
            Ok(Some((key.to_string_lossy().into_owned(), absolute(certificate))))
        }
        _ => Err(RequestError::Usage(
            "--mok-signing-key and --mok-certificate belong together: give both".into(),
        )
        .into()),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The kernels an action works on: those named, with `--all` those the package is built for, else the running one.
pub fn kernels(s: &Session<'_>, words: &KernelWords, all_of: Option<&PackageId>) -> Result<Vec<Kernel>> {
    if let Some(package) = all_of {
        return Ok(state::builds(s.layout, package).into_iter().map(|b| b.kernel).collect());
    }
    let running = [s.host.release.clone()];
    if let (Some(root), true, "") = (&s.host.other_root, words.releases.is_empty(), &*s.host.release) {
        let tree = s.layout.install_tree.display();
        return Err(RequestError::KernelCount(format!(
            "there is no kernel in {tree} of {}: name one with -k",
            root.display()
        ))
        .into());
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
    if arguments.all {
        return Err(RequestError::AllBanned(action.to_owned()).into());
    }
    let must_name = matches!(
        arguments.action(),
        Some(Action::KernelPreinst | Action::KernelPostinst | Action::KernelPrerm)
    );
    if must_name && words.releases.len() != 1 {
        return Err(RequestError::KernelCount(format!(
            "{action} takes exactly one kernel: dkms {action} -k KERNEL"
        ))
        .into());
    }
    let mut all = kernels(s, words, None)?;
    match (all.pop(), all.is_empty()) {
        (Some(kernel), true) => Ok(kernel),
        _ => Err(RequestError::KernelCount(format!(
            "{action} takes one kernel, and {} are given",
            words.releases.len()
        ))
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Arguments {
        let words = std::iter::once("dkms").chain(line.split_whitespace()).map(std::ffi::OsString::from);
        Arguments::read(words).unwrap_or_else(|_| panic!("{line}"))
    }

    #[test]
    fn words_as_package_scripts_write_them() {
        // What Debian's and Fedora's maintainer scripts, hooks and people call.
        let table = [
            ("add -m foo -v 1.0", Action::Add, "foo", "1.0"),
            ("remove -m foo -v 1.0 --all", Action::Remove, "foo", "1.0"),
            ("build -m foo/1.0 -k 6.1.0", Action::Build, "foo", "1.0"),
            ("install foo/1.0 -k 6.1.0/x86_64", Action::Install, "foo", "1.0"),
            ("-k 6.1.0 -m foo -v 1.0 build", Action::Build, "foo", "1.0"),
            ("install --module=foo/1.0 --kernelver=6.1.0 --arch=x86_64", Action::Install, "foo", "1.0"),
            ("uninstall --module foo/1.0 --kernelver 6.1.0", Action::Uninstall, "foo", "1.0"),
            ("unbuild -m=foo -v=1.0 -k=6.1.0", Action::Unbuild, "foo", "1.0"),
            ("add -m foo -v 1.0 --rpm_safe_upgrade", Action::Add, "foo", "1.0"),
            ("mktarball foo/1.0 --binaries-only", Action::Mktarball, "foo", "1.0"),
        ];
        for (line, action, name, version) in table {
            let arguments = read(line);
            let subject = Subject::of(&arguments).unwrap();
            assert_eq!(arguments.action(), Some(action), "{line}");
            assert_eq!(subject.name.as_deref(), Some(name), "{line}");
            assert_eq!(subject.version.as_deref(), Some(version), "{line}");
        }
    }

    #[test]
    fn kernels_and_architectures_pair_up() {
        let pairs = |line: &str| check(&read(line)).map(|w| (w.releases, w.arches));
        let all = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(pairs("build a/1 -k 6.1 -k 6.2 -a x").unwrap(), (all(&["6.1", "6.2"]), all(&["x"])));
        assert_eq!(pairs("build a/1 -k 6.1/x -k 6.2/y").unwrap(), (all(&["6.1", "6.2"]), all(&["x", "y"])));
        let table = [
            ("build a/1 -k 6.1 -a x -a y", 1),
            ("remove a/1 --all -k 6.1", 2),
            ("remove a/1 --all -a x", 3),
            ("mktarball a/1 --binaries-only --source-only", 8),
            ("install a/1 --repair", 2),
            ("config a/1 --fix", 2),
        ];
        for (line, code) in table {
            assert_eq!(crate::exit::code(&check(&read(line)).unwrap_err()), code, "{line}");
        }
    }

    #[test]
    fn empty_values_are_absent() {
        let read = |words: &[&str]| {
            let words = std::iter::once(&"dkms").chain(words).map(std::ffi::OsString::from);
            Arguments::read(words).unwrap_or_else(|_| panic!("not read"))
        };
        // Every option that takes a value.
        let options = "-m --module -v -k --kernelver -a --arch -c --config --kernelsourcedir --archive --spec \
                       --templatekernel --directive --dkmstree --sourcetree --installtree --mok-signing-key \
                       --mok-certificate -j --lock-timeout -d --distro --media -r --release";
        let plain = format!("{:?}", read(&["status"]));
        for option in options.split_whitespace() {
            let arguments = read(&["status", option, ""]);
            assert_eq!(format!("{arguments:?}"), plain, "{option}");
        }
        assert_eq!(read(&["", "status", "", ""]).words, Vec::<String>::new());

        let named = |words: &[&str]| {
            let subject = Subject::of(&read(words)).unwrap();
            (subject.name.unwrap_or_default(), subject.version.unwrap_or_default())
        };
        for (words, name, version) in [
            (&["status", "probe/"][..], "probe", ""),
            (&["status", "-m", "probe/"], "probe", ""),
            (&["status", "-m", "/1.0"], "", "1.0"),
            (&["status", "-m", "probe/1.0", "-v", ""], "probe", "1.0"),
            (&["status", "-m", "probe/", "-v", "1.0"], "probe", "1.0"),
            (&["status", "-m", "", "probe/1.0"], "probe", "1.0"),
        ] {
            assert_eq!(named(words), (name.into(), version.into()), "{words:?}");
        }
        let kernels = |words: &[&str]| {
            let words = check(&read(words)).unwrap();
            (words.releases.join(" "), words.arches.join(" "))
        };
        for (words, releases, arches) in [
            (&["build", "-k", "6.1/"][..], "6.1", ""),
            (&["build", "-k", "/x"], "", "x"),
            (&["build", "-k", "/"], "", ""),
            (&["build", "-k", "6.1", "-a", "", "-k", "", "-k", "6.2/", "-a", "x"], "6.1 6.2", "x"),
            (&["remove", "--all", "-k", "", "-a", ""], "", ""),
        ] {
            assert_eq!(kernels(words), (releases.into(), arches.into()), "{words:?}");
        }
    }

    #[test]
    fn wrong_lines_are_two() {
        for line in ["status --nonsense", "build a/1 -j many", "build a/1 -k"] {
            let words = std::iter::once("dkms").chain(line.split_whitespace()).map(std::ffi::OsString::from);
            assert!(matches!(Arguments::read(words), Err(crate::cli::Stop::Wrong(_))), "{line}");
        }
        let known = Arguments::read(["dkms", "--version"].map(std::ffi::OsString::from));
        assert!(matches!(known, Err(crate::cli::Stop::Text(t)) if t.starts_with("dkms-")));
    }

    #[test]
    fn paths_and_names_are_told_apart() {
        for word in ["./x", "/x", "..", "../y"] {
            assert!(is_path(word), "{word}");
        }
        for word in ["foo/1.0", "foo", "..foo/1"] {
            assert!(!is_path(word), "{word}");
        }
        assert!(
            is_archive("a.dkms.tar.gz")
                && is_archive("m.rpm")
                && is_archive("m.deb")
                && !is_archive("foo/1.0")
        );
        // Neither there nor a module's name: the archive that is missing.
        let subject = Subject::of(&read("ldtarball ./none.tar.gz")).unwrap();
        assert_eq!(subject.archive, Some(PathBuf::from("./none.tar.gz")));
    }
}
