//! `config`: prints a dkms.conf as dkms interprets it.

use super::call::Call;
use crate::answer::Answer;
use crate::request;
use dkms_core::conf::ConfError;
use dkms_core::error::Result;
use dkms_core::look::describe;

/// `dkms config [M/V | DIR] [-k K]`; without an operand, the dkms.conf of the current directory.
pub(super) fn config(call: &Call<'_>) -> Result<Answer> {
    let kernel = request::one_kernel(call.s, call.arguments, call.words)?;
    let explicit = call.arguments.conf.clone();
    let description = match (&call.subject.name, &call.subject.directory) {
        (Some(_), _) => {
            let package = call.subject.package("config")?;
            let registered = call.s.layout.conf(&package);
            let source = call.s.layout.source_dir(&package).join("dkms.conf");
            let conf = explicit.unwrap_or(if registered.exists() { registered } else { source });
            describe::describe(call.s, &conf, Some(&package), &kernel)?
        }
        (None, directory) => {
            let here = std::path::PathBuf::from(".");
            let directory = directory.as_ref().unwrap_or(&here);
            let conf = explicit.unwrap_or_else(|| directory.join("dkms.conf"));
            let conf = std::path::absolute(&conf).unwrap_or(conf);
            if !conf.exists() {
                return Err(ConfError::Missing(conf).into());
            }
            describe::describe(call.s, &conf, None, &kernel)?
        }
    };
    let mut text = serde_json::to_string_pretty(&description).unwrap_or_default();
    text.push('\n');
    call.ui.data(&text);
    Ok(Answer::Yes)
}
