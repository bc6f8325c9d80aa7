//! `config`: prints a dkms.conf as dkms interprets it, or the inputs of its build.

use super::call::Call;
use crate::answer::Answer;
use crate::render::json::pretty;
use crate::request;
use dkms_core::build::preview;
use dkms_core::conf::{ConfError, load};
use dkms_core::error::Result;
use dkms_core::look::describe;
use dkms_tree::ids::{Build, Kernel, PackageId};
use std::path::{Path, PathBuf};

/// `dkms config [M/V | DIR] [-k K] [--fingerprint]`; without an operand, the dkms.conf of the current
/// directory.
pub(super) fn config(call: &Call<'_>) -> Result<Answer> {
    let kernel = request::one_kernel(call.system, call.arguments, call.words)?;
    let explicit = call.arguments.conf.clone();
    let (conf, source, package) = match (&call.subject.name, &call.subject.directory) {
        (Some(_), _) => {
            let package = call.subject.package("config")?;
            let registered = call.system.layout.conf(&package);
            let source = call.system.layout.source_dir(&package);
            let (source, conf) = if registered.exists() {
                (call.system.layout.source_link(&package), registered)
            } else {
                let conf = source.join("dkms.conf");
                (source, conf)
            };
            (explicit.unwrap_or(conf), source, Some(package))
        }
        (None, directory) => {
            let directory = directory.clone().unwrap_or_else(|| PathBuf::from("."));
            let conf = explicit.unwrap_or_else(|| directory.join("dkms.conf"));
            let conf = std::path::absolute(&conf).unwrap_or(conf);
            if !conf.exists() {
                return Err(ConfError::Missing(conf).into());
            }
            (conf, directory, None)
        }
    };
    if call.arguments.fingerprint {
        return fingerprint(call, &conf, &source, package, &kernel);
    }
    let description = describe::describe(call.system, call.sink, &conf, package.as_ref(), &kernel)?;
    call.ui.data(&pretty(&description)?);
    Ok(Answer::Yes)
}

/// Prints the inputs of a build, one a line, and the digest of these lines.
fn fingerprint(
    call: &Call<'_>,
    conf: &Path,
    source: &Path,
    package: Option<PackageId>,
    kernel: &Kernel,
) -> Result<Answer> {
    let package = match package {
        Some(package) => package,
        None => {
            let named = load::load_file(call.system, call.sink, conf, None, kernel)?.strict()?;
            PackageId::new(&named.conf.package_name, &named.conf.package_version)?
        }
    };
    // Load it again with its name, because the administrator's overrides are found by name.
    let loaded = load::load_file(call.system, call.sink, conf, Some(&package), kernel)?.strict()?;
    let preview = preview::preview(call.system, call.sink, &Build::new(&package, kernel), &loaded, source)?;
    let text = if call.arguments.json {
        pretty(&preview)?
    } else {
        format!("{}\nfingerprint={}\n", preview.lines.join("\n"), preview.fingerprint)
    };
    call.ui.data(&text);
    Ok(Answer::Yes)
}
