//! Finds real kernels, modules and tools for the tests, which are skipped where there are none.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Says why a test does nothing here.
pub fn skip(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Unpacked kernel packages: `DKMS_TEST_KERNELS`, or in the checkout `build/kernels` and the layers that
/// `tests/fetch.sh` unpacks for the end-to-end tests.
fn roots() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("DKMS_TEST_KERNELS") {
        return vec![named.into()];
    }
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build");
    let layers = ["headers-6.1", "headers-6.12", "image-6.1"];
    let layers = layers.iter().map(|layer| build.join("layers").join(layer).join("root"));
    std::iter::once(build.join("kernels")).chain(layers).collect()
}

fn walk(directory: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&path, wanted, found),
            Ok(kind) if kind.is_file() && wanted(&path) => found.push(path),
            _ => {}
        }
    }
}

/// At most `count` real modules, spread evenly over all there are.
pub fn modules(count: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in roots() {
        for place in ["lib/modules", "usr/lib/modules"] {
            walk(
                &root.join(place),
                &|path| path.extension().is_some_and(|suffix| suffix == "ko"),
                &mut found,
            );
        }
    }
    found.sort();
    let step = found.len().div_ceil(count).max(1);
    found.into_iter().step_by(step).collect()
}

/// Every `Module.symvers` of installed or unpacked headers.
pub fn symvers() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in roots().iter().map(|r| r.join("usr/src")).chain([PathBuf::from("/usr/src")]) {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let file = entry.path().join("Module.symvers");
            if file.is_file() {
                found.push(file);
            }
        }
    }
    found
}

/// Every sign-file of installed or unpacked kernel build tools.
pub fn sign_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in roots().iter().map(|r| r.join("usr/lib")).chain([PathBuf::from("/usr/lib")]) {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let file = entry.path().join("scripts/sign-file");
            if file.is_file() {
                found.push(file);
            }
        }
    }
    found
}

/// True when the program can be started.
pub fn has(program: &str) -> bool {
    let result = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    result.is_ok()
}

/// Standard output of a program that must succeed.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
