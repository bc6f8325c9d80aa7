//! The confinement of one build. All commands of a build are created by [`BuildSandbox::command_with`] and
//! started by [`BuildSandbox::run`]. Code of a package runs in no other way before its modules are installed.

use super::environment::{self, Variables};
use super::subject::Subject;
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
use dkms_sys::sandbox::{Access, Place, Profile};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The maximum size of a build's temporary files, in bytes. They are kept in memory.
const TEMPORARY: u64 = 4 << 30;

/// Runs the commands of one build.
pub(crate) struct BuildSandbox {
    user: BuildUser,
    /// A directory of dkms, in which the mounts are prepared.
    scratch: TempDir,
    /// `None`: the administrator disabled the confinement.
    profile: Option<Profile>,
    /// The build directory.
    dir: PathBuf,
    /// The path of the build directory for its commands.
    seen: PathBuf,
    /// Files to hide if there is no profile.
    hidden: Vec<PathBuf>,
    /// Files to replace if there is no profile.
    replaced: Vec<Place>,
    /// Variables that every command has.
    environment: Variables,
    /// The restrictions that could not be enforced.
    missing: Mutex<Vec<String>>,
}

/// The paths and resources that a build may access.
pub(crate) struct Permissions<'a> {
    /// The build directory.
    pub dir: &'a Path,
    /// The path of the build directory for its commands: the same path, or the directory on which it is
    /// mounted.
    pub seen: &'a Path,
    /// Files that it cannot see, such as the private key.
    pub hidden: Vec<PathBuf>,
    /// Directories that it can read, such as the trees and the headers.
    pub visible: Vec<PathBuf>,
    /// Files that it sees instead of others.
    pub replaced: Vec<Place>,
    /// The CONFINE directives of /etc/dkms.
    pub policy: &'a Confine,
    /// Variables that every command has (`environment::for_build`).
    pub environment: Variables,
}

/// A program that changes a file.
pub(crate) struct Change<'a> {
    pub program: &'a Path,
    /// The purpose of the program, for error messages.
    pub purpose: &'a str,
    /// The name of the file.
    pub name: &'a str,
    /// The content of the file.
    pub bytes: &'a [u8],
    /// Paths that it may access in addition.
    pub places: &'a [Place],
}

impl BuildSandbox {
    /// Prepares the confinement of a build in `dir`. Its commands see that directory as `seen`.
    ///
    /// # Errors
    /// As [`BuildSandbox::new`].
    pub(super) fn for_build(subject: &Subject<'_>, dir: &Path, seen: &Path) -> Result<Self> {
        let Subject { system, sink, target, loaded, .. } = *subject;
        let layout = &system.layout;
        let modules_of_kernel = layout.kernel_modules(&target.kernel.release);
        let mut visible: Vec<PathBuf> = vec![
            layout.dkms_tree.clone(),
            layout.source_tree.clone(),
            layout.config_dir.clone(),
            modules_of_kernel.clone(),
            target.headers.dir.clone(),
        ];
        // Headers can contain links to other headers, for example to those of a self-built kernel in a home
        // directory.
        visible.extend(target.headers.directories(&modules_of_kernel));
        visible.extend(system.settings.kernel_config.clone());
        let policy = &loaded.conf.confine;
        let mut environment = environment::for_build(&system.host, &system.settings, dir);
        if policy.network {
            environment.extend(environment::proxies(&system.host));
        }
        let hidden = target.hidden(system);
        // Missing files are reported as an error when the package is compiled.
        let replaced = target
            .host_programs(&system.host, &system.settings)
            .map_or_else(Vec::new, |programs| programs.places.clone());
        let permissions = Permissions { dir, seen, hidden, visible, replaced, policy, environment };
        Self::new(system, sink, permissions)
    }

