//! The compiler and linker that a kernel was built with, which its modules need too.

use crate::error::Result;
use crate::host::Host;
use crate::kernel::compiler::{Compiler, Llvm};
use crate::kernel::headers::Headers;
use crate::kernel::machine::{Cross, Machine};
use dkms_sys::process::{Command, Stdin, Stream};
use std::path::PathBuf;
use std::time::Duration;

/// The settings with which a build uses the kernel's own tools.
#[derive(Clone, Debug, Default)]
pub struct Toolchain {
    /// `CC`, `KERNEL_CC`, `LD` and `KERNEL_LD`, if they are known and installed; `LLVM` for a kernel that
    /// clang compiled. In the environment, LLVM reaches every make that the MAKE line starts.
    pub environment: Vec<(String, String)>,
    /// The value of `LLVM` for a kernel that clang compiled.
    pub llvm: Option<String>,
    /// The program that strips debugging symbols; empty means `strip`.
    strip: String,
    /// `CONFIG_CC_VERSION_TEXT`, for the manifest.
    pub compiler: String,
    /// The tools that the kernel was built with and that are not installed.
    pub missing: Option<Missing>,
    /// For a kernel of another machine, for which this system's own compilers do not compile.
    pub foreign: Option<Foreign>,
}

/// The toolchain for modules of another machine.
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

/// Detects the toolchain of a kernel, from `.kernelvariables` of its headers, `CONFIG_CC_VERSION_TEXT`,
/// `CONFIG_CC_IS_CLANG` and `CONFIG_LD_IS_LLD`. If there is a `vmlinux` beside the headers, its `.comment`
/// section decides whether it was clang.
///
/// # Errors
/// An interrupt.
pub fn detect(host: &Host, headers: &Headers, release: &str) -> Result<Toolchain> {
    let mut tools = Toolchain::default();
    let find = |program: &str| dkms_sys::process::which(program, &host.path);
    let fixed = kernel_variables_cc(host, headers);
    if let Some(cc) = &fixed {
        tools.set("CC", cc);
    }
    let config = |name: &str| headers.config.as_ref().and_then(|c| c.value(name)).unwrap_or_default();
    tools.compiler = config("CONFIG_CC_VERSION_TEXT").to_owned();
    let mut compiler = Compiler::from_version_text(&tools.compiler);
    if let Some(Compiler::Other { program }) = &compiler {
        if find(program).is_some() {
            tools.set("CC", program);
            tools.set("KERNEL_CC", program);
        } else {
            tools.missing = Some(Missing { compiler: program.clone(), programs: vec![program.clone()] });
        }
    }
    let enabled = |name: &str| headers.config.as_ref().is_some_and(|c| c.enabled(name));
    let mut clang = enabled("CONFIG_CC_IS_CLANG") || matches!(compiler, Some(Compiler::Clang { .. }));
    if let Some(comment) = comment_of_vmlinux(headers) {
        clang = comment.contains("clang");
        if clang && !matches!(compiler, Some(Compiler::Clang { .. })) {
            compiler = Compiler::from_version_text(&comment);
        }
    }
    let mut suffix = String::new();
    if clang {
        let major = compiler.as_ref().and_then(Compiler::clang_major);
        suffix = tools.use_llvm(&Llvm::choose(major, release, find), major);
        for name in ["CC", "KERNEL_CC"] {
            let program = format!("clang{suffix}");
            if find(&program).is_some() {
                tools.set(name, &program);
            }
        }
    }
    if enabled("CONFIG_LD_IS_LLD") {
        let candidates = [format!("ld.lld{suffix}"), "ld.lld".to_owned()];
        if let Some(linker) = candidates.iter().find(|p| find(p).is_some()) {
            tools.set("LD", linker);
            tools.set("KERNEL_LD", linker);
        }
    }
    if clang {
        let candidates = [format!("llvm-strip{suffix}"), "llvm-strip".to_owned()];
        tools.strip = candidates.into_iter().find(|p| find(p).is_some()).unwrap_or_default();
    }
    let machine = headers.config.as_ref().and_then(Machine::of_config);
    if let Some(machine) = machine.filter(|machine| !machine.is_native()) {
        tools.use_foreign(host, machine, compiler.as_ref(), fixed.as_deref(), find);
    }
    Ok(tools)
}

