//! The system that dkms works on: its paths, the machine, and the settings of the administrator.

use crate::event::Sink;
use crate::host::Host;
use crate::registry::shared::SharedConnection;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_tree::beneath::Trees;
use dkms_tree::layout::Layout;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The system that dkms works on, and the state that the threads of one command share. Actions do not change
/// the paths, the host or the settings. Their parameters are in a request, and they report to a [`Sink`].
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(Default))]
pub struct System {
    /// The paths.
    pub layout: Layout,
    /// The machine, or the known facts about the machine of an image.
    pub host: Host,
    /// framework.conf and the options that override it.
    pub settings: Settings,
    /// What the threads of this command share.
    command: Arc<CommandState>,
}

/// The state that all threads of one command share. It begins empty.
#[derive(Debug, Default)]
struct CommandState {
    /// The connection to `dkms-registry`.
    registry: SharedConnection,
    /// Whether this command has warned about the cache of builds.
    cache_warned: AtomicBool,
}

impl System {
    /// The system for one command. Clones share the state of that command.
    pub fn new(layout: Layout, host: Host, settings: Settings) -> Self {
        Self { layout, host, settings, command: Arc::default() }
    }

    /// The connection of this command to the program `dkms-registry`.
    pub(crate) fn registry(&self) -> &SharedConnection {
        &self.command.registry
    }

    /// Checks that the tree is writable. Call it only before a change, because a command that has nothing to
    /// do does not need a writable tree.
    ///
    /// # Errors
    /// [`crate::Error::TreeNotWritable`].
    pub fn require_writable_tree(&self) -> crate::Result<()> {
        Ok(self.layout.require_writable()?)
    }

    /// The trees of this system.
    pub(crate) fn trees(&self) -> Trees<'_> {
        Trees { layout: &self.layout, other_root: self.host.other_root.is_some() }
    }

    /// Returns the number of jobs as text for dkms.conf and the make command; empty if the number is not
    /// limited.
    pub fn jobs_word(&self) -> String {
        match self.settings.jobs {
            Some(0) => String::new(),
            Some(jobs) => jobs.to_string(),
            None => self.host.cpus.max(1).to_string(),
        }
    }

    /// Reports a recovery after an interrupted command, and writes it to the tree's recovery log.
    pub(crate) fn report_recovery(&self, sink: &dyn Sink, text: &str) {
        let log = dkms_sys::fs::open_append(self.layout.recovery_log());
        // If the log cannot be written, the warning is still printed.
        let _ = log.map(|mut log| writeln!(log, "{} {text}", crate::time::utc_now()));
        sink.warn(text);
    }

    /// Warns about the cache of builds, at most once per command. Problems of the cache never fail a build.
    pub(crate) fn warn_about_cache(&self, sink: &dyn Sink, text: impl Into<String>) {
        if !self.command.cache_warned.swap(true, Ordering::Relaxed) {
            sink.warn(text);
        }
    }
}

/// The settings from framework.conf and the command line that do not depend on the action.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--directive NAME=value`, in the order of the command line.
    pub directives: Vec<(String, String)>,
    /// `-c FILE`
    pub conf_file: Option<PathBuf>,
    /// `--config FILE`
    pub kernel_config: Option<PathBuf>,
    /// `--kernelsourcedir DIR`
    pub kernel_source_dir: Option<PathBuf>,
    /// `--no-depmod`
    pub no_depmod: bool,
    /// `--modprobe-on-install`
    pub modprobe_on_install: bool,
    /// `--symlink-modules`
    pub symlink_modules: bool,
    /// `-j N`; `Some(0)` means no limit, `None` means one per processor.
    pub jobs: Option<u32>,
    /// `--mok-signing-key` and `--mok-certificate`. dkms signs with them even in a chroot.
    pub signing: Option<(String, PathBuf)>,
    /// The directory for temporary files.
    pub tmp_location: PathBuf,
    /// `--verbose`
    pub verbose: bool,
    /// `--no-cache`: the cache of builds is neither read nor written.
    pub no_cache: bool,
    /// framework.conf, evaluated without a kernel.
    pub framework: FrameworkConf,
}
