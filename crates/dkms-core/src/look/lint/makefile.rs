//! Checks whether the makefiles and scripts that a MAKE line uses build for the kernel that dkms passes.

use dkms_conf::Directives;
use dkms_sys::fs;
use std::path::{Path, PathBuf};

/// The names of makefiles, in the order in which make searches for them.
const NAMES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];

/// The maximum number of files that are read.
const MAX_FILES: usize = 20;

/// Returns whether a makefile or script uses the kernel. dkms passes KERNELRELEASE to make, and exports
/// kernelver: if a file uses either, the MAKE line need not contain the release. `make` is the MAKE line,
/// `directory` contains the source.
pub(super) fn uses_kernel(directory: &Path, make: &str, directives: &Directives) -> bool {
    let mut files = files_of_command(directory, make);
    files.extend(files_of_command(directory, directives.scalar("PRE_BUILD")));
    let mut next = 0;
    while let Some(file) = files.get(next).cloned() {
        next += 1;
        let Ok(Some(bytes)) = fs::read_optional(&file, fs::Limit::CONFIG) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        if text_uses_kernel(&text) {
            return true;
        }
        let parent = file.parent().unwrap_or(directory);
        for included in includes(&text).map(|name| parent.join(name)) {
            if files.len() < MAX_FILES && !files.contains(&included) {
                files.push(included);
            }
        }
    }
    false
}

/// Returns the makefiles in the directories that a command mentions, and the files that it mentions.
fn files_of_command(directory: &Path, command: &str) -> Vec<PathBuf> {
    let paths = || {
        let words = command.split([' ', '\t', ';', '&', '|', '(', ')', '=', '"', '\'']);
        let relative = words.filter(|word| !word.is_empty() && !word.starts_with(['/', '-']));
        relative.map(|word| directory.join(word))
    };
    let folders = std::iter::once(directory.to_path_buf()).chain(paths().filter(|path| path.is_dir()));
    let makefile =
        |folder: PathBuf| NAMES.iter().map(|name| folder.join(name)).find(|path| fs::is_file(path));
    let mut files: Vec<PathBuf> = folders.take(MAX_FILES).filter_map(makefile).collect();
    files.extend(paths().filter(|path| fs::is_file(path)).take(MAX_FILES));
    files
}

/// Returns the files that a makefile or script includes. Names with variables and absolute paths are skipped.
fn includes(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let is_include = matches!(words.next(), Some("include" | "-include" | "sinclude" | "." | "source"));
        is_include.then_some(words)
    });
    lines.flatten().filter(|name| !name.starts_with('/') && !name.contains('$'))
}

/// Returns whether a line uses the release that dkms passes. `ifneq ($(KERNELRELEASE),)` does not count: it
/// only distinguishes the call by kbuild from the first call.
fn text_uses_kernel(text: &str) -> bool {
    let is_test = |line: &str| {
        ["ifeq", "ifneq", "ifdef", "ifndef", "else if"].iter().any(|word| line.starts_with(word))
    };
    let mut lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with('#') && !is_test(line));
    let uses = |line: &str, name: &str| {
        // `KERNELRELEASE ?= …` is a default for the value that dkms passes.
        let sets_default = line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with("?="));
        let reads = |(at, _): (usize, &str)| {
            line.get(..at).is_some_and(|before| ["$(", "${", "$"].iter().any(|sign| before.ends_with(sign)))
        };
        sets_default || line.match_indices(name).any(reads)
    };
    lines.any(|line| uses(line, "KERNELRELEASE") || uses(line, "kernelver"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_use_the_kernel() {
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
        for (text, expected) in table {
            assert_eq!(text_uses_kernel(text), expected, "{text}");
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
            let files = files_of_command(source, command).into_iter();
            files.map(|file| file.strip_prefix(source).unwrap().display().to_string()).collect()
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
