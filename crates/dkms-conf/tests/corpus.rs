//! Evaluates every dkms.conf of a collection of real packages, natively and by bash.
//!
//! `DKMS_CORPUS` is the collection's directory; it is searched recursively.

#![allow(clippy::print_stderr, reason = "tests print what they skip and count")]

mod common;

use common::{Bash, regex_matches, state};
use dkms_conf::{Dialect, evaluate};

#[test]
fn real_packages() {
    let files = common::corpus(|n| n.starts_with("dkms.conf"));
    if files.is_empty() {
        return;
    }
    let Some(bash) = Bash::new("/usr/sbin:/usr/bin:/sbin:/bin") else { return };
    let mut native = 0;
    let mut declined = Vec::new();
    for file in &files {
        let text = std::fs::read(file).expect("read");
        let name = file.display().to_string();
        let mut why = None;
        for (kernel, arch) in
            [("6.1.0-56-amd64", "x86_64"), ("6.12.117+deb12-amd64", "x86_64"), ("4.19.0-5-686", "i686")]
        {
            let before = state(kernel, arch);
            let program = bash.program_on(&name, &before, Dialect::Module, "C");
            let reference = bash.reference_on(&name, &before, Dialect::Module, "C");
            assert_eq!(program, reference, "the two bash programs differ on {name} for {kernel}");
            match evaluate(&text, &before, Dialect::Module, &regex_matches) {
                Ok(ours) => assert_eq!(Ok(ours), reference, "{name} for {kernel}"),
                Err(decline) => why = Some(decline),
            }
        }
        match why {
            None => native += 1,
            Some(decline) => declined.push(format!("{name}: {decline}")),
        }
    }
    eprintln!("{} files, {native} native, {} by bash", files.len(), declined.len());
    for line in declined {
        eprintln!("  {line}");
    }
}
