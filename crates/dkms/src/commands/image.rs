//! `mkimage`.

use super::Call;
use crate::request;
use dkms_core::error::Result;
use dkms_core::pack::image::{self, ImageRequest};
use dkms_core::plan::{Operation, Plan, Step};

/// `dkms mkimage`
pub(super) fn make(call: &Call<'_>) -> Result<()> {
    let arguments = call.arguments;
    let packages = request::packages(call.subject, "mkimage")?;
    let kernels = request::kernels(call.system, call.words, packages.first().filter(|_| arguments.all))?;
    let prefix = arguments.prefix.as_deref().map_or_else(|| "/opt".into(), |path| path.to_string_lossy());
    let request = ImageRequest {
        packages: &packages,
        kernels: &kernels,
        output: arguments.output.as_deref(),
        base: arguments.base.as_deref(),
        name: arguments.image.as_deref(),
        prefix: image::prefix(&prefix)?,
        force: call.overrides().force,
        epoch: super::tarball::source_date_epoch(),
    };
    // Before anything is written, because it may be refused.
    let resources = if arguments.kmm { image::resources(&call.system.layout, &request)? } else { Vec::new() };
    let mut plan = Plan::default();
    for (kernel, path) in kernels.iter().zip(image::places(&call.system.layout, &request)?) {
        let names: Vec<String> = packages.iter().map(ToString::to_string).collect();
        let reason = format!("an image of {} for kernel {}", names.join(", "), kernel.release);
        plan.push(Step::new(Operation::WriteArchive(path), reason), []);
    }
    call.print_or_execute(plan, |_| {
        image::make(call.system, call.sink, &request)?;
        if arguments.kmm && arguments.json {
            call.ui.data(&format!("{:#}\n", image::as_json(&resources)));
        } else if arguments.kmm {
            call.ui.data(&image::as_yaml(&resources));
        }
        Ok(())
    })
}
