//! Writes the index of a kernel's modules without depmod, if the result is the same as depmod's.
//!
//! depmod reads all modules of the kernel, 4,000 files or more. dkms caches the index data of each file in
//! `/var/lib/dkms/.index/K-A`, with the file's size, inode and times, so that only new modules are read.

use crate::event::Sink;
use crate::kernel::installed::decompressed;
use crate::system::System;
use dkms_sys::IoError;
use dkms_sys::fs::{self, Limit, Stat};
use dkms_sys::process::{Command, ProcessError, Stream};
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use kmodule::compress::CompressError;
use kmodule::index::{self, Cache, Config, Decline, Facts, IndexFile, Lists, Module, NewCache, Version};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The directories of depmod.d(5). A file in a later directory hides files of the same name in earlier
/// directories.
const CONFIG_DIRS: [&str; 5] =
    ["/lib/depmod.d", "/usr/lib/depmod.d", "/usr/local/lib/depmod.d", "/run/depmod.d", "/etc/depmod.d"];

type Result<T, E = LeftToDepmod> = std::result::Result<T, E>;

/// Why depmod has to run: a setting, a program, a file or a module for which our index was not compared with
/// depmod's, or an error.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeftToDepmod {
    #[error(transparent)]
    Declined(#[from] Decline),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Program(#[from] ProcessError),
    #[error("{path}: {source}")]
    Module { path: String, source: Decline },
    #[error("{path}: {source}")]
    Compressed { path: String, source: CompressError },
    #[error("depmod=program in framework.conf")]
    Configured,
    #[error("{} is gone", .0.display())]
    ProgramGone(PathBuf),
    #[error("this is {0}, whose index was not compared with ours")]
    OtherVersion(String),
    #[error("the C library is musl")]
    Musl,
    #[error("{} is not text", .0.display())]
    NotText(PathBuf),
    #[error("{} is neither a file nor a directory", .0.display())]
    Special(PathBuf),
    #[error("{} is not a file", .0.display())]
    NotAFile(PathBuf),
}

/// Whether [`make`] updates the cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Update {
    Cache,
    Nothing,
}

/// Returns the names of the index files that differ from the files that depmod would write now. Returns none
/// if nothing is cached for this kernel, because reading all of its modules would take seconds. Changes
/// nothing.
pub(crate) fn differences(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Vec<&'static str> {
    let dir = system.layout.kernel_modules(&kernel.release);
    let known = fs::is_file(system.layout.index_cache(kernel)) && fs::is_file(dir.join("modules.dep"));
    let Some(program) = dkms_sys::process::which("depmod", &system.host.path).filter(|_| known) else {
        return Vec::new();
    };
    let differs = |file: &IndexFile| {
        !fs::read_bounded(dir.join(file.name), Limit::INDEX).is_ok_and(|bytes| bytes == file.bytes)
    };
    match make(system, sink, kernel, &dir, &program, Update::Nothing) {
        Ok(files) => files.iter().filter(|file| differs(file)).map(|file| file.name).collect(),
        Err(reason) => {
            let text = format!("the index of kernel {} is not compared: {reason}", kernel.release);
            sink.event(crate::event::Event::Detail { text });
            Vec::new()
        }
    }
}

