//! Writes the index of a kernel's modules without depmod, if the result is the same as depmod's.
//!
//! depmod reads all modules of the kernel, 4,000 files or more. dkms caches the index data of each file in
//! `/var/lib/dkms/.index/K-A`, with the file's size, inode and times, so that only new modules are read.

use crate::event::{Event, Sink};
use crate::kernel::installed::decompressed;
use crate::system::System;
use dkms_sys::fs::{self, Limit, Stat};
use dkms_sys::process::{Command, Stream};
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use kmodule::index::{self, Cache, Config, Decline, Facts, IndexFile, Lists, Module, NewCache, Version};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// The directories of depmod.d(5). A file in a later directory hides files of the same name in earlier
/// directories.
const CONFIG_DIRS: [&str; 5] =
    ["/lib/depmod.d", "/usr/lib/depmod.d", "/usr/local/lib/depmod.d", "/run/depmod.d", "/etc/depmod.d"];

/// Whether [`make`] updates the cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Update {
    Cache,
    Nothing,
}

/// Returns the names of the index files that differ from those that depmod would write now; none if nothing
/// is cached for this kernel, because reading all of its modules would take seconds. Changes nothing.
pub(crate) fn differences(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Vec<&'static str> {
    let dir = system.layout.kernel_modules(&kernel.release);
    let is_cached = fs::is_file(system.layout.index_cache(kernel)) && fs::is_file(dir.join("modules.dep"));
    let Some(program) = dkms_sys::process::which("depmod", &system.host.path).filter(|_| is_cached) else {
        return Vec::new();
    };
    let differs = |file: &IndexFile| {
        !fs::read_bounded(dir.join(file.name), Limit::INDEX).is_ok_and(|bytes| bytes == file.bytes)
    };
    match make(system, sink, kernel, &dir, &program, Update::Nothing) {
        Ok(files) => files.iter().filter(|file| differs(file)).map(|file| file.name).collect(),
        Err(reason) => {
            let text = format!("the index of kernel {} is not compared: {reason}", kernel.release);
            sink.event(Event::Detail { text });
            Vec::new()
        }
    }
}

/// Returns the files that `depmod` at `program` would write into `dir`, the kernel's directory. Changes at
/// most the cache.
///
/// # Errors
/// The reason why depmod has to run: a version, a setting or a file for which our index may differ from
/// depmod's, because they were not compared.
pub(super) fn make(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    dir: &Path,
    program: &Path,
    update: Update,
) -> Result<Vec<IndexFile>, Decline> {
    if system.settings.framework.depmod == Some(true) {
        return Err(decline("depmod=program in framework.conf"));
    }
    let path = system.layout.index_cache(kernel);
    refuse_link(&path).map_err(|e| decline(e.to_string()))?;
    let text = fs::read_text(&path, Limit::RECORD).unwrap_or_default();
    let cache = Cache::parse(&text);
    let tool = Tool::find(program, cache.tool())?;
    let config = config(&kernel.release)?;
    let mut files = Vec::new();
    find_modules(dir, "", &config, &mut files)?;
    let selected = index::select(&files, &config)?.into_iter().filter_map(|at| files.get(at));
    let records = selected.map(|file| Record::read(file, dir, &cache)).collect::<Result<Vec<_>, _>>()?;
    let facts: Vec<Facts<'_>> = records.iter().map(|record| Facts::parse(&record.facts)).collect();
    let modules: Vec<Module<'_>> =
        records.iter().zip(&facts).map(|(record, facts)| Module { path: &record.file.path, facts }).collect();
    let read = |name| fs::read_bounded(dir.join(name), Limit::INDEX).map_err(|e| decline(e.to_string()));
    let text = |name| String::from_utf8(read(name)?).map_err(|_| decline(format!("{name} is not text")));
    let (order, builtin) = (text("modules.order")?, text("modules.builtin")?);
    let builtin_modinfo = read("modules.builtin.modinfo")?;
    let lists = Lists { order: &order, builtin: &builtin, builtin_modinfo: &builtin_modinfo };
    let index_files = index::write(tool.version, &modules, &lists)?;
    let changed =
        records.len() != cache.len() || records.iter().any(Record::is_new) || tool.line != cache.tool();
    if changed && update == Update::Cache && system.host.records_stamps() {
        write_cache(sink, &path, &tool, &records);
    }
    Ok(index_files)
}

/// Removes the caches of a kernel that is no longer installed: the cache of its index, and the cache of its
/// headers.
pub(super) fn forget(layout: &Layout, kernel: &Kernel) {
    for path in [layout.index_cache(kernel), layout.headers_cache(kernel)] {
        // A cache that stays behind only uses disk space.
        let _ = refuse_link(&path).and_then(|()| fs::remove_file(path));
    }
}

