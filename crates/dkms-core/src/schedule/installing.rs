//! Installs the build of a task.

use super::task::{Done, Task};
use crate::error::Result;
use crate::event::{Event, Sink};
use crate::install::{Change, InstallError, Outcome};
use crate::system::System;
use dkms_tree::state::{self, BuildState};

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Installed => Self::Installed,
            Outcome::Nothing => Self::Nothing,
        }
    }
}

/// Installs the build of a task, unless another dkms has installed it in the meantime. With `task.uninstall`,
/// uninstalls it first.
pub(super) fn install(
    system: &System,
    sink: &dyn Sink,
    change: &mut Change<'_>,
    task: &Task<'_>,
) -> Result<Outcome> {
    let build = task.build;
    match state::build_state(&system.layout, build) {
        BuildState::Installed if !task.uninstall => {
            let reason = "was installed by another dkms meanwhile".into();
            sink.event(Event::Nothing { about: build.to_string(), reason });
            return Ok(Outcome::Nothing);
        }
        BuildState::Installed => change.uninstall(build)?,
        BuildState::Built => {}
        BuildState::NotBuilt => return Err(InstallError::NothingBuilt(build.clone()).into()),
    }
    change.install(build)
}
