//! The compiler and linker that a kernel was built with, which its modules need too.

use crate::error::Result;
use crate::kernel::headers::Headers;
use crate::session::Host;
use dkms_sys::process::{Command, Stdin, Stream};
use std::time::Duration;

/// The settings with which a build uses the kernel's own tools.
#[derive(Clone, Debug, Default)]
pub struct Toolchain {
    /// `CC`, `KERNEL_CC`, `LD` and `KERNEL_LD`, if they are known and installed.
    pub environment: Vec<(String, String)>,
    /// Whether `LLVM=1` is appended to the make command.
    pub llvm: bool,
    /// The program that strips debugging symbols.
    pub strip: &'static str,
    /// `CONFIG_CC_VERSION_TEXT`, for the manifest.
    pub compiler: String,
    /// The compiler that the kernel names, if it is not installed.
    pub missing: Option<String>,
}

/// Detects what a kernel was built with, from `.kernelvariables` of its headers, `CONFIG_CC_VERSION_TEXT`,
/// `CONFIG_CC_IS_CLANG` and `CONFIG_LD_IS_LLD`. Whether it was clang, the `.comment` section of a `vmlinux`
/// beside the headers decides, if there is one.
///
/// # Errors
/// An interrupt.
pub fn detect(host: &Host, headers: &Headers) -> Result<Toolchain> {
    let mut t = Toolchain { strip: "strip", ..Toolchain::default() };
    let here = |program: &str| dkms_sys::process::which(program, &host.path).is_some();
    if let Some(cc) = kernel_variables_cc(host, headers) {
        t.set("CC", &cc);
    }
    let mut clang = false;
    if let Some(config) = &headers.config {
        let text = config.value("CONFIG_CC_VERSION_TEXT").unwrap_or_default();
        t.compiler = text.to_owned();
        if let Some(cc) = text.split(' ').next().filter(|w| !w.is_empty()) {
            if here(cc) {
                t.set("CC", cc);
                t.set("KERNEL_CC", cc);
            } else {
                t.missing = Some(cc.to_owned());
            }
        }
        if config.enabled("CONFIG_CC_IS_CLANG") {
            clang = true;
            if here("clang") {
                t.set("CC", "clang");
                t.set("KERNEL_CC", "clang");
            }
        }
        if config.enabled("CONFIG_LD_IS_LLD") && here("ld.lld") {
            t.set("LD", "ld.lld");
            t.set("KERNEL_LD", "ld.lld");
        }
    }
    let vmlinux = headers.dir.join("vmlinux");
    if let Ok(mut file) = dkms_sys::fs::open(&vmlinux) {
        if let Ok(Some(comment)) = kmodule::vmlinux::read_section(&mut file, ".comment", 64 * 1024) {
            clang = String::from_utf8_lossy(&comment).contains("clang");
        }
    }
    t.llvm = clang;
    let uses_clang = t.environment.iter().any(|(k, v)| k == "CC" && v.starts_with("clang"));
    if (clang || uses_clang) && here("llvm-strip") {
        t.strip = "llvm-strip";
    }
    Ok(t)
}

impl Toolchain {
    /// The program that strips debugging symbols.
    pub fn strip_program(&self) -> &'static str {
        if self.strip.is_empty() { "strip" } else { self.strip }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(k, _)| k != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }
}

/// The compiler in `.kernelvariables`, a makefile that Debian's headers of old kernels have. make evaluates
/// it.
fn kernel_variables_cc(host: &Host, headers: &Headers) -> Option<String> {
    let file = headers.dir.join(".kernelvariables");
    if !file.is_file() {
        return None;
    }
    let program = dkms_sys::process::which("make", &host.path)?;
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
