//! `report`: a page, JSON or metrics about this machine, or a page about many machines.

use super::call::Call;
use crate::answer::Answer;
use crate::operand::absolute;
use crate::report::{Report, fleet};
use crate::ui;
use dkms_core::error::{Error, Result};
use dkms_core::request::{RequestError, UsageError};
use dkms_sys::IoError;
use std::path::{Path, PathBuf};

/// The file for the page if standard output is a terminal and no file is named.
const DEFAULT: &str = "dkms-report.html";

/// All users can read the files: they contain no secrets, and node_exporter does not run as root.
const MODE: u32 = 0o644;

/// `dkms report [FILE] [--json] [--fleet DIR] [--metrics FILE]`
pub(super) fn report(call: &Call<'_>) -> Result<Answer> {
    let file = file(call)?;
    if let Some(dir) = &call.arguments.fleet {
        return fleet(call, dir, file.as_deref());
    }
    let arch = call.arch();
    let report = Report::gather(call.system, call.sink, &call.words.releases, &arch)?;
    let metrics = call.arguments.metrics.as_deref();
    if let Some(metrics) = metrics {
        write(call, Some(metrics), &report.metrics())?;
    }
    match (metrics.is_some(), call.arguments.json) {
        // Only the metrics are requested.
        (true, _) if file.is_none() => {}
        (_, true) => write(call, file.as_deref(), &report.json()?)?,
        (_, false) => write_page(call, file.as_deref(), &report.page())?,
    }
    Ok(Answer::Yes)
}

fn fleet(call: &Call<'_>, dir: &Path, file: Option<&Path>) -> Result<Answer> {
    let arguments = call.arguments;
    let given = [
        ("-k", !call.words.releases.is_empty()),
        ("--json", arguments.json),
        ("--metrics", arguments.metrics.is_some()),
    ];
    if let Some((option, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
        return Err(RequestError::FleetWith(option).into());
    }
    let page = fleet::page(dir, call.system.host.recorded_time())?;
    write_page(call, file, &page)?;
    Ok(Answer::Yes)
}

/// The file that the operand names.
fn file(call: &Call<'_>) -> Result<Option<PathBuf>> {
    match call.arguments.words.as_slice() {
        [] => Ok(None),
        [file] => Ok(Some(file.into())),
        [_, second, ..] => Err(UsageError::ExtraFile { action: "report", file: second.clone() }.into()),
    }
}

/// Writes a page. If standard output is a terminal, the page goes to a file, and its path is printed.
fn write_page(call: &Call<'_>, file: Option<&Path>, text: &str) -> Result<()> {
    let on_terminal = dkms_sys::sys::is_terminal(1);
    let default = (file.is_none() && on_terminal).then(|| PathBuf::from(DEFAULT));
    let file = file.or(default.as_deref());
    write(call, file, text)?;
    if let Some(path) = file.filter(|path| on_terminal && *path != Path::new("-")) {
        let path = absolute(path);
        call.ui.data(&format!("Wrote {}\n", crate::printable::on_one_line(&path.to_string_lossy())));
    }
    Ok(())
}

/// Writes to a file, which is replaced in one step, or to standard output.
fn write(call: &Call<'_>, file: Option<&Path>, text: &str) -> Result<()> {
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        call.ui.data(text);
        return Ok(());
    };
    let path = &absolute(path);
    // Replacing a device with a regular file would be wrong.
    let special = dkms_sys::fs::metadata(path).is_ok_and(|meta| !meta.is_file());
    if special {
        let why = "it is not a regular file (name another one, or write - for standard output)";
        return Err(Error::Io(IoError::new("write", path, std::io::Error::other(why))));
    }
    Ok(dkms_sys::fs::write_atomic(path, ui::clean(text).as_bytes(), MODE)?)
}
