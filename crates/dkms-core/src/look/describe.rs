//! `dkms config`: shows how dkms evaluates a package's dkms.conf for one kernel. The schema is in
//! docs/json-schema.md.

use crate::build::{collect, recipe};
use crate::conf::load::{self, BashConstruct, EvaluatedFile, Loaded};
use crate::error::Result;
use crate::event::Sink;
use crate::host::Host;
use crate::kernel::{headers, toolchain};
use crate::system::System;
use dkms_conf::Diagnostic;
use dkms_conf::module_conf::ModuleEntry;
use dkms_tree::ids::{Build, Kernel, PackageId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The complete description. Its fields are the keys of the JSON output.
#[derive(Debug, Serialize)]
pub struct Description {
    /// Version of this schema.
    pub schema: u32,
    /// PACKAGE_NAME
    pub package: String,
    /// PACKAGE_VERSION
    pub version: String,
    /// The kernel release it was evaluated for.
    pub kernel: String,
    /// The architecture it was evaluated for.
    pub arch: String,
    /// The evaluated files, in order. Each file overrides the previous files.
    pub files: Vec<FileDescription>,
    /// The final value of every directive, by index.
    pub directives: BTreeMap<String, BTreeMap<usize, String>>,
    /// The modules.
    pub modules: Vec<ModuleDescription>,
    /// The reason why nothing would be built for this kernel; null if something would be built.
    pub excluded: Option<String>,
    /// The make command that would run in `build_directory`.
    pub make: Option<String>,
    /// The directory in which make would run.
    pub build_directory: PathBuf,
    /// Patches that would be applied, in order.
    pub patches: Vec<String>,
    /// BUILD_DEPENDS
    pub build_depends: Vec<String>,
    /// AUTOINSTALL
    pub autoinstall: bool,
    /// The kernel's headers, if they are installed.
    pub headers: Option<PathBuf>,
    /// Errors and warnings.
    pub problems: Vec<ProblemDescription>,
}

/// One file of the override chain.
#[derive(Debug, Serialize)]
pub struct FileDescription {
    /// Its path.
    pub path: PathBuf,
    /// "native" or "bash".
    pub evaluated: &'static str,
    /// The construct that required bash.
    pub because: Option<BashConstruct>,
}

/// One module.
#[derive(Debug, Serialize)]
pub struct ModuleDescription {
    /// Its index in the arrays.
    pub index: usize,
    /// The file that make produces, relative to the build directory.
    pub built: String,
    /// The name it is installed under, without suffixes.
    pub name: String,
    /// The directory it is installed to on this distribution, below `/lib/modules/K`.
    pub destination: String,
    /// The directory that DEST_MODULE_LOCATION contains.
    pub destination_written: String,
    /// Whether debugging symbols are stripped.
    pub strip: bool,
    /// The reason why it would not be built for this kernel.
    pub excluded: Option<String>,
}

/// One problem.
#[derive(Debug, Serialize)]
pub struct ProblemDescription {
    /// "error" or "warning".
    pub severity: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The line number, counted from 1; 0 means the complete file.
    pub line: u32,
    /// Its column, counted from 1.
    pub column: u32,
    /// The message.
    pub message: String,
    /// The suggested replacement.
    pub help: String,
}

/// Describes a registered package, or the package in a directory.
///
/// # Errors
/// The file is missing or cannot be evaluated. Errors in its content are part of the result.
pub fn describe(
    system: &System,
    sink: &dyn Sink,
    conf: &Path,
    package: Option<&PackageId>,
    kernel: &Kernel,
) -> Result<Description> {
    let (package, loaded) = load(system, sink, conf, package, kernel)?;
    let build = Build::new(&package, kernel);
    let config =
        headers::KernelConfig::read(&headers::config_path(&system.layout, &system.settings, &kernel.release));
    let exclusion = load::exclusion(&loaded, kernel, config.as_ref())?;
    let kernel_headers = headers::find(system, kernel).ok();
    let mut make = recipe::command_line(system, &build, &loaded)?;
    if let Some(headers) = &kernel_headers {
        make = toolchain::detect(&system.host, headers, &kernel.release).as_typed(&make);
    }
    let patches = loaded
        .conf
        .patches_for(&kernel.release, &crate::conf::regex_matches)
        .map_err(|e| load::bad_regex(&loaded, &e.to_string()))?;
    Ok(Description {
        schema: 1,
        package: package.name.clone(),
        version: package.version.clone(),
        kernel: kernel.release.to_string(),
        arch: kernel.arch.clone(),
        files: files(&loaded),
        directives: directives(&loaded),
        modules: modules(&system.host, &loaded, exclusion.modules),
        excluded: exclusion.whole,
        make: Some(make),
        build_directory: system.layout.build_dir(&package),
        patches: patches.into_iter().map(str::to_owned).collect(),
        build_depends: loaded.conf.build_depends.clone(),
        autoinstall: loaded.conf.autoinstall,
        headers: kernel_headers.map(|headers| headers.dir),
        problems: problems(&loaded),
    })
}

/// Loads a dkms.conf. If `package` is `None`, its name and version are those in the file.
fn load(
    system: &System,
    sink: &dyn Sink,
    conf: &Path,
    package: Option<&PackageId>,
    kernel: &Kernel,
) -> Result<(PackageId, Loaded)> {
    let loaded = load::load_file(system, sink, conf, package, kernel)?;
    if let Some(package) = package {
        return Ok((package.clone(), loaded));
    }
    let (name, version) = (&loaded.conf.package_name, &loaded.conf.package_version);
    match PackageId::new(name, version) {
        // The names of the administrator's files contain the name of the package.
        Ok(package) => {
            let loaded = load::load_file(system, sink, conf, Some(&package), kernel)?;
            Ok((package, loaded))
        }
        Err(_) => Ok((PackageId { name: name.clone(), version: version.clone() }, loaded)),
    }
}

/// The modules of a dkms.conf, each with the reason why BUILD_EXCLUSIVE excludes it.
fn modules(host: &Host, loaded: &Loaded, excluded: Vec<Option<String>>) -> Vec<ModuleDescription> {
    let describe = |(module, excluded): (&ModuleEntry, Option<String>)| ModuleDescription {
        index: module.index,
        built: format!("{}{}.ko", module.built_location, module.built_name),
        name: module.dest_name.clone(),
        destination: collect::destination(host, &module.dest_location),
        destination_written: module.dest_location.clone(),
        strip: module.strip,
        excluded,
    };
    loaded.conf.modules.iter().zip(excluded).map(describe).collect()
}

fn files(loaded: &Loaded) -> Vec<FileDescription> {
    let describe_file = |file: &EvaluatedFile| FileDescription {
        path: file.path.clone(),
        evaluated: if file.bash_because.is_none() { "native" } else { "bash" },
        because: file.bash_because.clone(),
    };
    loaded.files.iter().map(describe_file).collect()
}

fn directives(loaded: &Loaded) -> BTreeMap<String, BTreeMap<usize, String>> {
    let mut all: BTreeMap<String, BTreeMap<usize, String>> = BTreeMap::new();
    for (name, index, value) in loaded.directives.iter() {
        all.entry(name.to_owned()).or_default().insert(index, value.to_owned());
    }
    all
}

fn problems(loaded: &Loaded) -> Vec<ProblemDescription> {
    let describe_problem = |diagnostic: &Diagnostic| ProblemDescription {
        severity: diagnostic.severity.word(),
        path: diagnostic.path.clone(),
        line: diagnostic.at.as_ref().map_or(0, |at| at.line),
        column: diagnostic.at.as_ref().map_or(0, |at| at.column),
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
    };
    loaded.diagnostics.iter().map(describe_problem).collect()
}
