//! A private copy-on-write root: see `root-setup.sh` for how it is laid out.

use crate::layers::{self, Layer};
use crate::module::{self, Installed};
use crate::tree;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use thiserror::Error;

/// Which dkms a root holds as `/usr/sbin/dkms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Impl {
    /// Debian's package.
    Debian,
    /// The binary under test, with the hooks and helper files of Debian's package.
    Ours,
    /// The binary under test and nothing else of dkms.
    Alone,
    /// No dkms at all.
    Absent,
}

/// A kernel that `fetch.sh` provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Debian 12's own kernel.
    K61,
    /// The backported 6.12.
    K612,
}

impl Kernel {
    /// The name of the layer with its headers.
    #[must_use]
    pub fn headers(self) -> &'static str {
        match self {
            Self::K61 => "headers-6.1",
            Self::K612 => "headers-6.12",
        }
    }

    /// The name of the layer with its modules.
    #[must_use]
    pub fn image(self) -> &'static str {
        match self {
            Self::K61 => "image-6.1",
            Self::K612 => "image-6.12",
        }
    }

    /// Its release as `uname -r` says it; empty when not fetched.
    #[must_use]
    pub fn release(self) -> String {
        Layer::find(self.headers()).map(|l| l.kernel).unwrap_or_default()
    }
}

/// Why a root could not be made or used.
#[derive(Debug, Error)]
pub enum RootError {
    /// A layer or a binary is missing, or we are not root.
    #[error("{0}")]
    Missing(String),
    /// A system call or program failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The namespace's process 1 gave up before it was ready.
    #[error("the private root could not be laid out: {0}")]
    Setup(String),
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> RootError {
    let what = what.into();
    move |source| RootError::Io { what, source }
}

/// What a script did.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit status; 128 + signal when killed.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Collects what a root shall hold.
#[derive(Debug, Clone)]
pub struct Builder {
    layers: Vec<String>,
    dkms: Impl,
}

impl Builder {
    /// Lay the headers of a kernel in.
    #[must_use]
    pub fn kernel(self, kernel: Kernel) -> Self {
        self.layer(kernel.headers())
    }

    /// Lay the modules of a kernel in (with `modules.dep`).
    #[must_use]
    pub fn image(self, kernel: Kernel) -> Self {
        self.layer(kernel.image())
    }

    /// Lay any layer of `build/layers` in, such as `packages/v4l2loopback-dkms`.
    #[must_use]
    pub fn layer(mut self, name: &str) -> Self {
        self.layers.push(name.to_owned());
        self
    }

    /// Which dkms; Debian's unless said otherwise.
    #[must_use]
    pub fn dkms(mut self, dkms: Impl) -> Self {
        self.dkms = dkms;
        self
    }

    /// Make the root.
    ///
    /// # Errors
    /// When a layer is not there, we are not root, or the kernel refuses a mount.
    pub fn build(self) -> Result<Root, RootError> {
        let ours = match self.dkms {
            Impl::Ours | Impl::Alone => Some(layers::our_binary().map_err(RootError::Missing)?),
            Impl::Debian | Impl::Absent => None,
        };
        let mut names = self.layers;
        if matches!(self.dkms, Impl::Debian | Impl::Ours) {
            names.push("dkms-debian".to_owned());
        }
        let layers = names.iter().map(|name| folder(name)).collect::<Result<Vec<_>, _>>()?;
        let root = Root::start(&layers)?;
        if let Some(binary) = ours {
            let target = root.path("/usr/sbin/dkms");
            if let Err(error) = fs::remove_file(&target) {
                if error.kind() != io::ErrorKind::NotFound {
                    return Err(io_error("removing Debian's dkms")(error));
                }
            }
            fs::copy(&binary, &target).map_err(io_error(format!("copying {}", binary.display())))?;
        }
        Ok(root)
    }
}

/// The folder of a layer.
fn folder(name: &str) -> Result<PathBuf, RootError> {
    let root = Layer::find(name).map_err(RootError::Missing)?.root;
    fs::canonicalize(&root).map_err(io_error(name))
}

/// A private root; all of it, its processes and its mounts go away when this is dropped.
#[derive(Debug)]
pub struct Root {
    namespace: Child,
    /// Held open: process 1 in there ends when it closes, also when we are killed.
    stdin: Option<ChildStdin>,
    init: u32,
}

impl Root {
    /// Begin to describe a root.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { layers: Vec::new(), dkms: Impl::Debian }
    }

