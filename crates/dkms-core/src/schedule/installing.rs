//! The steps of a task that change its kernel.

use super::task::{Done, Task};
use crate::error::Result;
use crate::event::Event;
use crate::install::{Change, InstallError, Outcome};
use crate::session::Session;
use dkms_tree::state::{self, BuildState};

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Installed => Self::Installed,
            Outcome::Nothing => Self::Nothing,
        }
    }
}

/// Executes the steps of a task that change its kernel, unless another dkms has done so in the meantime.
pub(super) fn install(s: &Session<'_>, change: &mut Change, task: &Task<'_>) -> Result<Outcome> {
    let build = task.build;
    match state::build_state(s.layout, build) {
        BuildState::Installed if !task.uninstall => {
            let reason = "was installed by another dkms meanwhile".into();
            s.report(Event::Nothing { about: build.to_string(), reason });
            return Ok(Outcome::Nothing);
        }
        BuildState::Installed => change.uninstall(s, build)?,
        BuildState::Built => {}
        BuildState::NotBuilt => return Err(InstallError::NothingBuilt(build.clone()).into()),
    }
    change.install(s, build)
}