/// Returns the files that `depmod` at `program` would write into `dir`, the kernel's directory. Changes at
/// most the cache.
///
/// # Errors
/// [`LeftToDepmod`]: depmod has to run.
pub(super) fn make(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    dir: &Path,
    program: &Path,
    update: Update,
) -> Result<Vec<IndexFile>> {
    if system.settings.framework.depmod == Some(true) {
        return Err(LeftToDepmod::Configured);
    }
    let path = system.layout.index_cache(kernel);
    refuse_link(&path)?;
    let text = fs::read_text(&path, Limit::RECORD).unwrap_or_default();
    let cache = Cache::parse(&text);
    let tool = Tool::find(program, cache.tool())?;
    let config = config(&kernel.release)?;
    let mut found = Vec::new();
    walk(dir, "", &config, &mut found)?;
    let selected = index::select(&found, &config)?;
    let records =
        selected.into_iter().filter_map(|at| found.get(at)).map(|file| Record::read(file, dir, &cache));
    let records = records.collect::<Result<Vec<_>>>()?;
    let facts: Vec<Facts<'_>> = records.iter().map(|record| Facts::parse(record.facts())).collect();
    let modules: Vec<Module<'_>> =
        records.iter().zip(&facts).map(|(record, facts)| Module { path: &record.file.path, facts }).collect();
    let lists = ListTexts::read(dir)?;
    let files = index::write(tool.version, &modules, &lists.borrow())?;
    let changed =
        records.len() != cache.len() || records.iter().any(Record::is_new) || tool.line != cache.tool();
    if changed && update == Update::Cache && system.host.records_stamps() {
        keep(sink, &path, &tool, &records);
    }
    Ok(files)
}

/// Removes the caches of a kernel that is no longer installed: the cache of its index, and the cache of its
/// headers.
pub(super) fn forget(layout: &Layout, kernel: &Kernel) {
    for path in [layout.index_cache(kernel), layout.headers_cache(kernel)] {
        // A cache that stays behind only uses disk space.
        let _ = refuse_link(&path).and_then(|()| fs::remove_file(path));
    }
}

/// Writes the cache. A failure is ignored, because it only costs time.
fn keep(sink: &dyn Sink, path: &Path, tool: &Tool, records: &[Record<'_>]) {
    let mut new = NewCache::new(&tool.line);
    for record in records {
        new.add(&record.file.path, &record.file.stamp, record.facts());
    }
    let made = path.parent().map(fs::create_dir_all).transpose().map(|_| ());
    if let Err(e) = made.and_then(|()| fs::write_atomic(path, new.finish().as_bytes(), 0o644)) {
        sink.event(crate::event::Event::Detail { text: format!("the cache of the index is not kept: {e}") });
    }
}

/// Checks that the directory of the cache is not a link: in an image it could lead anywhere.
fn refuse_link(cache: &Path) -> dkms_sys::Result<()> {
    cache.parent().map_or(Ok(()), fs::refuse_foreign_dir)
}

/// The depmod program of this system.
struct Tool {
    version: Version,
    /// The program's stamp and the first line of its `--version`.
    line: String,
}

impl Tool {
    /// `known` is what an earlier command recorded; the program is run only if its file has changed since.
    fn find(program: &Path, known: &str) -> Result<Self> {
        let stamp = stamp(program).ok_or_else(|| LeftToDepmod::ProgramGone(program.to_owned()))?;
        let version = match known.split_once(' ') {
            Some((old, version)) if old == stamp => version.to_owned(),
            _ => ask_version(program)?,
        };
        let supported =
            Version::from_line(&version).ok_or_else(|| LeftToDepmod::OtherVersion(version.clone()))?;
        // The C library of musl sorts equal elements in another order.
        if is_musl() {
            return Err(LeftToDepmod::Musl);
        }
        Ok(Self { version: supported, line: format!("{stamp} {version}") })
    }
}

fn ask_version(program: &Path) -> Result<String> {
    let output =
        Command::new(program).args(["--version"]).stdout(Stream::Capture).stderr(Stream::Null).run()?;
    Ok(output.stdout_text().lines().next().unwrap_or_default().trim().to_owned())
}

fn is_musl() -> bool {
    let names = fs::list_dir("/lib").unwrap_or_default();
    names.iter().filter_map(|name| name.to_str()).any(|name| name.starts_with("ld-musl-"))
}

/// Reads the files of depmod.d for one kernel.
fn config(release: &str) -> Result<Config> {
    let mut files = BTreeMap::new();
    for dir in CONFIG_DIRS {
        for name in fs::list_dir_optional(dir)? {
            let path = Path::new(dir).join(&name);
            let Some(name) = name.to_str().filter(|name| is_config(name)) else { continue };
            files.insert(name.to_owned(), path);
        }
    }
    let texts = files.values().map(|path| fs::read_text(path, Limit::CONFIG));
    let texts = texts.collect::<dkms_sys::Result<Vec<_>>>()?;
    let matches = |pattern: &str| dkms_sys::regex::matches(pattern, release).unwrap_or(false);
    Ok(Config::parse(texts.iter().map(String::as_str), &matches)?)
}

fn is_config(name: &str) -> bool {
    name.len() > 5 && name.ends_with(".conf") && !name.starts_with('.')
}

/// A module file below a kernel's directory.
struct FoundFile {
    path: String,
    stamp: String,
}

impl AsRef<str> for FoundFile {
    fn as_ref(&self) -> &str {
        &self.path
    }
}

/// Finds the module files in directory order, which is the order in which depmod reads them.
fn walk(dir: &Path, below: &str, config: &Config, found: &mut Vec<FoundFile>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let Ok(name) = entry.file_name().into_string() else {
            return Err(LeftToDepmod::NotText(entry.path()));
        };
        if config.excludes(&name) {
            continue;
        }
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type().map_err(|e| IoError::new("examine", entry.path(), e))?;
        if kind.is_dir() {
            walk(&entry.path(), &path, config, found)?;
            continue;
        }
        let is_file = kind.is_file() || (kind.is_symlink() && fs::is_file(entry.path()));
        if !index::is_module(&name) {
            // depmod follows links to directories, and warns about devices and dangling links.
            if is_file {
                continue;
            }
            return Err(LeftToDepmod::Special(entry.path()));
        }
        let stamp = stamp(&entry.path()).filter(|_| is_file);
        let stamp = stamp.ok_or_else(|| LeftToDepmod::NotAFile(entry.path()))?;
        found.push(FoundFile { path, stamp });
    }
    Ok(())
}

