//! Replaces the programs in a kernel's headers, if the headers are for another machine.
//!
//! kbuild runs `fixdep`, `modpost` and other programs that are part of the headers. Headers for another
//! machine often contain programs for that machine. Usually, the headers do not contain the sources of these
//! programs, so they cannot be compiled for this machine. Instead, they run under qemu's user emulation. The
//! build sees a script at the path of each program, which starts the emulator with a copy of the program.
//! Only the build's own view of the file system changes, and binfmt_misc is not needed. [Decision
//! 25](../../../../docs/decisions/0025-foreign-architectures.md) has the reasons.

use crate::distro::Family;
use crate::error::Error;
use crate::host::Host;
use crate::kernel::headers::Headers;
use crate::kernel::machine::{self, Format};
use crate::program::ProgramError;
use crate::system::Settings;
use dkms_sys::fs::{self, ScannedKind, TempDir};
use dkms_sys::process::{quote, which};
use dkms_sys::sandbox::{Access, Place};
use std::path::{Path, PathBuf};

/// Directories of the headers that contain programs for kbuild.
const DIRECTORIES: [&str; 2] = ["scripts", "tools"];

/// The maximum number of files that are examined. A complete kernel source has about 10,000 in these
/// directories.
const MAX_FILES: usize = 100_000;

/// The maximum number of programs.
const MAX_PROGRAMS: usize = 200;

/// Scripts that replace programs that do not run on this machine.
#[derive(Debug)]
pub(super) struct HostPrograms {
    /// The directory of the scripts and of the copies of the programs; removed when dropped.
    _dir: TempDir,
    /// The mounts that show the scripts to builds.
    pub(super) places: Vec<Place>,
}

impl HostPrograms {
    /// Prepares the programs of these headers; `None` if all of them run on this machine.
    ///
    /// # Errors
    /// [`ProgramError::Missing`]: the emulator, or the libraries of the programs. Files cannot be read or
    /// written.
    pub(super) fn prepare(
        host: &Host,
        settings: &Settings,
        headers: &Headers,
    ) -> Result<Option<Self>, Error> {
        let programs = foreign_programs(host, &headers.dir)?;
        let Some((first, format)) = programs.first() else { return Ok(None) };
        let emulator = Emulator::find(host, first, *format)?;
        let dir = TempDir::new_in(&settings.tmp_location, "dkms-programs")?;
        fs::set_mode(dir.path(), 0o711)?;
        let mut places = vec![Place::new(dir.path(), Access::Read)];
        if let Some(root) = &emulator.root {
            places.extend(libraries(root, dir.path())?);
        }
        for (number, (program, _)) in programs.iter().enumerate() {
            let copy = dir.path().join(format!("program{number}"));
            fs::copy_file(program, &copy)?;
            fs::set_mode(&copy, 0o755)?;
            let script = dir.path().join(format!("script{number}"));
            fs::create_new(&script, emulator.script(dir.path(), &copy).as_bytes(), 0o755)?;
            places.push(Place { source: script, target: program.clone(), access: Access::Read });
        }
        Ok(Some(Self { _dir: dir, places }))
    }
}

/// The programs of the headers that do not run on this machine, by their real paths.
fn foreign_programs(host: &Host, headers: &Path) -> Result<Vec<(PathBuf, Format)>, Error> {
    let mut programs = Vec::new();
    for name in DIRECTORIES {
        let Ok(dir) = fs::canonicalize(headers.join(name)) else { continue };
        let entries = fs::scan(&dir, &|_, _| true, MAX_FILES)?;
        let executable = entries.into_iter().filter(|entry| entry.kind == ScannedKind::Executable);
        let with_format = executable.filter_map(|e| Some((Format::of_file(&e.path)?, e.path)));
        let foreign = with_format.filter(|(format, _)| !format.runs_on(&host.machine));
        programs.extend(foreign.map(|(format, path)| (path, format)));
    }
    programs.sort_by(|a: &(PathBuf, _), b| a.0.cmp(&b.0));
    programs.truncate(MAX_PROGRAMS);
    Ok(programs)
}

