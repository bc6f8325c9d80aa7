//! Adds BTF to modules that kbuild had to leave without it.
//!
//! BTF describes a module's types and functions to BPF programs. kbuild makes it from debugging symbols,
//! relative to the BTF of the kernel, which it takes from `vmlinux` in the headers. Where headers have no
//! `vmlinux`, dkms takes it from the kernel's image and runs the same programs with the same options, except
//! that pahole never works in parallel, because then its output has no fixed order.
//!
//! The programs read the module, which is untrusted, so they run in the sandbox. A module for which this does
//! not work is installed without BTF, as kbuild has left it.

use super::NotForKernel;
use super::context::{self, Context};
use super::kernel_btf::{self, Base, Btf, pahole};
use super::sandbox::Change;
use crate::error::Result;
use crate::event::Event;
use dkms_sys::process::{Command, Stdin, Stream};
use dkms_sys::sandbox::{Access, Place};
use kmodule::image;
use std::path::Path;
use std::time::Duration;

/// The time limit for one program. Debian's largest module package takes a few seconds.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Prints kbuild's options for pahole; the file has other names in older kernels, or does not exist.
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

/// kbuild's options for pahole and this kernel.
fn options(context: &Context<'_>) -> Result<std::result::Result<Vec<String>, String>> {
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
    Ok(match line.filter(|_| done.status.success()) {
        Some(line) => Ok(without_jobs(line)),
        None => {
            let stderr = String::from_utf8_lossy(&done.stderr);
            let dir = context.target.headers.dir.display();
            Err(format!("the options for pahole cannot be read from {dir}: {}", stderr.trim()))
        }
    })
}

/// The options without those that let pahole work in parallel.
fn without_jobs(line: &str) -> Vec<String> {
    let mut words = line.split_whitespace().peekable();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        let jobs = word == "--jobs" || word.strip_prefix("-j").is_some_and(is_number);
        if jobs {
            // `-j 8` is two words.
            words.next_if(|next| is_number(next) && !next.is_empty());
        } else if !word.starts_with("--jobs=") {
            kept.push(word.to_owned());
        }
    }
    kept
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Adds BTF to a module if kbuild should have added it but could not. If this fails, a warning is printed and
/// the module stays unchanged. `check` makes sure that the changed file is still a valid module.
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
    let stage = format!("BTF of {name}.ko");
    context.sink.event(Event::BuildStage { build: context.build.clone(), stage });
    let warn = |why: &str| {
        context.sink.warn(format!("{}: {name}.ko is built without BTF: {why}", context.build));
    };
    let base = context.target.btf_base(|| match kernel_btf(context, file, digest)? {
        Ok(raw) => Base::new(&context.system.settings.tmp_location, &raw, || options(context)),
        Err(why) => Ok(Err(why)),
    })?;
    match &*base {
        Ok(base) => match run(context, name, &bytes, base)? {
            Ok(changed) => match check(&changed) {
                Ok(()) => return Ok(changed),
                Err(why) => warn(&format!("pahole damaged it: {why}")),
            },
            Err(why) => warn(&why),
        },
        Err(why) => warn(why),
    }
    Ok(bytes)
}

/// The kernel's BTF, from the cache if it is there.
fn kernel_btf(
    context: &Context<'_>,
    file: &Path,
    kernel_digest: &str,
) -> Result<std::result::Result<Vec<u8>, String>> {
    let cache = context::cache(context);
    if let Some(raw) = cache.as_ref().and_then(|cache| cache.find_base(kernel_digest)) {
        return Ok(Ok(raw));
    }
    let raw = match kernel_btf::unpack(file, kernel_digest)? {
        Ok(raw) => raw,
        Err(why) => return Ok(Err(why)),
    };
    if let Some(cache) = cache.filter(|_| context.system.host.root) {
        if let Err(e) = cache.store_base(kernel_digest, &context.build.kernel.release, &raw) {
            context
                .system
                .warn_about_cache(context.sink, format!("the BTF of the kernel is not cached: {e}"));
        }
    }
    Ok(Ok(raw))
}

/// Runs pahole, and resolve_btfids if the module needs it.
fn run(
    context: &Context<'_>,
    name: &str,
    bytes: &[u8],
    base: &Base,
) -> Result<std::result::Result<Vec<u8>, String>> {
    let headers = &context.target.headers.dir;
    let resolve = headers.join("tools/bpf/resolve_btfids/resolve_btfids");
    let resolves = dkms_sys::fs::exists_followed(&resolve);
    if !resolves && image::has_section(bytes, ".BTF_ids") {
        return Ok(Err(format!("it has lists of types, and {} does not exist", resolve.display())));
    }
    let Some(pahole) = pahole(&context.system.host) else {
        return Ok(Err("pahole is not installed".into()));
    };
    let file = format!("{name}.ko");
    let options = base.options.iter().map(String::as_str);
    let options: Vec<&str> = std::iter::once("-J").chain(options).chain(["--btf_base"]).collect();
    let changed = match program(context, &file, bytes, &pahole, &options, base)? {
        Ok(changed) => changed,
        Err(why) => return Ok(Err(why)),
    };
    let resolved = if resolves {
        match program(context, &file, &changed, &resolve, &["-b"], base)? {
            Ok(resolved) => resolved,
            Err(why) => return Ok(Err(why)),
        }
    } else {
        changed
    };
    Ok(if image::has_btf(&resolved) { Ok(resolved) } else { Err("pahole found no types in it".into()) })
}

/// Runs one program on the module. Its options are followed by the kernel's BTF and the module.
fn program(
    context: &Context<'_>,
    file: &str,
    bytes: &[u8],
    program: &Path,
    options: &[&str],
    base: &Base,
) -> Result<std::result::Result<Vec<u8>, String>> {
    let objcopy = context.target.toolchain.objcopy();
    let shown = format!("{} {} kernel.btf {file}", program.display(), options.join(" "));
    context.log.begin(&format!("Generating BTF of {file}"), &shown)?;
    let prepare = |command: Command| {
        let command = command.args(options.iter().copied()).arg(&base.file).env("LLVM_OBJCOPY", &objcopy);
        command.stdout(Stream::Capture).stderr(Stream::ToStdout).timeout(TIMEOUT)
    };
    let places = [Place::new(base.dir.path(), Access::Read)];
    let change = Change { program, purpose: "generate BTF", places: &places };
    let (done, changed) =
        context.sandbox.change_file(context.system, context.sink, file, bytes, prepare, &change)?;
    let stdout = done.stdout_text();
    context.log.line(stdout.trim_end())?;
    context.log.end(done.status.code_for_shell(), done.elapsed)?;
    if done.status.success() {
        return Ok(Ok(changed));
    }
    let last = stdout.lines().last().unwrap_or("it printed no reason");
    Ok(Err(format!("{} failed ({}): {last}", program.display(), done.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_without_parallel_work() {
        let flags = " --btf_gen_floats -j --lang_exclude=rust -j8 --jobs=3 --jobs 4 -j 2 --btf_features=x";
        assert_eq!(without_jobs(flags), ["--btf_gen_floats", "--lang_exclude=rust", "--btf_features=x"]);
        assert!(without_jobs("").is_empty());
    }
}