/// Returns a text that changes when the file changes; links are followed.
fn stamp(path: &Path) -> Option<String> {
    let Stat { size, inode, device, mtime, ctime } = Stat::following_links(path)?;
    Some(format!("{size}:{inode}:{device}:{mtime}:{ctime}"))
}

/// A module with its facts, from the cache or read from its file.
struct Record<'a> {
    file: &'a FoundFile,
    known: Option<&'a str>,
    read: String,
}

impl<'a> Record<'a> {
    fn read(file: &'a FoundFile, dir: &Path, cache: &Cache<'a>) -> Result<Self> {
        let known = cache.facts(&file.path, &file.stamp);
        let mut read = String::new();
        if known.is_none() {
            let path = || file.path.clone();
            let module = decompressed(&fs::read(dir.join(&file.path))?)
                .map_err(|source| LeftToDepmod::Compressed { path: path(), source })?;
            let facts =
                Facts::read(&module).map_err(|source| LeftToDepmod::Module { path: path(), source })?;
            facts.append_to(&mut read);
        }
        Ok(Self { file, known, read })
    }

    fn facts(&self) -> &str {
        self.known.unwrap_or(&self.read)
    }

    fn is_new(&self) -> bool {
        self.known.is_none()
    }
}

/// The lists beside the modules, which the kernel's package installs.
struct ListTexts {
    order: String,
    builtin: String,
    builtin_modinfo: Vec<u8>,
}

impl ListTexts {
    fn read(dir: &Path) -> Result<Self> {
        let read = |name: &str| fs::read_bounded(dir.join(name), Limit::INDEX);
        let text =
            |name: &str| String::from_utf8(read(name)?).map_err(|_| LeftToDepmod::NotText(name.into()));
        Ok(Self {
            order: text("modules.order")?,
            builtin: text("modules.builtin")?,
            builtin_modinfo: read("modules.builtin.modinfo")?,
        })
    }

    fn borrow(&self) -> Lists<'_> {
        Lists { order: &self.order, builtin: &self.builtin, builtin_modinfo: &self.builtin_modinfo }
    }
}
