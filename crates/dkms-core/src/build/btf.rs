//! Adds BTF to modules if kbuild could not generate it.
//!
//! BTF describes a module's types and functions to BPF programs. kbuild generates it from debugging symbols.
//! It is relative to the BTF of the kernel, which kbuild reads from `vmlinux` in the headers. If the headers
//! have no `vmlinux`, dkms reads the BTF from the kernel's image. It runs the same programs with the same
//! options, except that pahole does not run in parallel, because then its output has no fixed order.
//!
//! The programs read the module, which is untrusted, so they run in the sandbox. If this fails, the module is
//! installed without BTF, as kbuild built it.

use super::NotForKernel;
use super::context::{self, Context};
use super::kernel_btf::{self, Base, Btf, BtfError, find_pahole};
use super::sandbox::Change;
use crate::error::Result;
use dkms_sys::process::{Command, Stdin, Stream};
use dkms_sys::sandbox::{Access, Place};
use kmodule::image;
use std::path::Path;
use std::time::Duration;

/// The time limit for one program. Debian's largest module package takes a few seconds.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A makefile that prints kbuild's options for pahole. The file with these options has different names in
/// older kernels, or does not exist.
const OPTIONS: &[u8] = b"\
PAHOLE ?= pahole
KBUILD_EXTMOD := .
include scripts/Kbuild.include
-include include/config/auto.conf
-include scripts/Makefile.btf
ifeq ($(wildcard scripts/Makefile.btf),)
PAHOLE_FLAGS := $(if $(wildcard scripts/pahole-flags.sh),$(shell PAHOLE=$(PAHOLE) sh scripts/pahole-flags.sh))
endif
dkms:
\t@echo 'options: $(PAHOLE_FLAGS) $(MODULE_PAHOLE_FLAGS)'
";

/// Returns kbuild's options for pahole and this kernel.
fn pahole_options(context: &Context<'_>) -> Result<Vec<String>, BtfError> {
    let make = dkms_sys::process::which("make", &context.system.host.path).unwrap_or_else(|| "make".into());
    let command = context
        .sandbox
        .command(make)
        .args(["-s", "--no-print-directory", "-f", "-", "-C"])
        .arg(&context.target.headers.dir)
        .arg("dkms")
        .stdin(Stdin::Bytes(OPTIONS.to_vec()))
        .stdout(Stream::Capture)
        .stderr(Stream::Capture)
        .timeout(Duration::from_secs(60));
    let done = context.sandbox.run(context.system, context.sink, command, "ask kbuild for its options")?;
    let text = done.stdout_text();
    let line = text.lines().find_map(|line| line.strip_prefix("options:"));
    line.filter(|_| done.status.success()).map(without_jobs).ok_or_else(|| {
        let (dir, stderr) = (context.target.headers.dir.display(), done.stderr_text());
        let reason = format!("the options for pahole cannot be read from {dir}: {}", stderr.trim());
        BtfError::Unavailable(reason)
    })
}

/// Removes the options that make pahole run in parallel.
fn without_jobs(line: &str) -> Vec<String> {
    let mut words = line.split_whitespace().peekable();
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        let is_jobs = word == "--jobs" || word.strip_prefix("-j").is_some_and(is_number);
        if is_jobs {
            // In `-j 8`, the number is a separate word.
            words.next_if(|next| is_number(next) && !next.is_empty());
        } else if !word.starts_with("--jobs=") {
            options.push(word.to_owned());
        }
    }
    options
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Adds BTF to a module if kbuild should have added it but could not. If this fails, a warning is printed and
/// the module stays unchanged. `check` checks that the changed file is still a valid module.
///
/// # Errors
/// The log cannot be written; as [`super::sandbox::BuildSandbox::change_file`].
pub(super) fn add(
    context: &Context<'_>,
    name: &str,
    bytes: Vec<u8>,
    check: impl FnOnce(&[u8]) -> std::result::Result<(), NotForKernel>,
) -> Result<Vec<u8>> {
    let Btf::Kernel { file, digest } = context.target.btf(&context.system.host, &context.system.layout)
    else {
        return Ok(bytes);
    };
    // Some packages remove the symbols themselves.
    if image::has_btf(&bytes) || !image::has_section(&bytes, ".debug_info") {
        return Ok(bytes);
    }
    context.stage(&format!("BTF of {name}.ko"));
    let changed = generate(context, name, &bytes, file, digest).and_then(|changed| {
        check(&changed).map_err(|why| BtfError::Unavailable(format!("pahole damaged it: {why}")))?;
        Ok(changed)
    });
    match changed {
        Ok(changed) => Ok(changed),
        Err(BtfError::Build(error)) => Err(error),
        Err(BtfError::Unavailable(why)) => {
            context.sink.warn(format!("{}: {name}.ko is built without BTF: {why}", context.build));
            Ok(bytes)
        }
    }
}

