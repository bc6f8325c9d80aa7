//! `mkrpm`.

use super::Call;
use crate::request;
use dkms_core::error::Result;
use dkms_core::explain::Explained;
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::plan::{Step, What};
use dkms_core::tarball::Content;
use dkms_core::tree::state;
use dkms_core::{add, rpm};

/// What the words of a command line come to.
struct Wanted {
    package: PackageId,
    kernels: Vec<Kernel>,
    content: Content,
    epoch: Option<u64>,
    packager: Option<String>,
}

impl Wanted {
    fn of(call: &Call<'_>) -> Result<Self> {
        let package = call.subject.package(call.arguments.action_word())?;
        add::require_added(call.s, &package)?;
        let content = super::tarball::content(call);
        let built =
            || state::builds(call.s.layout, &package).into_iter().map(|b| b.kernel).collect::<Vec<_>>();
        // Where no kernel is named, everything goes in that is built.
        let kernels = match content {
            Content::SourceOnly => Vec::new(),
            _ if call.words.releases.is_empty() => match (built(), content) {
                (none, Content::BinariesOnly) if none.is_empty() => {
                    request::kernels(call.s, call.words, None)?
                }
                (all, _) => all,
            },
            _ => request::kernels(call.s, call.words, None)?,
        };
        let (epoch, packager) = (super::tarball::source_date_epoch(), super::debian::maintainer());
        Ok(Self { package, kernels, content, epoch, packager })
    }

    fn request<'a>(&'a self, call: &'a Call<'_>) -> rpm::Request<'a> {
        rpm::Request {
            package: &self.package,
            kernels: &self.kernels,
            content: self.content,
            named: call.subject.archive.as_deref(),
            epoch: self.epoch,
            packager: self.packager.as_deref(),
        }
    }
}

/// `dkms mkrpm`
pub fn mkrpm(call: &Call<'_>) -> Result<()> {
    let wanted = Wanted::of(call)?;
    rpm::mkrpm(call.s, &wanted.request(call)).map(|_| ())
}

/// The same with `--dry-run`.
pub fn dry_run(call: &Call<'_>) -> Result<Vec<Step>> {
    let wanted = Wanted::of(call)?;
    let mut steps = Explained::new(call.s);
    let path = rpm::mkrpm_place(call.s, &wanted.request(call))?;
    steps.step(What::WriteArchive(path), format!("an rpm package of {}", wanted.package));
    Ok(steps.end())
}
