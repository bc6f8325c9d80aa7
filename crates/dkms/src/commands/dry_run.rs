//! `--dry-run`: what an action would do, step by step.

use super::{Call, kernel, package};
use crate::actions::Action;
use crate::answer::Answer;
use crate::render::{json, plain};
use crate::request;
use dkms_core::error::{Error, Result};
use dkms_core::explain::Explained;
use dkms_core::ids::{Build, Kernel, PackageId};
use dkms_core::origin::OriginError;
use dkms_core::plan::{Step, What};
use dkms_core::request::RequestError;
use dkms_core::session::{Options, Session};
use dkms_core::{actions, add, gather, remove, tarball};

/// Any action with `--dry-run`.
pub fn dry_run(call: &Call<'_>, action: Action) -> Result<Answer> {
    let steps = match action {
        Action::Add | Action::Build | Action::Install => one_package(call, action)?,
        Action::Uninstall | Action::Unbuild | Action::Remove => take_back(call, action)?,
        Action::Match => matching(call)?,
        Action::Autoinstall | Action::KernelPostinst => autoinstall(call)?,
        Action::KernelPreinst | Action::KernelPrerm => clear(call, action)?,
        Action::GenerateMok => key(call)?,
        Action::Mok => super::mok::dry_run(call)?,
        Action::Mktarball | Action::Ldtarball => archive(call, action)?,
        // It marks what --fix would mend.
        Action::Lint => return super::lint::lint(call),
        Action::Mkdeb | Action::Mkdsc | Action::Mkbmdeb => super::debian::dry_run(call, action)?,
        Action::Mkrpm | Action::Mkkmp | Action::Mkdriverdisk => super::rpm::dry_run(call, action)?,
        // It says of each finding what its repair would do.
        Action::Fsck => return super::fsck::fsck(call, false),
        other => {
            return Err(RequestError::Usage(format!(
                "{} changes nothing, so --dry-run means nothing there",
                other.word()
            ))
            .into());
        }
    };
    call.ui.data(&if call.arguments.json { json::steps(&steps) } else { plain::steps(&steps) });
    Ok(Answer::Yes)
}

fn one_package(call: &Call<'_>, action: Action) -> Result<Vec<Step>> {
    let kernels = request::kernels(call.s, call.words, None)?;
    let kernel = kernels
        .first()
        .ok_or_else(|| Error::Request(RequestError::KernelCount("no kernel is given".into())))?;
    let unnamed = call.subject.name.is_none() && call.subject.version.is_none();
    if let (true, Some(archive)) = (unnamed, &call.subject.archive) {
        return load(call, archive);
    }
    match (unnamed, &call.subject.directory) {
        (true, Some(directory)) => {
            // What would be copied is evaluated where it lies.
            let conf = Some(directory.join("dkms.conf"));
            let options = Options { conf_file: conf, ..call.s.options.clone() };
            let s = Session { options: &options, ..*call.s };
            let mut steps = Explained::new(&s);
            let package = steps.directory(directory, kernel)?;
            Ok(builds(&s, steps, action, &package, &kernels))
        }
        _ => {
            let package = call.subject.package(action.word())?;
            let source = call.s.layout.source_dir(&package).join("dkms.conf");
            let registered = call.s.layout.conf(&package).exists();
            let conf = call.s.options.conf_file.clone().or((!registered).then_some(source));
            let options = Options { conf_file: conf, ..call.s.options.clone() };
            let s = Session { options: &options, ..*call.s };
            let mut steps = Explained::new(&s);
            if action == Action::Add {
                add::refuse_unless_addable(&s, &package)?;
            }
            steps.added(&package)?;
            Ok(builds(&s, steps, action, &package, &kernels))
        }
    }
}

fn builds(
    s: &Session<'_>,
    mut steps: Explained<'_>,
    action: Action,
    package: &PackageId,
    kernels: &[Kernel],
) -> Vec<Step> {
    match action {
        Action::Build => steps.work(&gather::builds(s, package, kernels)),
        Action::Install => {
            let wanted: Vec<Build> = kernels.iter().map(|k| Build::new(package, k)).collect();
            steps.work(&gather::installs(s, &wanted));
        }
        _ => {}
    }
    steps.end()
}