    fn start(layers: &[PathBuf]) -> Result<Self, RootError> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut namespace = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--net",
                "--ipc",
                "--fork",
                "--kill-child",
                "--propagation",
                "private",
            ])
            .arg(tests.join("root-setup.sh"))
            .arg(tests)
            .args(layers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io_error("unshare"))?;
        let mut line = String::new();
        if let Some(stdout) = namespace.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(io_error("reading from the private root"))?;
        }
        let stdin = namespace.stdin.take();
        if line.trim() != "ready" {
            let mut said = String::new();
            if let Some(mut stderr) = namespace.stderr.take() {
                let _ = stderr.read_to_string(&mut said);
            }
            let _ = namespace.wait();
            return Err(RootError::Setup(said));
        }
        let init =
            child_of(namespace.id()).ok_or_else(|| RootError::Setup("process 1 is gone".to_owned()))?;
        Ok(Self { namespace, stdin, init })
    }

    /// Where a path of the private root is seen from outside. Only follow it for folders and files whose
    /// parents are no absolute links.
    #[must_use]
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        let relative = inside.strip_prefix("/").unwrap_or(inside);
        PathBuf::from(format!("/proc/{}/root", self.init)).join(relative)
    }

    /// A command that runs `words` as root in `/root`, in a session of its own, with a clean environment; it
    /// is killed after some time. The caller adds the streams.
    #[must_use]
    pub fn command(&self, words: &[&str], limit: Duration) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.init))
            .args(["--mount", "--pid", "--net", "--ipc", "--root", "--wd", "--"])
            .args(["env", "-i", "HOME=/root", "LC_ALL=C.UTF-8", "A=x86_64"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .arg(format!("K={}", Kernel::K61.release()))
            .arg(format!("K612={}", Kernel::K612.release()))
            .args(["--chdir=/root", "setsid", "--wait", "timeout", "-k", "5"])
            .arg(limit.as_secs().to_string())
            .args(words)
            .stdin(Stdio::null());
        command
    }

    /// Runs a bash script (with the functions of `prelude.sh`) as [`Root::command`] does.
    ///
    /// # Errors
    /// When it cannot be started; a failing script is an [`Output`].
    pub fn run(&self, script: &str) -> Result<Output, RootError> {
        let script = format!(". /e2e/prelude.sh\n{script}");
        let output = self
            .command(&["bash", "-c", &script], Duration::from_secs(1500))
            .output()
            .map_err(io_error("nsenter"))?;
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or_default();
        Ok(Output {
            status: output.status.code().unwrap_or(128 + signal),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// A sorted listing of a folder in the root: see [`tree::list`].
    ///
    /// # Errors
    /// When something below cannot be read.
    pub fn tree(&self, inside: &str) -> Result<Vec<String>, RootError> {
        tree::list(&self.path(inside)).map_err(io_error(inside))
    }

    /// The modules installed for a kernel outside its own `kernel` folder.
    ///
    /// # Errors
    /// When a folder or module cannot be read.
    pub fn installed(&self, kernel: &str) -> Result<Vec<Installed>, RootError> {
        let base = self.path(format!("/usr/lib/modules/{kernel}"));
        let mut found = Vec::new();
        for top in ["updates", "extra", "kernel-changed"] {
            for line in tree::list(&base.join(top)).map_err(io_error(top))? {
                let mut words = line.split(' ');
                let name = match words.next() {
                    Some("f") => words.nth(1),
                    Some("l") => words.next(),
                    _ => None,
                };
                if let Some(name) = name.filter(|n| n.contains(".ko")) {
                    let path = format!("{top}/{name}");
                    found.push(module::inspect(&base.join(&path), path).map_err(io_error(name))?);
                }
            }
        }
        Ok(found)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.namespace.wait();
    }
}

/// The only child of a process, from outside its PID namespace.
fn child_of(parent: u32) -> Option<u32> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command's name, in parentheses, may hold anything; the parent is the second word after it.
        let (_, after) = stat.rsplit_once(')')?;
        (after.split_whitespace().nth(1)?.parse() == Ok(parent)).then_some(pid)
    })
}
