//! `verify`: would the kernel load what is installed, or a file?

use super::Call;
use crate::render::verdicts;
use crate::request;
use dkms_core::error::{Error, Result};
use dkms_core::tree::state;
use dkms_core::verify::Outcome;
use dkms_core::verify::{self, Report};
use std::path::{Path, PathBuf};

/// `dkms verify`
pub fn verify(call: &Call<'_>) -> Result<()> {
    let files = files(call);
    let report = if files.is_empty() {
        installed(call)?
    } else {
        let kernel = request::one_kernel(call.s, call.arguments, call.words)?;
        verify::verify_files(call.s, &kernel, &files)
    };
    if call.arguments.json {
        call.ui.data(&verdicts::verify_json(&report));
    } else {
        call.ui.data(&verdicts::verify_text(&report, call.s.options.verbose));
    }
    answer(&report)
}

/// Operands that are module files: by their name, wherever they lie.
fn files(call: &Call<'_>) -> Vec<PathBuf> {
    let is_module = |word: &&String| {
        let path = Path::new(word);
        let named = path.file_name().and_then(|n| n.to_str()).and_then(state::module_stem).is_some();
        path.is_file() || named && word.contains(['/', '.'])
    };
    call.arguments.words.iter().filter(is_module).map(PathBuf::from).collect()
}

fn installed(call: &Call<'_>) -> Result<Report> {
    let filters = super::status::filters(call)?;
    let report = verify::verify(call.s, &filters);
    if let (true, Some(name)) = (report.modules.is_empty(), &call.subject.name) {
        if state::versions(call.s.layout, name).is_empty() {
            return Err(Error::PackageUnknown(name.clone()));
        }
        return Err(Error::CannotTell(format!("{name} is not installed, so there is nothing to verify")));
    }
    Ok(report)
}

fn answer(report: &Report) -> Result<()> {
    let count = |outcome| report.modules.iter().filter(|m| m.outcome() == outcome).count();
    let of = |n: usize| match (n, report.modules.len()) {
        (1, 1) => "the module".to_owned(),
        (n, all) => format!("{n} of {all} modules"),
    };
    match (count(Outcome::Refused), count(Outcome::Unknown)) {
        (0, 0) => Ok(()),
        (0, unknown) => Err(Error::CannotTell(format!(
            "{} may or may not load: not everything could be checked",
            of(unknown)
        ))),
        (refused, _) => Err(Error::No(format!("{} would not load", of(refused)))),
    }
}
