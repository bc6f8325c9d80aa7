//! Real bash as the reference: the product's program, and one written only for the tests, which does step by
//! step, with a temporary file, what dkms 3's `safe_source` does.

#![allow(dead_code, clippy::print_stderr)]

use dkms_conf::{Dialect, Directives, InvalidRegex, State, bash_arguments, bash_program, parse_records};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Matches regular expressions as the product does.
pub fn regex_matches(pattern: &str, text: &str) -> Result<bool, InvalidRegex> {
    dkms_sys::regex::matches(pattern, text).map_err(|error| InvalidRegex(error.to_string()))
}

/// `reference.sh FILE TEMPORARY NAMES ARGUMENTS…`; its output has the same records as that of the product's
/// program.
const REFERENCE: &str = r#"#!/bin/bash
shopt -s extglob
take() {
    local file=$1 tmpfile=$2; shift 2
    declare -a -r export_envs=( $@ )
    local -r CR=$(echo -e '\r')
    (
        exec >"$tmpfile"
        # Not dkms's: keeps bash 5.2 from turning into the file's last command (see the product's program). One of
        # these may be ignored from the start (perf does that), and then has no trap.
        trap : USR1 USR2 URG
        . "$file" >/dev/null
        for _export_env in "${export_envs[@]}"; do
            for _i in $(eval echo \${!"${_export_env}"[@]}); do
                eval echo '$_export_env[$_i]=\"${'"${_export_env}"'[$_i]%$CR}\"'
            done
        done
    )
    . "$tmpfile"
}
_file=$1 _tmp=$2 _names=$3
shift 3
for _argument; do
    _name=${_argument%%=*}
    if [[ $_name == *"["* ]]; then
        declare "$_name=${_argument#*=}"
    else
        eval "$_name=\${_argument#*=}"
    fi
done
take "$_file" "$_tmp" "$_names" >/dev/null
for _name in $_names; do
    eval "_indices=\${!$_name[*]}"
    for _index in $_indices; do
        eval "_value=\${$_name[$_index]}"
        printf '%s\0%s\0%s\0' "$_name" "$_index" "$_value"
    done
done
printf '\0\0\0'
"#;

/// A temporary directory, with an empty working directory in it.
pub struct Bash {
    directory: PathBuf,
    path: &'static str,
}

impl Drop for Bash {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Bash {
    /// `None` if there is no bash. `path` is the search path for commands in files.
    pub fn new(path: &'static str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !Path::new("/bin/bash").exists() {
            eprintln!("skipped: no /bin/bash here");
            return None;
        }
        let name = format!("judge-of-confs-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(directory.join("empty")).expect("temporary directory");
        // A script, like dkms 3.
        std::fs::write(directory.join("reference.sh"), REFERENCE).expect("write the reference");
        Some(Self { directory, path })
    }

    fn run(&self, arguments: &[String], locale: &str) -> Result<Directives, String> {
        let output = Command::new("/bin/bash")
            .args(["--noprofile", "--norc"])
            .args(arguments)
            .env_clear()
            .env("PATH", self.path)
            .env("LC_ALL", locale)
            .current_dir(self.directory.join("empty"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        parse_records(&output.stdout).map_err(|e| e.to_string())
    }

    fn write(&self, text: &[u8]) -> PathBuf {
        let file = self.directory.join("dkms.conf");
        std::fs::write(&file, text).expect("write a case");
        file
    }

    /// Runs the product's program on a text.
    pub fn program(
        &self,
        text: &[u8],
        before: &State,
        dialect: Dialect,
        locale: &str,
    ) -> Result<Directives, String> {
        let file = self.write(text).display().to_string();
        self.program_on(&file, before, dialect, locale)
    }

    /// Like [`Bash::program`], for an existing file.
    pub fn program_on(
        &self,
        file: &str,
        before: &State,
        dialect: Dialect,
        locale: &str,
    ) -> Result<Directives, String> {
        let mut arguments = vec!["-c".to_owned(), bash_program(dialect), "dkms".into(), file.to_owned()];
        arguments.extend(bash_arguments(before));
        self.run(&arguments, locale)
    }

    /// Runs the test's own program on a text.
    pub fn reference(
        &self,
        text: &[u8],
        before: &State,
        dialect: Dialect,
        locale: &str,
    ) -> Result<Directives, String> {
        let file = self.write(text).display().to_string();
        self.reference_on(&file, before, dialect, locale)
    }

    /// Like [`Bash::reference`], for an existing file.
    pub fn reference_on(
        &self,
        file: &str,
        before: &State,
        dialect: Dialect,
        locale: &str,
    ) -> Result<Directives, String> {
        let names: Vec<&str> = dialect.table().iter().map(|d| d.name).collect();
        let temporary = self.directory.join("lines").display().to_string();
        let mut arguments = vec![
            self.directory.join("reference.sh").display().to_string(),
            file.to_owned(),
            temporary,
            names.join(" "),
        ];
        arguments.extend(bash_arguments(before));
        self.run(&arguments, locale)
    }
}

/// The values that dkms sets before it reads a package's file.
pub fn state(kernelver: &str, arch: &str) -> State {
    let mut state = State::default();
    for (name, value) in [
        ("kernelver", kernelver),
        ("arch", arch),
        ("kernel_source_dir", &format!("/lib/modules/{kernelver}/build")),
        ("kernel_config", &format!("/lib/modules/{kernelver}/build/include/config/auto.conf")),
        ("dkms_tree", "/var/lib/dkms"),
        ("source_tree", "/usr/src"),
        ("install_tree", "/lib/modules"),
        ("tmp_location", "/tmp"),
        ("module", "mod"),
        ("module_version", "1.0"),
        ("parallel_jobs", "4"),
        ("current_kernel", "6.1.0-56-amd64"),
        ("current_os", "Linux"),
        ("running_distribution", "debian"),
        ("addon_modules_dir", ""),
    ] {
        state.variables.insert(name.into(), value.into());
    }
    state
}

/// All files with matching names of real packages below `DKMS_CORPUS`, otherwise below `build/corpus`; prints
/// a message if there are none.
pub fn corpus(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let root = std::env::var_os("DKMS_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/corpus"), PathBuf::from);
    let (mut files, mut left) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = left.pop() {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() && !path.is_symlink() {
                left.push(path);
            } else if path.file_name().is_some_and(|n| wanted(&n.to_string_lossy())) && path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    if files.is_empty() {
        eprintln!("skipped: no dkms.conf below {} (set DKMS_CORPUS)", root.display());
    }
    files
}
