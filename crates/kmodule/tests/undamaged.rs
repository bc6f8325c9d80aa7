//! The kernels' own modules are in order: no refusal for their structure, and nothing in them that looks like damage.

use kmodule::verdict::{File, KernelView, Reason};
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the kernel packages that tests/fetch.sh brings.
fn modules() -> Vec<PathBuf> {
    let build = std::env::var_os("DKMS_TEST_BUILD").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build"),
        PathBuf::from,
    );
    let mut pending: Vec<PathBuf> =
        ["vm-6.1", "vm-6.12", "image-6.1"].map(|layer| build.join("layers").join(layer).join("root")).into();
    let mut found = Vec::new();
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                pending.push(path);
            } else if kind.is_file() && path.to_string_lossy().contains(".ko") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn modules_of_kernels_are_in_order() {
    // All 6,000 take minutes without optimization: UNDAMAGED_STEP=1.
    let step = std::env::var("UNDAMAGED_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(25);
    let files: Vec<PathBuf> = modules().into_iter().step_by(step).collect();
    if files.is_empty() {
        println!("skipped: no kernel packages, run tests/fetch.sh");
        return;
    }
    let mut wrong = Vec::new();
    for path in &files {
        let bytes = fs::read(path).unwrap();
        let file = File::read(&bytes, 1 << 28);
        for release in ["6.1.0", "6.12.0", "6.18.0"] {
            let verdict = file.judge(&KernelView::new(release, "x86_64"));
            let structure = |reason: &&Reason| !matches!(reason, Reason::Vermagic { .. } | Reason::NoSymvers | Reason::LoaderUnknown { .. });
            for reason in verdict.refusals.iter().chain(&verdict.doubts).filter(structure) {
                wrong.push(format!("{release}: {}: {reason}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} modules:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}
