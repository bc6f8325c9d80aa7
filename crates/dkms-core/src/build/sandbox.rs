//! The confinement of one build. Every child of a build is assembled by [`BuildSandbox::command_with`] and
//! started by [`BuildSandbox::run`], so that no code of a package runs in any other way before its modules
//! are installed.

use super::environment::Variables;
use crate::build::BuildError;
use crate::confine::{self, BuildUser};
use crate::error::Result;
use crate::event::Sink;
use crate::hooks;
use crate::system::System;
use dkms_conf::framework_conf::Confinement;
use dkms_conf::module_conf::Confine;
use dkms_sys::fs::TempDir;
use dkms_sys::process::{Command, Finished};
use dkms_sys::sandbox::{Access, Enforced, Place, Profile};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The most bytes of temporary files of a build. They are in memory, which is used as needed.
const TEMPORARY: u64 = 4 << 30;

/// Runs the commands of one build.
pub(crate) struct BuildSandbox {
    user: BuildUser,
    /// Private to dkms; the mounts are prepared here.
    scratch: TempDir,
    /// `None`: the administrator disabled the confinement.
    profile: Option<Profile>,
    /// The build directory, and where its commands see it.
    dir: PathBuf,
    seen: PathBuf,
    /// Files to hide when there is no profile that hides them.
    hidden: Vec<PathBuf>,
    /// Files to replace when there is no profile that replaces them.
    replaced: Vec<Place>,
    /// Variables that every command has.
    environment: Variables,
    missing: Mutex<Vec<String>>,
}

/// The paths and resources that a build may access.
pub(crate) struct Wanted<'a> {
    /// The build directory.
    pub dir: &'a Path,
    /// The path under which its commands see it: the same path, or a directory on which it is mounted for
    /// them.
    pub seen: &'a Path,
    /// Files that it must not see: the private key.
    pub hidden: Vec<PathBuf>,
    /// Directories that it must see, wherever they are: trees, headers.
    pub visible: Vec<PathBuf>,
    /// Files that it must see in place of others.
    pub replaced: Vec<Place>,
    /// CONFINE and the like, from /etc/dkms.
    pub policy: &'a Confine,
    /// Variables that every command has: `environment::of_build`.
    pub environment: Variables,
}

/// A program that changes a file.
pub(crate) struct Change<'a> {
    pub program: &'a Path,
    /// The purpose of the program, for an error message.
    pub purpose: &'a str,
    /// Paths that it may access in addition.
    pub places: &'a [Place],
}

impl BuildSandbox {
    /// Prepares the confinement. [`BuildSandbox::hand_over`] gives the build directory to the build's user
    /// later.
    ///
    /// # Errors
    /// The scratch directory cannot be created; with `build_confinement=require`, what this machine cannot
    /// enforce.
    pub(crate) fn new(system: &System, sink: &dyn Sink, wanted: Wanted<'_>) -> Result<Self> {
        let off = wanted.policy.off || system.settings.framework.build_confinement == Some(Confinement::Off);
        // The directories that CONFINE_WRITE names are usually root's.
        let user = if off || !wanted.policy.write.is_empty() {
            BuildUser::none()
        } else {
            BuildUser::claim(&system.settings.framework)
        };
        let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-build")?;
        let temporary = scratch.path().join("tmp");
        if !off {
            dkms_sys::fs::create_dir_all(&temporary)?;
            crate::owner::give(&temporary, user.ids())?;
            // The user reaches the directory in it by its path if nothing can be mounted over it.
            dkms_sys::fs::set_mode(scratch.path(), 0o711)?;
        }
        let profile = (!off).then(|| {
            let mut profile = confine::profile(scratch.path(), user.ids());
            profile.temporary = TEMPORARY;
            profile.temporary_fallback = Some(temporary);
            profile.network = wanted.policy.network;
            profile.hidden.extend(wanted.hidden.iter().cloned());
            profile.places.push(Place::new(wanted.seen, Access::Write));
            let visible = wanted.visible.iter().filter(|p| p.exists());
            profile.places.extend(visible.map(|p| Place::new(p, Access::Read)));
            let write = wanted.policy.write.iter().map(|p| Place::new(p, Access::Write));
            profile.places.extend(write);
            profile.places.extend(wanted.replaced.iter().cloned());
            profile
        });
        for path in &wanted.policy.write {
            if !Path::new(path).exists() {
                return Err(BuildError::ConfineWriteMissing(path.into()).into());
            }
        }
        let (dir, seen) = (wanted.dir.to_owned(), wanted.seen.to_owned());
        let sandbox = Self {
            user,
            scratch,
            profile,
            dir,
            seen,
            hidden: wanted.hidden,
            replaced: wanted.replaced,
            environment: wanted.environment,
            missing: Mutex::new(Vec::new()),
        };
        if system.settings.framework.build_confinement == Some(Confinement::Require) {
            // Before any code of the package runs.
            sandbox.run(system, sink, sandbox.command("true"), "confine the build")?;
        }
        Ok(sandbox)
    }