impl Toolchain {
    /// Configures the toolchain for another machine. Variables that the caller sets are not changed. `fixed`:
    /// the compiler that the makefiles of the headers set.
    fn use_foreign(
        &mut self,
        host: &Host,
        machine: &'static Machine,
        compiler: Option<&Compiler>,
        fixed: Option<&str>,
        find: impl Fn(&str) -> Option<PathBuf>,
    ) {
        let of_caller = |name: &str| {
            let value = host.environment.iter().find(|(n, value)| n == name && !value.is_empty());
            value.and_then(|(_, value)| value.to_str())
        };
        if of_caller("ARCH").is_none() {
            self.set("ARCH", machine.arch);
        }
        let mut foreign = Foreign { machine: machine.name, prefix: String::new(), missing: None };
        if self.llvm.is_some() {
            foreign.missing = self.missing.as_ref().and_then(|missing| missing.programs.first().cloned());
        } else {
            let fixed = fixed.filter(|program| program.contains("gcc"));
            let wanted = match (fixed, compiler) {
                (Some(program), _) => program,
                (None, Some(Compiler::Other { program })) => program,
                _ => "",
            };
            let given = of_caller("CROSS_COMPILE");
            let cross = Cross::choose(machine, wanted, fixed.is_some(), given, find);
            self.set("CROSS_COMPILE", &cross.prefix);
            for name in ["CC", "KERNEL_CC"] {
                self.set(name, &cross.compiler);
            }
            self.strip = format!("{}strip", cross.prefix);
            // The error names the compiler for the other machine.
            self.missing = None;
            foreign.missing = (!cross.is_installed).then_some(cross.compiler);
            foreign.prefix = cross.prefix;
        }
        self.foreign = Some(foreign);
    }

    /// The program that strips debugging symbols.
    pub fn strip_program(&self) -> &str {
        if self.strip.is_empty() { "strip" } else { &self.strip }
    }

    /// The objcopy that kbuild uses.
    pub(crate) fn objcopy(&self) -> String {
        match self.llvm.as_deref() {
            Some(suffix) if suffix.starts_with('-') => format!("llvm-objcopy{suffix}"),
            Some(_) => "llvm-objcopy".into(),
            None => format!("{}objcopy", self.foreign.as_ref().map_or("", |foreign| &foreign.prefix)),
        }
    }

    /// A command line as one would type it, with the variables that matter most.
    pub(crate) fn as_typed(&self, line: &str) -> String {
        let shown =
            |(name, _): &&(String, String)| ["ARCH", "CROSS_COMPILE", "LLVM"].contains(&name.as_str());
        let words = self.environment.iter().filter(shown).map(|(name, value)| format!("{name}={value} "));
        words.chain([line.to_owned()]).collect()
    }

    /// Takes over the choice, and returns the suffix of its programs.
    fn use_llvm(&mut self, llvm: &Llvm, major: Option<&str>) -> String {
        self.set("LLVM", &llvm.value);
        self.llvm = Some(llvm.value.clone());
        self.missing = (!llvm.missing.is_empty()).then(|| Missing {
            compiler: major.map_or_else(|| "clang".to_owned(), |major| format!("clang {major}")),
            programs: llvm.missing.clone(),
        });
        llvm.suffix.clone()
    }

    fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(k, _)| k != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }
}

/// The `.comment` section of the headers' `vmlinux`, which compilers write.
fn comment_of_vmlinux(headers: &Headers) -> Option<String> {
    let mut file = dkms_sys::fs::open(headers.dir.join("vmlinux")).ok()?;
    let comment = kmodule::vmlinux::read_section(&mut file, ".comment", 64 * 1024).ok()??;
    Some(String::from_utf8_lossy(&comment).replace('\0', " "))
}

/// The compiler in `.kernelvariables`, a makefile that Debian's headers of old kernels have. make evaluates
/// it.
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
