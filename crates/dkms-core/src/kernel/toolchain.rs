//! The compiler and linker that a kernel was built with, which its modules need too.

use crate::host::Host;
use crate::kernel::compiler::{Compiler, Llvm};
use crate::kernel::headers::Headers;
use crate::kernel::machine::{Cross, Machine};
use dkms_sys::process::{Command, Stdin, Stream};
use std::path::PathBuf;
use std::time::Duration;

/// The settings that make a build use the tools that the kernel was built with.
#[derive(Clone, Debug, Default)]
pub struct Toolchain {
    /// `CC`, `KERNEL_CC`, `LD` and `KERNEL_LD`, if they are known and installed; `LLVM` for a kernel that
    /// clang compiled. `LLVM` is in the environment so that every make that the MAKE line starts gets it.
    pub environment: Vec<(String, String)>,
    /// The value of `LLVM` for a kernel that clang compiled.
    pub llvm: Option<String>,
    /// The program that strips debugging symbols; empty means `strip`.
    strip: String,
    /// `CONFIG_CC_VERSION_TEXT`, for the manifest.
    pub compiler: String,
    /// The tools that the kernel was built with and that are not installed.
    pub missing: Option<Missing>,
    /// The toolchain for another machine, if the compilers of this system do not compile for the kernel's
    /// machine.
    pub foreign: Option<Foreign>,
}

/// The toolchain for the modules of another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The machine, as `uname -m` prints it.
    pub machine: &'static str,
    /// The prefix of its programs; empty with clang, which compiles for all machines.
    pub prefix: String,
    /// The compiler, if it is not installed.
    pub missing: Option<String>,
}

/// Tools that modules for a kernel need, and that are not installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The compiler of the kernel: `clang 18`, `gcc-12`.
    pub compiler: String,
    /// The programs.
    pub programs: Vec<String>,
}

/// Detects the toolchain of a kernel, from `.kernelvariables` in its headers, `CONFIG_CC_VERSION_TEXT`,
/// `CONFIG_CC_IS_CLANG` and `CONFIG_LD_IS_LLD`. If the headers have a `vmlinux`, its `.comment` section
/// decides whether the compiler was clang.
pub fn detect(host: &Host, headers: &Headers, release: &str) -> Toolchain {
    let mut toolchain = Toolchain::default();
    let find = |program: &str| dkms_sys::process::which(program, &host.path);
    let is_installed = |program: &String| find(program).is_some();
    let fixed = kernel_variables_cc(host, headers);
    if let Some(cc) = &fixed {
        toolchain.set("CC", cc);
    }
    let config = headers.config.as_ref();
    let enabled = |name: &str| config.is_some_and(|config| config.enabled(name));
    toolchain.compiler =
        config.and_then(|config| config.value("CONFIG_CC_VERSION_TEXT")).unwrap_or_default().to_owned();
    let mut compiler = Compiler::from_version_text(&toolchain.compiler);
    if let Some(Compiler::Other { program }) = &compiler {
        if is_installed(program) {
            toolchain.set_all(["CC", "KERNEL_CC"], program);
        } else {
            toolchain.missing = Some(Missing { compiler: program.clone(), programs: vec![program.clone()] });
        }
    }
    let mut is_clang = enabled("CONFIG_CC_IS_CLANG") || matches!(compiler, Some(Compiler::Clang { .. }));
    if let Some(comment) = comment_of_vmlinux(headers) {
        is_clang = comment.contains("clang");
        if is_clang && !matches!(compiler, Some(Compiler::Clang { .. })) {
            compiler = Compiler::from_version_text(&comment);
        }
    }
    let mut suffix = String::new();
    if is_clang {
        let major = compiler.as_ref().and_then(Compiler::clang_major);
        suffix = toolchain.use_llvm(Llvm::choose(major, release, find), major);
        let program = format!("clang{suffix}");
        if is_installed(&program) {
            toolchain.set_all(["CC", "KERNEL_CC"], &program);
        }
        let candidates = [format!("llvm-strip{suffix}"), "llvm-strip".to_owned()];
        toolchain.strip = candidates.into_iter().find(is_installed).unwrap_or_default();
    }
    if enabled("CONFIG_LD_IS_LLD") {
        let candidates = [format!("ld.lld{suffix}"), "ld.lld".to_owned()];
        if let Some(linker) = candidates.into_iter().find(is_installed) {
            toolchain.set_all(["LD", "KERNEL_LD"], &linker);
        }
    }
    let machine = config.and_then(Machine::of_config);
    if let Some(machine) = machine.filter(|machine| !machine.is_native()) {
        toolchain.use_foreign(host, machine, compiler.as_ref(), fixed.as_deref(), find);
    }
    toolchain
}

