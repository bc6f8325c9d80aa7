//! `mksysext`.

use super::Call;
use crate::request;
use dkms_core::error::Result;
use dkms_core::pack::sysext::{self, Format, SysextRequest};
use dkms_core::plan::{Operation, Plan};

/// `dkms mksysext`
pub(super) fn make(call: &Call<'_>) -> Result<()> {
    let arguments = call.arguments;
    let packages = request::packages(call.subject, "mksysext")?;
    let kernels = request::kernels(call.system, call.words, packages.first().filter(|_| arguments.all))?;
    let request = SysextRequest {
        packages: &packages,
        kernels: &kernels,
        output: arguments.output.as_deref(),
        format: arguments.format.as_deref().map_or(Ok(Format::Directory), Format::from_word)?,
        os: arguments.os.as_deref(),
        level: arguments.sysext_level.as_deref(),
        load: arguments.load,
        force: call.overrides().force,
        epoch: super::tarball::source_date_epoch(),
    };
    let names: Vec<String> = packages.iter().map(ToString::to_string).collect();
    let reason = format!("a system extension of {}", names.join(", "));
    let plan = Plan::single(Operation::WriteArchive(sysext::place(&call.system.layout, &request)?), reason);
    call.print_or_execute(plan, |_| sysext::make(call.system, call.sink, &request).map(|_| ()))
}
