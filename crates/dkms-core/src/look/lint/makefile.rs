//! Checks whether the files that a MAKE line uses build for the kernel that dkms passes.

use dkms_conf::Directives;
use dkms_sys::fs;
use std::path::{Path, PathBuf};

/// The names of makefiles, in the order in which make searches for them.
const NAMES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];

/// The maximum number of files that are read.
const MAX_FILES: usize = 20;

/// Returns whether a makefile or script uses the kernel. dkms passes KERNELRELEASE to make, and exports
/// kernelver: if a file uses either, the MAKE line need not contain the release. `make` is the line,
/// `directory` the source.
pub(super) fn uses_kernel(directory: &Path, make: &str, directives: &Directives) -> bool {
    let mut files = named(directory, make);
    files.extend(named(directory, directives.scalar("PRE_BUILD")));
    let mut at = 0;
    while let Some(file) = files.get(at).cloned() {
        at += 1;
        let Ok(Some(bytes)) = fs::read_optional(&file, fs::Limit::CONFIG) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        if mentions_kernel(&text) {
            return true;
        }
        let beside = file.parent().unwrap_or(directory);
        for included in includes(&text).map(|name| beside.join(name)) {
            if files.len() < MAX_FILES && !files.contains(&included) {
                files.push(included);
            }
        }
    }
    false
}

/// The makefiles that a command reads, and the scripts and makefiles that it names.
fn named(directory: &Path, command: &str) -> Vec<PathBuf> {
    let words =
        || command.split([' ', '\t', ';', '&', '|', '(', ')', '=', '"', '\'']).filter(|w| !w.is_empty());
    let relative = |word: &&str| !word.starts_with('/') && !word.starts_with('-');
    let folders = words().filter(relative).map(|word| directory.join(word)).filter(|path| path.is_dir());
    let makefile = |folder: PathBuf| NAMES.iter().map(|n| folder.join(n)).find(|path| fs::is_file(path));
    let mut files: Vec<PathBuf> =
        [directory.to_path_buf()].into_iter().chain(folders).take(MAX_FILES).filter_map(makefile).collect();
    let others = words().filter(relative).map(|word| directory.join(word)).filter(|path| fs::is_file(path));
    files.extend(others.take(MAX_FILES));
    files
}

/// The files that a makefile includes under a literal name.
fn includes(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let is_include = matches!(words.next(), Some("include" | "-include" | "sinclude" | "." | "source"));
        is_include.then_some(words)
    });
    lines.flatten().filter(|name| !name.starts_with('/') && !name.contains('$'))
}

/// Returns whether a line uses the release that dkms passes. `ifneq ($(KERNELRELEASE),)` does not: it only
/// distinguishes the call by kbuild from the first call.
fn mentions_kernel(text: &str) -> bool {
    let is_test = |line: &str| {
        ["ifeq", "ifneq", "ifdef", "ifndef", "else if"].iter().any(|word| line.starts_with(word))
    };
    let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with('#') && !is_test(line));
    let mut used = lines.map(|line| {
        let reads = |name: &str| {
            line.match_indices(name).any(|(at, _)| {
                let before = line.get(..at).unwrap_or_default();
                ["$(", "${", "$", "$$"].iter().any(|sign| before.ends_with(sign))
            })
        };
        // `KERNELRELEASE ?= …` is a default for the value that dkms passes.
        let default = ["KERNELRELEASE", "kernelver"]
            .iter()
            .any(|name| line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with("?=")));
        default || reads("KERNELRELEASE") || reads("kernelver")
    });
    used.any(|used| used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_uses_the_kernel() {
        let table = [
            ("KDIR := /lib/modules/$(KERNELRELEASE)/build\n", true),
            ("KVER ?= $(or $(kernelver),$(shell uname -r))\n", true),
            ("KERNELRELEASE ?= $(shell uname -r)\n", true),
            ("make -C /lib/modules/${kernelver}/build\n", true),
            ("all:\n\t./configure --kernel=$$kernelver\n", true),
            (
                "ifneq ($(KERNELRELEASE),)\nobj-m := a.o\nelse\nKDIR ?= /lib/modules/$(shell uname -r)/build\nendif\n",
                false,
            ),
            ("# /lib/modules/$(KERNELRELEASE)/build\nKDIR ?= /lib/modules/`uname -r`/build\n", false),
            ("", false),
        ];
        for (text, want) in table {
            assert_eq!(mentions_kernel(text), want, "{text}");
        }
    }

    #[test]
    fn files_that_a_command_uses() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path();
        std::fs::create_dir(source.join("src")).unwrap();
        for file in ["Makefile", "src/makefile", "build.sh", "dkms.mk"] {
            std::fs::write(source.join(file), "").unwrap();
        }
        let names = |command: &str| -> Vec<String> {
            let files = named(source, command).into_iter();
            files.map(|f| f.strip_prefix(source).unwrap().display().to_string()).collect()
        };
        assert_eq!(names("make -C src all"), ["Makefile", "src/makefile"]);
        assert_eq!(names("./build.sh && make -f dkms.mk"), ["Makefile", "build.sh", "dkms.mk"]);
        assert!(!uses_kernel(source, "make -C src", &Directives::new()));
        std::fs::write(source.join("src/makefile"), "include config.mk\n").unwrap();
        std::fs::write(source.join("src/config.mk"), "K := $(KERNELRELEASE)\n").unwrap();
        assert!(uses_kernel(source, "make -C src", &Directives::new()));
        assert!(!uses_kernel(source, "make", &Directives::new()));
    }
}