fn take_back(call: &Call<'_>, action: Action) -> Result<Vec<Step>> {
    let package = call.subject.package(action.word())?;
    let depth = package::depth(action);
    remove::check(call.s, &package, depth)?;
    let all_of = call.arguments.all.then_some(&package);
    let kernels = request::kernels(call.s, call.words, all_of)?;
    let mut steps = Explained::new(call.s);
    let why = format!("'{}' asks for it", action.word());
    steps.parts(&remove::plan(call.s, &package, &kernels, depth), &why);
    Ok(steps.end())
}

fn matching(call: &Call<'_>) -> Result<Vec<Step>> {
    let to = request::one_kernel(call.s, call.arguments, call.words)?;
    let template = kernel::template(call, &to)?;
    let wanted = actions::matching(call.s, &template, &to, call.subject.name.as_deref())?;
    let mut steps = Explained::new(call.s);
    steps.work(&gather::installs(call.s, &wanted));
    Ok(steps.end())
}

fn autoinstall(call: &Call<'_>) -> Result<Vec<Step>> {
    let kernels = kernel::autoinstall_kernels(call)?;
    let mut steps = Explained::new(call.s);
    if !actions::is_switched_off(call.s) {
        steps.work(&gather::autoinstall(call.s, &kernels));
    }
    Ok(steps.end())
}

fn clear(call: &Call<'_>, action: Action) -> Result<Vec<Step>> {
    let kernel = request::one_kernel(call.s, call.arguments, call.words)?;
    let preinst = action == Action::KernelPreinst;
    let (all, wrong) = remove::plan_clear(call.s, &kernel, preinst);
    let mut steps = Explained::new(call.s);
    for (b, e) in wrong {
        steps.step(What::Fail(b), e.to_string());
    }
    let why = if preinst { "autoinstall brings it back for the new files" } else { "the kernel is removed" };
    steps.parts(&all, why);
    Ok(steps.end())
}

fn key(call: &Call<'_>) -> Result<Vec<Step>> {
    let pair = super::mok::pair(call)?;
    let there = std::path::Path::new(&pair.key).exists() || pair.key.starts_with("pkcs11:");
    let mut steps = Explained::new(call.s);
    if there {
        steps.step(What::Nothing("the signing key".into()), format!("is there: {}", pair.key));
    } else {
        let what = What::MakeKey { key: pair.key, certificate: pair.certificate };
        steps.step(what, "there is none");
    }
    Ok(steps.end())
}

fn archive(call: &Call<'_>, action: Action) -> Result<Vec<Step>> {
    if action == Action::Ldtarball {
        let none =
            || Error::Request(RequestError::Usage("ldtarball needs an archive: dkms ldtarball FILE".into()));
        return load(call, call.subject.archive.as_deref().ok_or_else(none)?);
    }
    let package = call.subject.package("mktarball")?;
    add::require_added(call.s, &package)?;
    let all_of = call.arguments.all.then_some(&package);
    let kernels = request::kernels(call.s, call.words, all_of)?;
    let content = super::tarball::content(call);
    let path = tarball::place(call.s, &package, &kernels, content, call.subject.archive.as_deref());
    let mut steps = Explained::new(call.s);
    let reason = match content {
        tarball::Content::SourceOnly => format!("the source of {package}"),
        tarball::Content::BinariesOnly => format!("what is built of {package}"),
        tarball::Content::Both => format!("{package}: its source and what is built"),
    };
    steps.step(What::WriteArchive(path), reason);
    Ok(steps.end())
}

fn load(call: &Call<'_>, archive: &std::path::Path) -> Result<Vec<Step>> {
    if !archive.exists() {
        return Err(OriginError::ArchiveMissing(archive.to_owned()).into());
    }
    let mut steps = Explained::new(call.s);
    let reason = "what is in it is known when it is unpacked: its source goes to the source tree, its modules become built";
    steps.step(What::LoadArchive(archive.to_owned()), reason);
    Ok(steps.end())
}