/// Returns the module with BTF. `file` contains the kernel's BTF, and `digest` identifies its contents.
fn generate(
    context: &Context<'_>,
    name: &str,
    bytes: &[u8],
    file: &Path,
    digest: &str,
) -> Result<Vec<u8>, BtfError> {
    let base = context.target.btf_base(|| {
        let base = kernel_btf(context, file, digest).and_then(|raw| {
            let options = pahole_options(context)?;
            Ok(Base::new(&context.system.settings.tmp_location, &raw, options)?)
        });
        match base {
            Ok(base) => Ok(Ok(base)),
            Err(BtfError::Unavailable(why)) => Ok(Err(why)),
            Err(BtfError::Build(error)) => Err(error),
        }
    })?;
    let base = base.as_ref().as_ref().map_err(|why| BtfError::Unavailable(why.clone()))?;
    run_programs(context, name, bytes, base)
}

/// Returns the kernel's BTF, from the cache if possible.
fn kernel_btf(context: &Context<'_>, file: &Path, kernel_digest: &str) -> Result<Vec<u8>, BtfError> {
    let cache = context::cache(context);
    if let Some(raw) = cache.as_ref().and_then(|cache| cache.find_base(kernel_digest)) {
        return Ok(raw);
    }
    let raw = kernel_btf::unpack(file, kernel_digest)?;
    if let Some(cache) = cache.filter(|_| context.system.host.root) {
        if let Err(e) = cache.store_base(kernel_digest, &context.build.kernel.release, &raw) {
            let text = format!("the BTF of the kernel is not cached: {e}");
            context.system.warn_about_cache(context.sink, text);
        }
    }
    Ok(raw)
}

/// Runs pahole, and resolve_btfids if the module needs it.
fn run_programs(context: &Context<'_>, name: &str, bytes: &[u8], base: &Base) -> Result<Vec<u8>, BtfError> {
    let resolve = context.target.headers.dir.join("tools/bpf/resolve_btfids/resolve_btfids");
    let resolves = dkms_sys::fs::exists_followed(&resolve);
    if !resolves && image::has_section(bytes, ".BTF_ids") {
        let reason = format!("it has lists of types, and {} does not exist", resolve.display());
        return Err(BtfError::Unavailable(reason));
    }
    let missing = || BtfError::Unavailable("pahole is not installed".into());
    let pahole = find_pahole(&context.system.host).ok_or_else(missing)?;
    let file = format!("{name}.ko");
    let options = base.options.iter().map(String::as_str);
    let options: Vec<&str> = std::iter::once("-J").chain(options).chain(["--btf_base"]).collect();
    let mut changed = run_program(context, &file, bytes, &pahole, &options, base)?;
    if resolves {
        changed = run_program(context, &file, &changed, &resolve, &["-b"], base)?;
    }
    if !image::has_btf(&changed) {
        return Err(BtfError::Unavailable("pahole found no types in it".into()));
    }
    Ok(changed)
}

/// Runs a program that changes the module. Its options are followed by the kernel's BTF and the module.
fn run_program(
    context: &Context<'_>,
    file: &str,
    bytes: &[u8],
    program: &Path,
    options: &[&str],
    base: &Base,
) -> Result<Vec<u8>, BtfError> {
    let objcopy = context.target.toolchain.objcopy();
    let shown = format!("{} {} kernel.btf {file}", program.display(), options.join(" "));
    context.log.begin(&format!("Generating BTF of {file}"), &shown)?;
    let prepare = |command: Command| {
        let command = command.args(options.iter().copied()).arg(&base.file).env("LLVM_OBJCOPY", &objcopy);
        command.stdout(Stream::Capture).stderr(Stream::ToStdout).timeout(TIMEOUT)
    };
    let places = [Place::new(base.dir.path(), Access::Read)];
    let change = Change { program, purpose: "generate BTF", name: file, bytes, places: &places };
    let (done, changed) = context.sandbox.change_file(context.system, context.sink, &change, prepare)?;
    let stdout = done.stdout_text();
    context.log.line(stdout.trim_end())?;
    context.log.end(done.status.code_for_shell(), done.elapsed)?;
    if done.status.success() {
        return Ok(changed);
    }
    let last = stdout.lines().last().unwrap_or("it printed no reason");
    Err(BtfError::Unavailable(format!("{} failed ({}): {last}", program.display(), done.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_for_parallel_work_are_removed() {
        let flags = " --btf_gen_floats -j --lang_exclude=rust -j8 --jobs=3 --jobs 4 -j 2 --btf_features=x";
        assert_eq!(without_jobs(flags), ["--btf_gen_floats", "--lang_exclude=rust", "--btf_features=x"]);
        assert!(without_jobs("").is_empty());
    }
}
