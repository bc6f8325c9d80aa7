//! What every action needs to know: where the trees are, what machine this is, what was asked for, and whom to tell.

use crate::distro::Distribution;
use crate::event::{Event, Sink};
use crate::secret::Secrets;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_tree::beneath::Trees;
use dkms_tree::layout::Layout;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Facts about the machine, gathered once by the program.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// `uname -r`
    pub release: String,
    /// `uname -m`
    pub machine: String,
    /// From os-release; `None` when there is none.
    pub distribution: Option<Distribution>,
    /// What builds and scripts inherit, already without the variables that would disturb a build, and without
    /// [`Host::secrets`].
    pub environment: Vec<(OsString, OsString)>,
    /// Where programs are looked for.
    pub path: OsString,
    /// Processors this process may run on.
    pub cpus: usize,
    /// Whether this is a chroot; `None` when /proc does not tell.
    pub chroot: Option<bool>,
    /// Effective user is root.
    pub root: bool,
    /// `--root`: this is not the machine's own system but the one in that directory of it. [`Host::release`] is the
    /// newest kernel there, and nothing is known of the machine that will start it.
    pub other_root: Option<PathBuf>,
    /// The command line, for whoever has to wait for us.
    pub command: String,
    /// What builds and scripts do not inherit.
    pub secrets: Secrets,
    /// `ADDON_MODULES_DIR`, which overrides the distribution's destination.
    pub addon_modules_dir: Option<String>,
}

/// What the command line and framework.conf decided.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--force`
    pub force: bool,
    /// `--force-version-override`
    pub force_version_override: bool,
    /// `--directive NAME=value`, in order.
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
    /// `-j N`; `Some(0)` is "no limit", `None` one per processor.
    pub jobs: Option<u32>,
    /// `--rpm_safe_upgrade`
    pub rpm_safe_upgrade: bool,
    /// `--mok-signing-key` and `--mok-certificate`: sign with these, also in a chroot.
    pub signing: Option<(String, PathBuf)>,
    /// Where temporary files go.
    pub tmp_location: PathBuf,
    /// `--verbose`
    pub verbose: bool,
    /// framework.conf, evaluated without a kernel.
    pub framework: FrameworkConf,
}

/// One command's view of the world.
pub struct Session<'a> {
    /// Paths.
    pub layout: &'a Layout,
    /// The machine.
    pub host: &'a Host,
    /// What was asked for.
    pub options: &'a Options,
    /// Whom to tell.
    pub sink: &'a dyn Sink,
}

impl Session<'_> {
    /// Tells what happens.
    pub fn tell(&self, event: Event) {
        self.sink.event(event);
    }

    /// Tells something that stops nothing.
    pub fn warn(&self, text: impl Into<String>) {
        self.tell(Event::Warning { text: text.into() });
    }

    /// Warns of sockets, devices and named pipes that a copy of a tree is made without.
    pub(crate) fn note_left_out(&self, paths: &[std::path::PathBuf]) {
        for path in paths {
            self.warn(format!(
                "{} is not copied: only files, directories and links are (delete it if it is not needed)",
                path.display()
            ));
        }
    }

    /// Tells what was put right after a command that was cut off, and writes it to the tree's log.
    pub fn put_right(&self, text: &str) {
        let log = dkms_sys::fs::open_append(self.layout.recovery_log());
        // A log that cannot be written is no reason not to go on.
        let _ = log.map(|mut log| writeln!(log, "{} {text}", crate::time::utc_now()));
        self.warn(text);
    }

    /// `SOURCE_DATE_EPOCH`: what is written down does not depend on when, and how fast, it is made
    /// (<https://reproducible-builds.org/specs/source-date-epoch/>).
    pub fn source_date_epoch(&self) -> Option<u64> {
        let (_, value) = self.host.environment.iter().find(|(name, _)| name == "SOURCE_DATE_EPOCH")?;
        value.to_str()?.parse().ok()
    }

    /// Seconds since 1970 to be written down: now, or [`Session::source_date_epoch`].
    pub fn recorded_time(&self) -> u64 {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        self.source_date_epoch().unwrap_or_else(now)
    }

    /// Refuses a tree that cannot be written, before anything is changed. Only for what is about to be changed: a command
    /// that finds nothing to do needs no tree that can be written.
    ///
    /// # Errors
    /// [`crate::Error::TreeNotWritable`].
    pub fn require_writable_tree(&self) -> crate::Result<()> {
        Ok(self.layout.require_writable()?)
    }

    /// The trees of the system that this session works on.
    pub(crate) fn trees(&self) -> Trees<'_> {
        Trees { layout: self.layout, other_root: self.host.other_root.is_some() }
    }

    /// Whether a kernel is the one that runs on this system.
    pub fn runs(&self, release: &str) -> bool {
        self.host.other_root.is_none() && release == self.host.release
    }

    /// The distribution; an error where paths depend on it and nothing tells.
    ///
    /// # Errors
    /// [`crate::Error::NoOsRelease`].
    pub fn distribution(&self) -> crate::Result<&Distribution> {
        self.host.distribution.as_ref().ok_or(crate::Error::NoOsRelease)
    }

    /// How `parallel_jobs` appears in dkms.conf and in the make line: empty for "no limit".
    pub fn jobs_word(&self) -> String {
        match self.options.jobs {
            Some(0) => String::new(),
            Some(n) => n.to_string(),
            None => self.host.cpus.max(1).to_string(),
        }
    }
}
