//! `push`, `pull`, `matrix` and `registry-key`: builds in registries.

use super::call::Call;
use crate::render::json::{build_keys, document, list};
use crate::request;
use dkms_core::error::Result;
use dkms_core::event::Event;
use dkms_core::registry::{self, Availability, Published, Pulled, Pushed, RegistryError, keys};
use dkms_core::request::UsageError;
use dkms_tree::ids::{Build, Kernel};
use serde_json::json;

/// `dkms push M/V [-k K]...`
pub(super) fn push(call: &Call<'_>) -> Result<()> {
    let package = call.subject.package("push")?;
    dkms_core::add::require_added(&call.system.layout, &package)?;
    let kernels = request::kernels(call.system, call.words, call.arguments.all.then_some(&package))?;
    let builds: Vec<Build> = kernels.iter().map(|kernel| Build::new(&package, kernel)).collect();
    let registry = match (registry::sources(&call.system.settings), call.arguments.registries.len()) {
        ([], _) => return Err(RegistryError::NoRegistry.into()),
        ([first, ..], 0 | 1) => first,
        _ => return Err(UsageError::SeveralRegistries("push").into()),
    };
    let published = registry::push(call.system, call.sink, &builds, registry)?;
    if call.arguments.json {
        let row = |Published { build, reference, result, signer }: &Published| {
            let digest = match result {
                Pushed::New(digest) => Some(digest),
                Pushed::Exists => None,
            };
            json!({
                "build": build.to_string(), "reference": reference, "digest": digest,
                "new": digest.is_some(), "signer": signer,
            })
        };
        call.ui.data(&document(json!({ "pushed": list(&published, row) })));
        return Ok(());
    }
    for Published { build, reference, result, signer } in published {
        let signed = signer.map_or_else(String::new, |signer| format!(", signed by {signer}"));
        let text = match result {
            Pushed::New(digest) => format!("Pushed {build}{signed}: {reference} ({digest})\n"),
            Pushed::Exists => format!("{build}{signed} is in the registry already: {reference}\n"),
        };
        call.ui.data(&text);
    }
    Ok(())
}

/// `dkms pull [M/V] [-k K]...`
pub(super) fn pull(call: &Call<'_>) -> Result<()> {
    require_registry(call)?;
    let kernels = kernels(call, call.arguments.all_kernels)?;
    let builds = match &call.subject.name {
        Some(_) => {
            let package = call.subject.package("pull")?;
            dkms_core::add::require_added(&call.system.layout, &package)?;
            kernels.iter().map(|kernel| Build::new(&package, kernel)).collect()
        }
        None => wanted_builds(call, &kernels)?,
    };
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for build in builds {
        let (word, text) = match registry::pull(call.system, call.sink, &build)? {
            Some(Pulled::From(reference)) => ("pulled", format!("Pulled {build} from {reference}")),
            Some(Pulled::Cached) => ("cached", format!("{build} is in the cache already")),
            Some(Pulled::NotNow(reason)) => ("skipped", format!("{build} is not needed: {reason}")),
            None => {
                missing.push(build.clone());
                ("missing", format!("No registry has {build}"))
            }
        };
        rows.push(json!({"build": build.to_string(), "result": word}));
        if !call.arguments.json {
            call.ui.data(&(text + "\n"));
        }
    }
    if call.arguments.json {
        call.ui.data(&document(json!({ "pulled": rows })));
    }
    if missing.is_empty() { Ok(()) } else { Err(RegistryError::Missing { missing }.into()) }
}

/// `dkms matrix [-k K]...`
pub(super) fn matrix(call: &Call<'_>) -> Result<()> {
    require_registry(call)?;
    let kernels = kernels(call, call.words.releases.is_empty())?;
    let mut missing = Vec::new();
    for build in wanted_builds(call, &kernels)? {
        match registry::look_up(call.system, call.sink, &build, None)? {
            Availability::Missing => missing.push(build),
            Availability::Offered(_) | Availability::Cached => {}
            Availability::NotNow(reason) => {
                call.sink.event(Event::Detail { text: format!("{build} is not listed: {reason}") });
            }
        }
    }
    if call.arguments.json {
        // Build services assign the document to a variable, so it is a single line.
        let matrix = json!({ "include": list(&missing, build_keys) });
        call.ui.data(&format!("{matrix}\n"));
        return Ok(());
    }
    for build in missing {
        call.ui.data(&format!("{} -k {}/{}\n", build.package, build.kernel.release, build.kernel.arch));
    }
    Ok(())
}

/// `dkms registry-key generate`
pub(super) fn key(call: &Call<'_>) -> Result<()> {
    if call.arguments.words.is_empty() {
        let what = "the word 'generate', which creates a new key and never replaces one";
        return Err(UsageError::OperandMissing { action: "registry-key", what, operand: "generate" }.into());
    }
    let key = keys::generate(&call.system.layout, &call.system.settings)?;
    let (private, public) = (key.private.display(), key.public.display());
    let trusted = keys::trusted_dir(&call.system.layout);
    call.print(
        || {
            let (private, public) = (private.to_string(), public.to_string());
            document(json!({ "id": key.id, "private": private, "public": public }))
        },
        || {
            format!(
                "Created key {}\n  private: {private} (stays on this machine, and in a safe copy)\n  \
                 public:  {public}\nNext: copy {public} to {}/NAME.pub on every machine that takes these \
                 builds\n",
                key.id,
                trusted.display(),
            )
        },
    );
    Ok(())
}

fn require_registry(call: &Call<'_>) -> Result<()> {
    if registry::sources(&call.system.settings).is_empty() {
        Err(RegistryError::NoRegistry.into())
    } else {
        Ok(())
    }
}

/// The given kernels, or every kernel that has headers.
fn kernels(call: &Call<'_>, all: bool) -> Result<Vec<Kernel>> {
    if all { Ok(call.kernels_with_headers()) } else { request::kernels(call.system, call.words, None) }
}

/// The builds that these kernels should have.
fn wanted_builds(call: &Call<'_>, kernels: &[Kernel]) -> Result<Vec<Build>> {
    let mut all = Vec::new();
    for kernel in kernels {
        all.extend(registry::autoinstall_builds(call.system, call.sink, kernel)?);
    }
    Ok(all)
}