impl Toolchain {
    /// Configures the toolchain for another machine. Variables that the caller sets are not changed. `fixed`
    /// is the compiler that the makefiles of the headers set.
    fn use_foreign(
        &mut self,
        host: &Host,
        machine: &'static Machine,
        compiler: Option<&Compiler>,
        fixed: Option<&str>,
        find: impl Fn(&str) -> Option<PathBuf>,
    ) {
        let caller_value = |name: &str| {
            let variable = host.environment.iter().find(|(other, value)| other == name && !value.is_empty());
            variable.and_then(|(_, value)| value.to_str())
        };
        if caller_value("ARCH").is_none() {
            self.set("ARCH", machine.arch);
        }
        let mut foreign = Foreign { machine: machine.name, prefix: String::new(), missing: None };
        if self.llvm.is_some() {
            foreign.missing = self.missing.as_ref().and_then(|missing| missing.programs.first().cloned());
        } else {
            let fixed = fixed.filter(|program| program.contains("gcc"));
            let kernel_compiler = match (fixed, compiler) {
                (Some(program), _) => program,
                (None, Some(Compiler::Other { program })) => program,
                _ => "",
            };
            let prefix = caller_value("CROSS_COMPILE");
            let cross = Cross::choose(machine, kernel_compiler, fixed.is_some(), prefix, find);
            self.set("CROSS_COMPILE", &cross.prefix);
            self.set_all(["CC", "KERNEL_CC"], &cross.compiler);
            self.strip = format!("{}strip", cross.prefix);
            // Only the compiler for the other machine is needed.
            self.missing = None;
            foreign.missing = (!cross.is_installed).then_some(cross.compiler);
            foreign.prefix = cross.prefix;
        }
        self.foreign = Some(foreign);
    }

    /// Returns the program that strips debugging symbols.
    pub fn strip_program(&self) -> &str {
        if self.strip.is_empty() { "strip" } else { &self.strip }
    }

    /// Returns the objcopy that kbuild uses.
    pub(crate) fn objcopy(&self) -> String {
        match self.llvm.as_deref() {
            Some(suffix) if suffix.starts_with('-') => format!("llvm-objcopy{suffix}"),
            Some(_) => "llvm-objcopy".into(),
            None => format!("{}objcopy", self.foreign.as_ref().map_or("", |foreign| &foreign.prefix)),
        }
    }

    /// Returns a command line as a user would type it, with the most important variables before it.
    pub(crate) fn as_typed(&self, line: &str) -> String {
        let is_shown =
            |(name, _): &&(String, String)| ["ARCH", "CROSS_COMPILE", "LLVM"].contains(&name.as_str());
        let words = self.environment.iter().filter(is_shown).map(|(name, value)| format!("{name}={value} "));
        words.chain([line.to_owned()]).collect()
    }

    /// Configures the toolchain for this LLVM. Returns the suffix of its programs.
    fn use_llvm(&mut self, llvm: Llvm, major: Option<&str>) -> String {
        self.set("LLVM", &llvm.value);
        self.llvm = Some(llvm.value);
        self.missing = (!llvm.missing.is_empty()).then(|| Missing {
            compiler: major.map_or_else(|| "clang".to_owned(), |major| format!("clang {major}")),
            programs: llvm.missing,
        });
        llvm.suffix
    }

    fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    fn set_all(&mut self, names: [&str; 2], value: &str) {
        names.iter().for_each(|name| self.set(name, value));
    }
}

/// Returns the `.comment` section of the headers' `vmlinux`, to which compilers write their version.
fn comment_of_vmlinux(headers: &Headers) -> Option<String> {
    let mut file = dkms_sys::fs::open(headers.dir.join("vmlinux")).ok()?;
    let comment = kmodule::vmlinux::read_section(&mut file, ".comment", 64 * 1024).ok()??;
    Some(String::from_utf8_lossy(&comment).replace('\0', " "))
}

/// Returns the compiler in `.kernelvariables`, a makefile in Debian's headers of old kernels. It is evaluated
/// with make.
fn kernel_variables_cc(host: &Host, headers: &Headers) -> Option<String> {
    let file = headers.dir.join(".kernelvariables");
    if !file.is_file() {
        return None;
    }
    let program: PathBuf = dkms_sys::process::which("make", &host.path)?;
    let makefile = format!("include {}\ndkms-print-cc:\n\t@printf '%s' '$(CC)'\n", file.display());
    let done = Command::new(program)
        .args(["-s", "-f", "-", "dkms-print-cc"])
        .env("PATH", &host.path)
        .stdin(Stdin::Bytes(makefile.into_bytes()))
        .stdout(Stream::Capture)
        .stderr(Stream::Null)
        .timeout(Duration::from_secs(10))
        .run()
        .ok()?;
    let cc = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    (done.status.success() && !cc.is_empty()).then_some(cc)
}
