//! Reads the facts about a kernel: its symbols, its own modules, the modules of dkms, and kmod's formats.

use crate::event::Sink;
use crate::installed::installed_files;
use crate::kernel::headers;
use crate::kernel::installed::MODULE_LIMIT;
use crate::look::status::{self, Filter, State};
use crate::system::{Settings, System};
use dkms_sys::process::{Command, Stream};
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::layout::Layout;
use dkms_tree::state::module_stem;
use kmodule::ModuleName;
use kmodule::symvers::Symvers;
use kmodule::verdict::{File, Loader};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What one of the kernel's own modules shows about all of them.
#[derive(Debug)]
pub(super) struct Sample {
    pub vermagic: String,
    /// The size of `struct module`.
    pub struct_module: Option<u64>,
    /// The offsets in `struct module` of the pointers to the init and exit functions.
    pub entry_places: Option<(u64, u64)>,
    /// The issuer of the certificate that signed it; empty if it is unsigned.
    pub signer: String,
}

/// Reads the symbols that a kernel and its modules export, from its headers, from the file that Fedora and
/// RHEL install next to the image, or from the image itself. Also returns the path of the file.
pub(super) fn symbols(layout: &Layout, settings: &Settings, kernel: &Kernel) -> Option<(Symvers, PathBuf)> {
    let release = &kernel.release;
    let modules = layout.kernel_modules(release);
    let boot = |name: String| layout.boot_dir.join(name);
    let mut lists = vec![headers::source_dir(layout, settings, release).join("Module.symvers")];
    for suffix in [".gz", ".xz", ".zst", ""] {
        lists.push(modules.join(format!("symvers{suffix}")));
        lists.push(boot(format!("symvers-{release}{suffix}")));
    }
    for path in lists {
        let Ok(bytes) = dkms_sys::fs::read_bounded(&path, dkms_sys::fs::Limit::INDEX) else { continue };
        let plain = match kmodule::Compression::detect_module(&bytes) {
            None => Some(bytes),
            Some(_) => kmodule::compress::decompress(&bytes, MODULE_LIMIT).ok(),
        };
        let symbols = plain.and_then(|bytes| Symvers::from_vec(bytes).ok());
        if let Some(symbols) = symbols.filter(|symbols| !symbols.is_empty()) {
            return Some((symbols, path));
        }
    }
    let images = IMAGES.map(|image| boot(format!("{image}-{release}")));
    std::iter::once(modules.join(IMAGES[0])).chain(images).find_map(|path| {
        let packed = dkms_sys::fs::read(&path).ok()?;
        let elf = kmodule::image::unpack(&packed).ok()?;
        let symbols = kmodule::exports::read_vmlinux(&elf).ok().filter(|symbols| !symbols.is_empty())?;
        Some((symbols, path))
    })
}

/// The file names of kernel images. Debian's images for riscv64 and ppc64el are not compressed.
const IMAGES: [&str; 3] = ["vmlinuz", "Image", "vmlinux"];

/// Returns whether a file is a kernel image, by its name.
pub(super) fn is_image(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| IMAGES.iter().any(|image| name.starts_with(image)))
}

/// Reads one of the kernel's own modules: the smallest module of the first directory that has one, because
/// any module will do.
pub(super) fn sample(own: &Path) -> Option<Sample> {
    let mut pending = vec![own.to_owned()];
    while let Some(dir) = pending.pop() {
        let mut entries = dkms_sys::fs::read_dir(&dir).ok()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let file = |entry: &std::fs::DirEntry| {
            entry.file_name().to_str().and_then(module_stem)?;
            Some((entry.metadata().ok().filter(std::fs::Metadata::is_file)?.len(), entry.path()))
        };
        let mut files: Vec<(u64, PathBuf)> = entries.iter().filter_map(file).collect();
        files.sort();
        for (_, path) in files {
            let Ok(bytes) = dkms_sys::fs::read(&path) else { continue };
            let file = File::read(&bytes, MODULE_LIMIT);
            if let Some((module, vermagic)) = file.module().and_then(|m| Some((m, m.modinfo.vermagic()?))) {
                let signer = kmodule::sign::signature(file.plain()).map_or_else(String::new, |s| s.signer);
                let (vermagic, struct_module) = (vermagic.to_owned(), module.this_module_size);
                let entry_places = file.entry_places();
                return Some(Sample { vermagic, struct_module, entry_places, signer });
            }
        }
        let directories = entries.iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        pending.extend(directories.map(std::fs::DirEntry::path));
    }
    None
}

/// Returns the names and files of the modules that dkms installed for a kernel.
pub(super) fn installed_by_dkms(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
) -> BTreeMap<ModuleName, PathBuf> {
    let filter = Filter::of_kernel(&kernel.release);
    let mut modules = BTreeMap::new();
    for entry in status::status(system, sink, &filter) {
        if let State::Installed(kernel) = &entry.kind {
            let files = installed_files(system, sink, &Build::new(&entry.package, kernel));
            let present = files.into_iter().filter(|file| file.present);
            modules.extend(present.map(|file| (ModuleName::new(&file.name), file.path)));
        }
    }
    modules
}

/// Returns the version of kmod, and the formats it reads (`kmod --version`).
pub(super) fn kmod(path: &std::ffi::OsStr) -> Option<(u32, Loader)> {
    let done = Command::new(dkms_sys::process::which("kmod", path)?)
        .arg("--version")
        .stdout(Stream::Capture)
        .stderr(Stream::Null)
        .timeout(Duration::from_secs(10))
        .run()
        .ok()?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let version = text.split_whitespace().find_map(|word| word.parse().ok())?;
    let reads = |name: &str| {
        text.split_whitespace().find_map(|word| match word.strip_suffix(name)? {
            "+" => Some(true),
            "-" => Some(false),
            _ => None,
        })
    };
    Some((version, Loader { gzip: reads("ZLIB"), xz: reads("XZ"), zstd: reads("ZSTD"), kernel: None }))
}
