//! `mkdeb`, `mkdsc` and `mkbmdeb`.

use super::Call;
use crate::cli::Action;
use crate::request;
use dkms_core::error::{Error, Result};
use dkms_core::explain::Explained;
use dkms_core::ids::{Kernel, PackageId};
use dkms_core::plan::{Step, What};
use dkms_core::tarball::Content;
use dkms_core::{add, debian};

/// What the words of a command line come to.
struct Wanted {
    package: PackageId,
    kernels: Vec<Kernel>,
    content: Content,
    epoch: Option<u64>,
    maintainer: Option<String>,
}

impl Wanted {
    fn of(call: &Call<'_>, action: Action) -> Result<Self> {
        let package = call.subject.package(action.word())?;
        add::require_added(call.s, &package)?;
        let all = call.arguments.all;
        let named = all || !call.words.releases.is_empty();
        let content = super::tarball::content(call);
        if action == Action::Mkbmdeb && content == Content::SourceOnly {
            return Err(Error::Conflict("mkbmdeb packs built modules: --source-only leaves nothing".into()));
        }
        // Source alone serves any kernel; the running one is nothing special to it.
        let source_alone = action != Action::Mkbmdeb && content == Content::Both && !named;
        Ok(Self {
            kernels: if source_alone {
                Vec::new()
            } else {
                request::kernels(call.s, call.words, all.then_some(&package))?
            },
            package,
            content,
            epoch: super::tarball::source_date_epoch(),
            maintainer: maintainer(),
        })
    }

    fn request<'a>(&'a self, call: &'a Call<'_>) -> debian::Request<'a> {
        debian::Request {
            package: &self.package,
            kernels: &self.kernels,
            content: self.content,
            named: call.subject.archive.as_deref(),
            epoch: self.epoch,
            maintainer: self.maintainer.as_deref(),
        }
    }
}

/// `dkms mkdeb`, `dkms mkdsc` and `dkms mkbmdeb`
pub fn make(call: &Call<'_>, action: Action) -> Result<()> {
    let wanted = Wanted::of(call, action)?;
    let request = wanted.request(call);
    match action {
        Action::Mkbmdeb => debian::mkbmdeb(call.s, &request).map(|_| ()),
        Action::Mkdsc => debian::mkdsc(call.s, &request).map(|_| ()),
        _ => debian::mkdeb(call.s, &request).map(|_| ()),
    }
}

/// The same with `--dry-run`.
pub fn dry_run(call: &Call<'_>, action: Action) -> Result<Vec<Step>> {
    let wanted = Wanted::of(call, action)?;
    let request = wanted.request(call);
    let mut steps = Explained::new(call.s);
    if action == Action::Mkbmdeb {
        for (kernel, path) in wanted.kernels.iter().zip(debian::mkbmdeb_places(call.s, &request)?) {
            let reason = format!("what is built of {} for kernel {}", wanted.package, kernel.release);
            steps.step(What::WriteArchive(path), reason);
        }
    } else {
        let (path, kind) = match action {
            Action::Mkdsc => (debian::mkdsc_place(call.s, &request)?, "source package"),
            _ => (debian::mkdeb_place(call.s, &request)?, "package"),
        };
        steps.step(What::WriteArchive(path), format!("a Debian {kind} of {}", wanted.package));
    }
    Ok(steps.end())
}

/// Who makes packages here, as Debian's own tools learn it (debchange(1)).
pub fn maintainer() -> Option<String> {
    let variable = |name| {
        let value = std::env::var(name).ok()?;
        let value = value.trim().to_owned();
        (!value.is_empty() && !value.contains(char::is_control)).then_some(value)
    };
    let address = variable("DEBEMAIL").or_else(|| variable("EMAIL"))?;
    if address.contains('<') {
        return Some(address);
    }
    let name = variable("DEBFULLNAME").or_else(|| variable("NAME")).unwrap_or_else(|| "dkms".into());
    Some(format!("{name} <{address}>"))
}
