//! The results of Debian's dkms, kept in `build/baseline` so that they are computed once per machine.

use crate::layers::{Layer, build_dir, workspace};
use crate::tree::{list, sha256};
use serde::{Serialize, de::DeserializeOwned};
use std::fs;
use std::process::Command;
use std::sync::OnceLock;

/// A digest of everything that the results depend on besides the case itself: kernels, Debian's dkms, the
/// machine's tools, the fixtures and the recorder.
#[must_use]
pub fn environment() -> &'static str {
    static DIGEST: OnceLock<String> = OnceLock::new();
    DIGEST.get_or_init(digest)
}

fn digest() -> String {
    let mut text = String::new();
    for name in ["headers-6.1", "headers-6.12", "image-6.1", "dkms-debian"] {
        text.push_str(&Layer::find(name).map(|l| l.stamp).unwrap_or_default());
    }
    for tool in ["gcc", "make", "modinfo", "pahole", "patch", "bash"] {
        let said = Command::new(tool).arg("--version").output().map(|o| o.stdout).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&said));
    }
    let tests = workspace().join("tests");
    text.push_str(&list(&tests.join("fixtures")).unwrap_or_default().join("\n"));
    for name in ["record.sh", "prelude.sh", "root-setup.sh"] {
        text.push_str(&fs::read_to_string(tests.join(name)).unwrap_or_default());
    }
    sha256(text.as_bytes())
}

/// The kept result of this name and key, or a new one by `compute`, which is then kept.
///
/// # Errors
/// Only those of `compute`: an unreadable or unwritable cache is no cache.
pub fn cached<T, E>(name: &str, key: &str, compute: impl FnOnce() -> Result<T, E>) -> Result<T, E>
where
    T: Serialize + DeserializeOwned,
{
    let digest = sha256(key.as_bytes());
    let file = build_dir().join(format!("baseline/{name}-{}.json", digest.get(..16).unwrap_or(&digest)));
    if let Some(kept) = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(kept);
    }
    let value = compute()?;
    if let Ok(bytes) = serde_json::to_vec_pretty(&value) {
        let folder = file.parent().unwrap_or(&file);
        let _ = fs::create_dir_all(folder).and_then(|()| fs::write(&file, bytes));
    }
    Ok(value)
}
