//! `mkimage`.

use super::Call;
use crate::request;
use dkms_core::error::Result;
use dkms_core::pack::image::{self, ImageRequest};
use dkms_core::plan::{Operation, Plan, Step};

/// `dkms mkimage`
pub(super) fn make(call: &Call<'_>) -> Result<()> {
    let a = call.arguments;
    let packages = request::packages(call.subject, "mkimage")?;
    let all_of = packages.first().filter(|_| a.all);
    let kernels = request::kernels(call.system, call.words, all_of)?;
    let prefix = a.prefix.as_deref().map_or_else(|| "/opt".into(), |path| path.to_string_lossy());
    let request = ImageRequest {
        packages: &packages,
        kernels: &kernels,
        output: a.output.as_deref(),
        base: a.base.as_deref(),
        name: a.image.as_deref(),
        prefix: image::prefix(&prefix)?,
        force: call.overrides().force,
        epoch: super::tarball::source_date_epoch(),
    };
    // Before anything is written, because it may be refused.
    let resources = if a.kmm { image::resources(&call.system.layout, &request)? } else { Vec::new() };
    let mut plan = Plan::default();
    for (kernel, path) in kernels.iter().zip(image::places(&call.system.layout, &request)?) {
        let names: Vec<String> = packages.iter().map(ToString::to_string).collect();
        let reason = format!("an image of {} for kernel {}", names.join(", "), kernel.release);
        plan.push(Step::new(Operation::WriteArchive(path), reason), []);
    }
    call.print_or_execute(plan, |_| {
        image::make(call.system, call.sink, &request)?;
        if a.kmm && a.json {
            call.ui.data(&format!("{:#}\n", image::as_json(&resources)));
        } else if a.kmm {
            call.ui.data(&image::as_yaml(&resources));
        }
        Ok(())
    })
}
