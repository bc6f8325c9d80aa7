//! Finds the version of a module that is named without one: `dkms install -m hello` means its only version.

use crate::actions::Action;
use crate::request::Subject;
use dkms_core::add;
use dkms_core::error::Result;
use dkms_core::event::{Event, Sink};
use dkms_core::ids::PackageId;
use dkms_core::request::RequestError;
use dkms_core::system::System;
use dkms_core::tree::state;

/// Where an action looks for the version of a module that is named without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Candidates {
    /// The sources in /usr/src.
    Sources,
    /// The registered versions, or the sources if none is registered.
    RegisteredOrSources,
    /// The registered versions. The version is reported with a warning, because it will be removed.
    Registered,
}

impl Candidates {
    /// None if the action does not need a version.
    fn for_action(action: Action) -> Option<Self> {
        match action {
            Action::Add => Some(Self::Sources),
            Action::Build | Action::Install => Some(Self::RegisteredOrSources),
            Action::Uninstall | Action::Unbuild | Action::Remove => Some(Self::Registered),
            _ => None,
        }
    }
}

/// Sets the version of a module that is named without one, if there is exactly one candidate.
///
/// # Errors
/// Several versions are registered: [`RequestError::VersionNotNamed`] lists them.
pub(crate) fn complete(
    subject: &mut Subject,
    action: Action,
    system: &System,
    sink: &dyn Sink,
) -> Result<()> {
    let (Some(name), None, Some(candidates)) =
        (subject.name.as_deref(), &subject.version, Candidates::for_action(action))
    else {
        return Ok(());
    };
    // A script with an empty variable must not remove a version that it did not name.
    if subject.directory.is_some() || subject.archive.is_some() || subject.empty_version {
        return Ok(());
    }
    let registered = state::versions(&system.layout, name);
    let sources = match (candidates, registered.is_empty()) {
        (Candidates::Sources, true) | (Candidates::RegisteredOrSources, true) => sources(system, sink, name),
        _ => Vec::new(),
    };
    match (registered.as_slice(), sources.as_slice()) {
        ([only], _) if candidates != Candidates::Sources => {
            let text = format!("using {only}, the only version of {name}");
            sink.event(match candidates {
                Candidates::Registered => Event::Warning { text },
                _ => Event::Detail { text },
            });
            subject.version = Some(only.version.clone());
        }
        ([], [only]) => {
            let text = format!(
                "using {only}, the only version of {name} in {}",
                system.layout.source_tree.display()
            );
            sink.event(Event::Detail { text });
            subject.version = Some(only.version.clone());
        }
        ([], []) => {}
        (registered, sources) => {
            let versions = registered.iter().chain(sources).map(|package| package.version.clone());
            return Err(RequestError::VersionNotNamed {
                action: action.word().into(),
                name: name.to_owned(),
                versions: versions.collect(),
            }
            .into());
        }
    }
    Ok(())
}

/// The versions of a module in the source tree: directories `NAME-VERSION` whose dkms.conf has the same name
/// and version.
fn sources(system: &System, sink: &dyn Sink, name: &str) -> Vec<PackageId> {
    let Ok(kernel) = system.host.kernel() else { return Vec::new() };
    let directories = state::subdirectories(&system.layout.source_tree);
    let named = directories.iter().filter_map(|directory| {
        let version = directory.strip_prefix(name)?.strip_prefix('-')?;
        let package =
            add::identify(system, sink, &system.layout.source_tree.join(directory), &kernel).ok()?;
        (package.name == name && package.version == version).then_some(package)
    });
    named.collect()
}