    /// Gives the build directory to the build's user.
    ///
    /// # Errors
    /// The first file that cannot be given.
    pub(crate) fn hand_over(&self) -> Result<()> {
        self.give(&self.dir)
    }

    /// Gives a tree to the build's user.
    ///
    /// # Errors
    /// The first file that cannot be given.
    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        Ok(crate::owner::give(path, self.user.ids())?)
    }

    /// Returns whether commands are confined.
    pub(crate) fn is_on(&self) -> bool {
        self.profile.is_some()
    }

    /// Returns the user who must own the results, if the build runs as a dedicated user.
    pub(crate) fn owner(&self) -> Option<u32> {
        self.user.ids().map(|(uid, _)| uid)
    }

    /// The parts of the confinement that could not be enforced so far; empty if it is disabled.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.missing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// A command that runs in the build directory.
    pub(crate) fn command(&self, program: impl Into<OsString>) -> Command {
        self.command_with(program, &[])
    }

    /// A command that runs in the build directory, confined, with the environment of the build, and also
    /// has these places.
    pub(crate) fn command_with(&self, program: impl Into<OsString>, more: &[Place]) -> Command {
        let command = Command::new(program).cwd(&self.seen).envs(self.environment.iter().cloned());
        let command = if self.dir == self.seen { command } else { command.bind(&self.dir, &self.seen) };
        match &self.profile {
            Some(profile) => {
                let mut profile = profile.clone();
                profile.places.extend(more.iter().cloned());
                command.confine(profile)
            }
            None => {
                let command = self.hidden.iter().fold(command, |command, file| command.hide(file));
                let replaced = self.replaced.iter().filter(|place| place.source != place.target);
                replaced.fold(command, |command, place| command.bind(&place.source, &place.target))
            }
        }
    }

    /// Runs a command of [`BuildSandbox::command`] to its end.
    ///
    /// # Errors
    /// It cannot be started; an interrupt; `build_confinement=require` refuses what could not be enforced.
    pub(crate) fn run(
        &self,
        system: &System,
        sink: &dyn Sink,
        command: Command,
        purpose: &str,
    ) -> Result<Finished> {
        let done = command
            .env("PWD", &self.seen)
            .run()
            .map_err(|e| hooks::process_error(&system.host, e, purpose))?;
        if self.is_on() {
            self.note(&done.enforced);
            confine::judge(&system.settings.framework, sink, "the build", &done.enforced)
                .map_err(BuildError::CannotConfine)?;
        }
        Ok(done)
    }

    fn note(&self, enforced: &Enforced) {
        *self.missing.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = enforced.missing.clone();
    }

    /// Lets a program change one file that is untrusted input to it: the program gets a copy that belongs to
    /// the build's user, and the changed copy is returned.
    ///
    /// # Errors
    /// The copy cannot be written or read back; as [`BuildSandbox::run`].
    pub(crate) fn change_file(
        &self,
        system: &System,
        sink: &dyn Sink,
        name: &str,
        bytes: &[u8],
        prepare: impl FnOnce(Command) -> Command,
        change: &Change<'_>,
    ) -> Result<(Finished, Vec<u8>)> {
        let place = TempDir::new_in(&system.settings.tmp_location, "dkms-file")?;
        let file = place.path().join(name);
        dkms_sys::fs::create_new(&file, bytes, 0o600)?;
        self.give(place.path())?;
        let mut places = change.places.to_vec();
        places.push(Place::new(place.path(), Access::Write));
        let command = prepare(self.command_with(change.program, &places)).arg(&file);
        let done = self.run(system, sink, command, change.purpose)?;
        let changed = dkms_sys::fs::read_untrusted(place.path(), name, self.owner())?;
        Ok((done, changed))
    }
}

impl std::fmt::Debug for BuildSandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildSandbox")
            .field("user", &self.user)
            .field("scratch", &self.scratch.path())
            .finish()
    }
}
