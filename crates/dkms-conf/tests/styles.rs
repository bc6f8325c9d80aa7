//! Evaluates files in the style of well-known packages, natively and by bash.

#![allow(clippy::print_stderr, reason = "tests print what they skip and count")]

mod common;

use common::{Bash, regex_matches, state};
use dkms_conf::{Dialect, evaluate};
use std::path::Path;

/// These need a shell for more than values.
const FOR_BASH: [&str; 8] = [
    "filesystem-like",
    "tracer-like",
    "wifi-like",
    "version-gate",
    "functions",
    "ends-early",
    "unbalanced",
    "last-command",
];

#[test]
fn well_known_styles() {
    let Some(bash) = Bash::new("/usr/bin:/bin") else { return };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/styles");
    let mut names: Vec<_> =
        std::fs::read_dir(&directory).expect("styles").flatten().map(|e| e.path()).collect();
    names.sort();
    assert!(names.len() >= 20, "{}", names.len());
    for path in &names {
        let name = path.file_stem().expect("name").to_string_lossy().into_owned();
        let text = std::fs::read(path).expect("read");
        for (kernel, arch) in [("6.1.0-56-amd64", "x86_64"), ("4.19.0-5-686", "i686")] {
            let before = state(kernel, arch);
            let reference = bash.reference(&text, &before, Dialect::Module, "C");
            let program = bash.program(&text, &before, Dialect::Module, "C");
            assert_eq!(program, reference, "the two bash programs on {name}");
            match evaluate(&text, &before, Dialect::Module, &regex_matches) {
                Ok(ours) => {
                    assert!(!FOR_BASH.contains(&name.as_str()), "{name} is native now");
                    assert_eq!(Ok(ours), reference, "{name} for {kernel}");
                }
                Err(decline) => assert!(FOR_BASH.contains(&name.as_str()), "{name}: {decline}"),
            }
        }
    }
}
