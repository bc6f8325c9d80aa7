//! `lint`: suggests improvements to a dkms.conf.

use super::call::Call;
use crate::answer::{Answer, Summary};
use crate::render::lint as render;
use crate::request;
use dkms_core::conf::ConfError;
use dkms_core::error::Result;
use dkms_core::look::lint;
use std::path::PathBuf;

/// `dkms lint [DIR | M/V | FILE] [--fix]`; without an operand, the dkms.conf of the current directory.
pub(super) fn lint(call: &Call<'_>) -> Result<Answer> {
    let kernel = request::one_kernel(call.system, call.arguments, call.words)?;
    let path = file(call)?;
    let fixing = call.arguments.fix && !call.arguments.dry_run;
    let report = if fixing {
        lint::fix(call.system, call.sink, &path, &kernel)?
    } else {
        lint::check(call.system, call.sink, &path, &kernel)?
    };
    call.print(|| render::json(&report), || render::text(&report, call.arguments.fix));
    if report.problems() == 0 {
        return Ok(Answer::Yes);
    }
    Ok(Answer::No(Summary::new(render::verdict(&report, fixing))))
}

/// The dkms.conf, or other file, that the command line names.
fn file(call: &Call<'_>) -> Result<PathBuf> {
    let subject = call.subject;
    if let Some(conf) = &call.arguments.conf {
        return Ok(conf.clone());
    }
    if subject.name.is_some() {
        let package = subject.package("lint")?;
        let registered = call.system.layout.conf(&package);
        let source = call.system.layout.source_dir(&package).join("dkms.conf");
        return Ok(if registered.exists() { registered } else { source });
    }
    // A file with any name, such as debian/hello.dkms.
    if let Some(file) = &subject.archive {
        return if file.is_file() { Ok(file.clone()) } else { Err(ConfError::Missing(file.clone()).into()) };
    }
    let directory = subject.directory.clone().unwrap_or_else(|| PathBuf::from("."));
    Ok(directory.join("dkms.conf"))
}