/// Writes the cache. A failure is only a detail, because the next index takes longer but is the same.
fn write_cache(sink: &dyn Sink, path: &Path, tool: &Tool, records: &[Record<'_>]) {
    let mut new = NewCache::new(&tool.line);
    for record in records {
        new.add(&record.file.path, &record.file.stamp, &record.facts);
    }
    let created = path.parent().map(fs::create_dir_all).transpose();
    if let Err(e) = created.and_then(|_| fs::write_atomic(path, new.finish().as_bytes(), 0o644)) {
        sink.event(Event::Detail { text: format!("the cache of the index cannot be written: {e}") });
    }
}

/// Checks that the directory of the cache is not a link: in an image it could lead anywhere.
fn refuse_link(cache: &Path) -> dkms_sys::Result<()> {
    cache.parent().map_or(Ok(()), fs::refuse_foreign_dir)
}

fn decline(reason: impl Into<String>) -> Decline {
    Decline::new(reason)
}

/// The depmod program of this system.
struct Tool {
    version: Version,
    /// The program's stamp and the first line of its `--version`.
    line: String,
}

impl Tool {
    /// `known` is the line that an earlier command recorded. The program runs only if its file has changed
    /// since.
    fn find(program: &Path, known: &str) -> Result<Self, Decline> {
        let stamp = stamp(program)
            .ok_or_else(|| decline(format!("{} does not exist any more", program.display())))?;
        let version = match known.split_once(' ') {
            Some((old, version)) if old == stamp => version.to_owned(),
            _ => run_version(program)?,
        };
        let supported = Version::from_line(&version)
            .ok_or_else(|| decline(format!("this is {version}, whose index was not compared with ours")))?;
        // musl's qsort leaves equal elements in another order than glibc's.
        if is_musl() {
            return Err(decline("the C library is musl"));
        }
        Ok(Self { version: supported, line: format!("{stamp} {version}") })
    }
}

/// Returns the first line of `depmod --version`.
fn run_version(program: &Path) -> Result<String, Decline> {
    let output = Command::new(program).args(["--version"]).stdout(Stream::Capture).stderr(Stream::Null).run();
    let output = output.map_err(|e| decline(e.to_string()))?;
    Ok(output.stdout_text().lines().next().unwrap_or_default().trim().to_owned())
}

fn is_musl() -> bool {
    let names = fs::list_dir("/lib").unwrap_or_default();
    names.iter().filter_map(|name| name.to_str()).any(|name| name.starts_with("ld-musl-"))
}

/// Reads the files of depmod.d for one kernel.
fn config(release: &str) -> Result<Config, Decline> {
    let mut files = BTreeMap::new();
    for dir in CONFIG_DIRS {
        for name in fs::list_dir_optional(dir).map_err(|e| decline(e.to_string()))? {
            let path = Path::new(dir).join(&name);
            let Some(name) = name.to_str().filter(|name| is_config(name)) else { continue };
            files.insert(name.to_owned(), path);
        }
    }
    let read = |path| fs::read_text(path, Limit::CONFIG).map_err(|e| decline(e.to_string()));
    let texts = files.values().map(read).collect::<Result<Vec<_>, _>>()?;
    let matches = |pattern: &str| dkms_sys::regex::matches(pattern, release).unwrap_or(false);
    Config::parse(texts.iter().map(String::as_str), &matches)
}

fn is_config(name: &str) -> bool {
    name.len() > 5 && name.ends_with(".conf") && !name.starts_with('.')
}

/// A module file below a kernel's directory.
struct ModuleFile {
    path: String,
    /// See [`stamp`].
    stamp: String,
}

impl AsRef<str> for ModuleFile {
    fn as_ref(&self) -> &str {
        &self.path
    }
}

/// Adds the module files in a directory to `files`, in directory order, in which depmod reads them. `prefix`
/// is the directory's path below the kernel's directory.
fn find_modules(
    dir: &Path,
    prefix: &str,
    config: &Config,
    files: &mut Vec<ModuleFile>,
) -> Result<(), Decline> {
    let error = |e: std::io::Error| decline(format!("{}: {e}", dir.display()));
    for entry in fs::read_dir(dir).map_err(|e| decline(e.to_string()))? {
        let Ok(name) = entry.file_name().into_string() else {
            return Err(decline(format!("{} is not text", entry.path().display())));
        };
        if config.excludes(&name) {
            continue;
        }
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().map_err(error)?;
        if kind.is_dir() {
            find_modules(&entry.path(), &path, config, files)?;
            continue;
        }
        let is_file = kind.is_file() || (kind.is_symlink() && fs::is_file(entry.path()));
        if !index::is_module(&name) {
            // depmod follows links to directories, and warns about devices and dangling links.
            if is_file {
                continue;
            }
            return Err(decline(format!("{} is neither a file nor a directory", entry.path().display())));
        }
        let stamp = stamp(&entry.path()).filter(|_| is_file);
        let stamp = stamp.ok_or_else(|| decline(format!("{} is not a file", entry.path().display())))?;
        files.push(ModuleFile { path, stamp });
    }
    Ok(())
}

/// Returns a text that changes when the file changes; links are followed.
fn stamp(path: &Path) -> Option<String> {
    let Stat { size, inode, device, mtime, ctime } = Stat::followed(path)?;
    Some(format!("{size}:{inode}:{device}:{mtime}:{ctime}"))
}

/// A module with its facts.
struct Record<'a> {
    file: &'a ModuleFile,
    /// Borrowed from the cache, or read from the file.
    facts: Cow<'a, str>,
}

impl<'a> Record<'a> {
    fn read(file: &'a ModuleFile, dir: &Path, cache: &Cache<'a>) -> Result<Self, Decline> {
        if let Some(facts) = cache.facts(&file.path, &file.stamp) {
            return Ok(Self { file, facts: Cow::Borrowed(facts) });
        }
        let bytes = fs::read(dir.join(&file.path)).map_err(|e| decline(e.to_string()))?;
        let module = decompressed(&bytes).map_err(|e| decline(format!("{}: {e}", file.path)))?;
        let mut facts = String::new();
        let read = Facts::read(&module).map_err(|e| decline(format!("{}: {e}", file.path)))?;
        read.append_to(&mut facts);
        Ok(Self { file, facts: Cow::Owned(facts) })
    }

    fn is_new(&self) -> bool {
        matches!(self.facts, Cow::Owned(_))
    }
}
