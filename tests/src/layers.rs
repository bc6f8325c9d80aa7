//! The folders that `fetch.sh` unpacked into `build/layers`, to be laid over the machine's root.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The workspace's root folder.
#[must_use]
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// Where downloads and results are kept: `DKMS_TEST_BUILD`, else `build/` in the workspace.
#[must_use]
pub fn build_dir() -> PathBuf {
    env::var_os("DKMS_TEST_BUILD").map_or_else(|| workspace().join("build"), PathBuf::from)
}

/// One unpacked layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Folder to lay over the root.
    pub root: PathBuf,
    /// The kernel release it belongs to (`6.1.0-56-amd64`), empty for other layers.
    pub kernel: String,
    /// The package versions it was made of, one `name=version` a line.
    pub stamp: String,
}

impl Layer {
    /// Finds a layer by its name (`headers-6.1`, `image-6.1`, `dkms-debian` …); `packages/NAME` is an
    /// unpacked package.
    ///
    /// # Errors
    /// A sentence that says what is missing and how to get it.
    pub fn find(name: &str) -> Result<Self, String> {
        let dir = build_dir().join("layers").join(name);
        let read = |file: &str| fs::read_to_string(dir.join(file));
        if let Some(package) = name.strip_prefix("packages/") {
            let root = build_dir().join("corpus").join(package);
            if root.is_dir() {
                return Ok(Self { root, kernel: String::new(), stamp: String::new() });
            }
        }
        match (read("stamp"), read("kernel")) {
            (Ok(stamp), Ok(kernel)) => Ok(Self { root: dir.join("root"), kernel, stamp }),
            _ => Err(format!("no layer {name}: run tests/fetch.sh first")),
        }
    }
}

/// Whether the tests run as root.
#[must_use]
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// Why no private root with the usual layers can be made here, if so.
#[must_use]
pub fn obstacle() -> Option<String> {
    if !is_root() {
        return Some("needs root, for a private mount namespace".to_owned());
    }
    ["headers-6.1", "headers-6.12", "image-6.1", "dkms-debian"]
        .into_iter()
        .find_map(|name| Layer::find(name).err())
}

/// The same, for what compares Debian's dkms with ours.
#[must_use]
pub fn obstacle_to_comparison() -> Option<String> {
    obstacle().or_else(|| our_binary().err())
}

/// The binary under test: `DKMS_BIN`, else `target/release/dkms`; an error when it is not there.
///
/// # Errors
/// A sentence that names the path that was looked for.
pub fn our_binary() -> Result<PathBuf, String> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let path = env::var_os("DKMS_BIN").map_or_else(|| target.join("release/dkms"), PathBuf::from);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("no dkms of ours at {} (set DKMS_BIN)", path.display()))
    }
}
