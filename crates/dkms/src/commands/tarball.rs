//! `mktarball` and `ldtarball`.

use super::call::Call;
use crate::request;
use dkms_core::error::{Error, Result};
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::origin::{self, Origin, OriginError};
use dkms_core::pack::{Content, Request, tarball};
use dkms_core::plan::{Operation, Plan, gather};
use dkms_core::request::{RequestError, UsageError};
use dkms_core::{actions, add};
use std::path::Path;

/// `dkms mktarball`
pub(super) fn make(call: &Call<'_>) -> Result<()> {
    let package = call.subject.package("mktarball")?;
    add::require_added(&call.system.layout, &package)?;
    let content = content(call);
    let all_of = call.arguments.all.then_some(&package);
    let kernels = request::kernels(call.system, call.words, all_of)?;
    let request = Request {
        package: &package,
        kernels: &kernels,
        content,
        archive: call.subject.archive.as_deref(),
        epoch: source_date_epoch(),
        maker: None,
    };
    let path = tarball::place(&call.system.layout, &request);
    let reason = match content {
        Content::SourceOnly => format!("the source of {package}"),
        Content::BinariesOnly => format!("what is built of {package}"),
        Content::Both => format!("{package}: its source and what is built"),
    };
    call.print_or_execute(Plan::single(Operation::WriteArchive(path), reason), |_| {
        tarball::make(call.system, call.sink, &request)
    })
}

/// The latest timestamp in generated files, in seconds since 1970, from SOURCE_DATE_EPOCH.
pub(super) fn source_date_epoch() -> Option<u64> {
    std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|value| value.trim().parse().ok())
}

/// What to include in an archive.
pub(super) fn content(call: &Call<'_>) -> Content {
    match (call.arguments.source_only, call.arguments.binaries_only) {
        (true, _) => Content::SourceOnly,
        (_, true) => Content::BinariesOnly,
        _ => Content::Both,
    }
}

/// `dkms ldtarball`
pub(super) fn load(call: &Call<'_>) -> Result<()> {
    if call.arguments.force {
        call.require_root()?;
    }
    let Some(archive) = &call.subject.archive else {
        return Err(match (&call.subject.name, &call.subject.directory) {
            // The operand was meant as a file, but there is none with this name.
            (Some(name), _) => Error::Origin(OriginError::ArchiveMissing(name.into())),
            (None, Some(directory)) => needs_archive(directory),
            (None, None) => {
                UsageError::OperandMissing { action: "ldtarball", what: "an archive", operand: "FILE" }.into()
            }
        });
    };
    let kernels = request::kernels(call.system, call.words, None)?;
    let Some(kernel) = kernels.first() else { return Ok(()) };
    let origin = Origin::of_file(archive)?;
    if let Origin::Directory(directory) = &origin {
        return Err(needs_archive(directory));
    }
    if !is_left_to_rpm(call, &origin) {
        call.require_writable_tree()?;
    }
    call.print_or_execute(plan_loading(archive), |_| admit(call, &origin, kernel).map(|_| ()))
}

/// The plan for loading an archive. Its contents are known only after unpacking; later steps are planned
/// then.
pub(super) fn plan_loading(archive: &Path) -> Plan {
    let reason = "its contents are known only after unpacking: sources go to the source tree, and modules become built";
    Plan::single(Operation::LoadArchive(archive.to_owned()), reason)
}

fn needs_archive(directory: &Path) -> Error {
    UsageError::DirectoryForArchive { action: "ldtarball", path: directory.to_owned() }.into()
}

/// Whether rpm itself installs this package.
fn is_left_to_rpm(call: &Call<'_>, origin: &Origin) -> bool {
    matches!(origin, Origin::Rpm(_)) && origin::is_installed_by_rpm(&call.system.host)
}

/// Adds the contents of a directory or file to the tree. Returns the package, or `None` if rpm has done
/// everything.
pub(super) fn admit(call: &Call<'_>, origin: &Origin, kernel: &Kernel) -> Result<Option<PackageId>> {
    match origin {
        Origin::Rpm(file) if is_left_to_rpm(call, origin) => install_rpm(call, file, kernel).map(|()| None),
        _ => origin::admit(call.system, call.sink, origin, kernel, call.overrides()).map(Some),
    }
}

/// Lets rpm install an rpm package, then installs what its scriptlets did not install for the kernel.
fn install_rpm(call: &Call<'_>, archive: &Path, kernel: &Kernel) -> Result<()> {
    call.require_root()?;
    if let Some(root) = &call.system.host.other_root {
        let archive = archive.file_name().unwrap_or(archive.as_os_str()).to_string_lossy().into_owned();
        return Err(RequestError::RpmInOtherRoot { root: root.clone(), archive }.into());
    }
    origin::install_with_rpm(&call.system.host, call.ui, archive)?;
    let kernels = std::slice::from_ref(kernel);
    actions::autoinstall(
        call.system,
        call.sink,
        gather::autoinstall_if_enabled(call.system, call.sink, kernels, call.overrides()),
        kernels,
    )
}
