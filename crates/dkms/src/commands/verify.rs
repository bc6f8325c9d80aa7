//! `verify`: checks whether the kernel would load the installed modules, or a file.

use super::call::Call;
use crate::answer::{Answer, Summary};
use crate::render::verdicts;
use crate::request;
use dkms_core::error::Result;
use dkms_core::look::LookError;
use dkms_core::look::verify::{self, Outcome, Report};
use dkms_core::package::PackageError;
use dkms_core::tree::state;
use std::path::{Path, PathBuf};

/// `dkms verify`
pub(super) fn verify(call: &Call<'_>) -> Result<Answer> {
    let files = files(call);
    let report = if files.is_empty() {
        installed(call)?
    } else {
        let kernel = request::one_kernel(call.system, call.arguments, call.words)?;
        verify::verify_files(call.system, call.sink, &kernel, &files)
    };
    let verbose = call.system.settings.verbose;
    call.print(|| verdicts::verify_json(&report), || verdicts::verify_text(&report, verbose));
    Ok(answer(&report))
}

/// The operands that are module files, recognised by their name, wherever they are.
fn files(call: &Call<'_>) -> Vec<PathBuf> {
    let is_module = |word: &&String| {
        let path = Path::new(word);
        let has_name = path.file_name().and_then(|name| name.to_str()).and_then(state::module_stem).is_some();
        path.is_file() || has_name && word.contains(['/', '.'])
    };
    call.arguments.words.iter().filter(is_module).map(PathBuf::from).collect()
}

fn installed(call: &Call<'_>) -> Result<Report> {
    let filters = super::status::filters(call)?;
    let report = verify::verify(call.system, call.sink, &filters);
    if let (true, Some(name)) = (report.modules.is_empty(), &call.subject.name) {
        if state::versions(&call.system.layout, name).is_empty() {
            return Err(PackageError::Unknown(name.clone()).into());
        }
        return Err(LookError::NotInstalled(name.clone()).into());
    }
    Ok(report)
}

fn answer(report: &Report) -> Answer {
    let count = |outcome| report.modules.iter().filter(|module| module.outcome() == outcome).count();
    let modules = |number: usize| match (number, report.modules.len()) {
        (1, 1) => "the module".to_owned(),
        (number, all) => format!("{number} of {all} modules"),
    };
    match (count(Outcome::Refused), count(Outcome::Unknown)) {
        (0, 0) => Answer::Yes,
        (0, unknown) => Answer::Unknown(Summary::new(format!(
            "{} may or may not load: not everything could be checked",
            modules(unknown)
        ))),
        (refused, _) => Answer::No(Summary::new(format!("{} would not load", modules(refused)))),
    }
}