/// Links the libraries of another machine's system below `root` in `dir`, where the emulator finds them.
/// Returns the directories that builds must be able to read.
fn libraries(root: &Path, dir: &Path) -> Result<Vec<Place>, Error> {
    let top = dir.join("root");
    fs::create_dir_all(top.join("usr"))?;
    let mut places = Vec::new();
    for name in ["lib", "lib64", "usr/lib"] {
        // A link in another system must not point outside of that system.
        let real = fs::canonicalize(root.join(name)).ok();
        let Some(real) = real.filter(|real| real.starts_with(root) && fs::is_dir(real)) else { continue };
        let link = top.join(name);
        std::os::unix::fs::symlink(&real, &link).map_err(|e| dkms_sys::IoError::new("create", &link, e))?;
        places.push(Place::new(real, Access::Read));
    }
    Ok(places)
}

/// qemu's user emulation of another machine.
struct Emulator {
    program: PathBuf,
    /// The directory that contains the libraries of the programs; `None` if they need none.
    root: Option<PathBuf>,
}

impl Emulator {
    /// Finds the emulator for the programs of the headers. `example` is one of these programs.
    fn find(host: &Host, example: &Path, format: Format) -> Result<Self, Error> {
        let missing = |program: &str, package: String| {
            let name = format.emulator().map_or("another machine", |(name, _)| name);
            let purpose = format!(
                "run the programs in the headers, which are for {name} and not for {}: {}",
                host.machine,
                example.display()
            );
            Error::Program(ProgramError::Missing { program: program.to_owned(), purpose, package })
        };
        let package = |program: &str| host.program_package(program);
        let or_native = |package: String| {
            let own_machine = machine::debian_name(&host.machine);
            match example.iter().filter_map(|c| c.to_str()).find(|c| c.starts_with("linux-kbuild-")) {
                Some(kbuild) => format!("{kbuild}:{own_machine} or {package}"),
                None => package,
            }
        };
        let Some((name, emulator)) = format.emulator() else {
            return Err(missing("qemu", or_native(package("qemu-user"))));
        };
        let candidates = [emulator.to_owned(), format!("{emulator}-static")];
        let Some(program) = candidates.iter().find_map(|program| which(program, &host.path)) else {
            return Err(missing(emulator, or_native(package(emulator))));
        };
        let Some(loader) = interpreter(example) else { return Ok(Self { program, root: None }) };
        let below = |root: &Path| root.join(loader.strip_prefix('/').unwrap_or(&loader));
        let roots = host.other_root.iter().cloned().chain(machine::libraries_of(name));
        match roots.into_iter().find(|root| fs::exists_followed(below(root))) {
            Some(root) => Ok(Self { program, root: Some(root) }),
            None => {
                let libraries = format!("libc6-{}-cross", machine::debian_name(name));
                let family = host.distribution.as_ref().map(|d| d.family());
                let debian = matches!(family, Some(Family::Debian | Family::Ubuntu));
                let package = if debian { libraries } else { format!("with {loader} of {name}") };
                Err(missing(&loader, package))
            }
        }
    }

    /// The script that replaces a program. It runs the copy with the original name as `argv[0]`.
    fn script(&self, dir: &Path, copy: &Path) -> String {
        let libraries =
            self.root.as_ref().map_or_else(String::new, |_| format!(" -L {}", quote(dir.join("root"))));
        format!("#!/bin/sh\nexec {} -0 \"$0\"{libraries} {} \"$@\"\n", quote(&self.program), quote(copy))
    }
}

/// Returns the program interpreter (the dynamic loader) of a dynamically linked program.
fn interpreter(program: &Path) -> Option<String> {
    let mut file = fs::open(program).ok()?;
    let bytes = kmodule::vmlinux::read_section(&mut file, ".interp", 256).ok()??;
    let text = bytes.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok().filter(|path| path.starts_with('/') && !path.contains("/.."))
}