    /// Prepares the confinement. The build directory is given to the build's user later, by
    /// [`BuildSandbox::hand_over`].
    ///
    /// # Errors
    /// The scratch directory cannot be created; a directory of CONFINE_WRITE does not exist; with
    /// `build_confinement=require`, this machine cannot enforce a restriction.
    pub(crate) fn new(system: &System, sink: &dyn Sink, permissions: Permissions<'_>) -> Result<Self> {
        let Permissions { dir, seen, hidden, visible, replaced, policy, environment } = permissions;
        let off = policy.off || system.settings.framework.build_confinement == Some(Confinement::Off);
        // The directories of CONFINE_WRITE usually belong to root.
        let user = if off || !policy.write.is_empty() {
            BuildUser::none()
        } else {
            BuildUser::claim(&system.settings.framework)
        };
        let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-build")?;
        let temporary = scratch.path().join("tmp");
        if !off {
            dkms_sys::fs::create_dir_all(&temporary)?;
            crate::owner::give(&temporary, user.ids())?;
            // If mounts are not possible, the build's user opens the temporary directory by its path.
            dkms_sys::fs::set_mode(scratch.path(), 0o711)?;
        }
        let profile = (!off).then(|| {
            let mut profile = confine::profile(scratch.path(), user.ids());
            profile.temporary = TEMPORARY;
            profile.temporary_fallback = Some(temporary);
            profile.network = policy.network;
            profile.hidden.extend(hidden.iter().cloned());
            profile.places.push(Place::new(seen, Access::Write));
            let visible = visible.iter().filter(|p| p.exists());
            profile.places.extend(visible.map(|p| Place::new(p, Access::Read)));
            profile.places.extend(policy.write.iter().map(|p| Place::new(p, Access::Write)));
            profile.places.extend(replaced.iter().cloned());
            profile
        });
        for path in &policy.write {
            if !Path::new(path).exists() {
                return Err(BuildError::ConfineWriteMissing(path.into()).into());
            }
        }
        let (dir, seen, missing) = (dir.to_owned(), seen.to_owned(), Mutex::new(Vec::new()));
        let sandbox = Self { user, scratch, profile, dir, seen, hidden, replaced, environment, missing };
        if system.settings.framework.build_confinement == Some(Confinement::Require) {
            // Before any code of the package runs.
            sandbox.run(system, sink, sandbox.command("true"), "confine the build")?;
        }
        Ok(sandbox)
    }

    /// The build directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the build's user the owner of the build directory.
    ///
    /// # Errors
    /// The owner of a file cannot be changed.
    pub(crate) fn hand_over(&self) -> Result<()> {
        self.give(&self.dir)
    }

    /// Makes the build's user the owner of a tree.
    ///
    /// # Errors
    /// The owner of a file cannot be changed.
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
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Creates a command that runs in the build directory.
    pub(crate) fn command(&self, program: impl Into<OsString>) -> Command {
        self.command_with(program, &[])
    }

    /// Creates a command that runs in the build directory, confined, with the environment of the build. It
    /// may also access `places`.
    pub(crate) fn command_with(&self, program: impl Into<OsString>, places: &[Place]) -> Command {
        let command = Command::new(program).cwd(&self.seen).envs(self.environment.iter().cloned());
        let command = if self.dir == self.seen { command } else { command.bind(&self.dir, &self.seen) };
        match &self.profile {
            Some(profile) => {
                let mut profile = profile.clone();
                profile.places.extend(places.iter().cloned());
                command.confine(profile)
            }
            None => {
                let command = self.hidden.iter().fold(command, |command, file| command.hide(file));
                let replaced = self.replaced.iter().filter(|place| place.source != place.target);
                replaced.fold(command, |command, place| command.bind(&place.source, &place.target))
            }
        }
    }

    /// Runs a command of [`BuildSandbox::command`], and waits until it ends.
    ///
    /// # Errors
    /// It cannot be started; an interrupt; with `build_confinement=require`, a restriction could not be
    /// enforced.
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
            *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = done.enforced.missing.clone();
            confine::check_enforced(&system.settings.framework, sink, "the build", &done.enforced)
                .map_err(BuildError::CannotConfine)?;
        }
        Ok(done)
    }

    /// Runs a program that changes an untrusted file. The program gets a copy that belongs to the build's
    /// user. `prepare` adds options to the command; the path of the copy is the last argument. Returns the
    /// changed content.
    ///
    /// # Errors
    /// The copy cannot be written or read back; as [`BuildSandbox::run`].
    pub(crate) fn change_file(
        &self,
        system: &System,
        sink: &dyn Sink,
        change: &Change<'_>,
        prepare: impl FnOnce(Command) -> Command,
    ) -> Result<(Finished, Vec<u8>)> {
        let place = TempDir::new_in(&system.settings.tmp_location, "dkms-file")?;
        let file = place.path().join(change.name);
        dkms_sys::fs::create_new(&file, change.bytes, 0o600)?;
        self.give(place.path())?;
        let mut places = change.places.to_vec();
        places.push(Place::new(place.path(), Access::Write));
        let command = prepare(self.command_with(change.program, &places)).arg(&file);
        let done = self.run(system, sink, command, change.purpose)?;
        let changed = dkms_sys::fs::read_untrusted(place.path(), change.name, self.owner())?;
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
