//! Finds real kernels, modules and tools. Tests without them are skipped.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Reports why a test is skipped.
pub fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Unpacked kernel packages: `DKMS_TEST_KERNELS`, or below `DKMS_TEST_BUILD` (in the checkout: `build`) what
/// is in `kernels` and the layers that `tests/fetch.sh` unpacks for the end-to-end tests.
fn roots() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("DKMS_TEST_KERNELS") {
        return vec![named.into()];
    }
    let checkout = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build");
    let build = std::env::var_os("DKMS_TEST_BUILD").map_or_else(checkout, PathBuf::from);
    let layers = ["headers-6.1", "headers-6.12", "image-6.1", "image-6.12"];
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

/// A kernel with its image, modules and headers.
pub struct Kernel {
    pub release: String,
    /// `vmlinuz-RELEASE`
    pub image: PathBuf,
    /// `lib/modules/RELEASE`
    pub modules: PathBuf,
    /// `Module.symvers` of its headers
    pub symvers: PathBuf,
}

impl Kernel {
    /// Every module file, compressed or not, sorted.
    pub fn module_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let is_module = |path: &Path| path.to_string_lossy().rsplit('/').next().unwrap().contains(".ko");
        walk(&self.modules, &is_module, &mut found);
        found.sort();
        found
    }
}

/// Every unpacked kernel image with modules and headers.
pub fn kernels() -> Vec<Kernel> {
    let mut found = Vec::new();
    let symvers = symvers();
    for root in roots() {
        for entry in fs::read_dir(root.join("boot")).into_iter().flatten().flatten() {
            let Some(release) =
                entry.file_name().to_str().and_then(|n| n.strip_prefix("vmlinuz-")).map(str::to_owned)
            else {
                continue;
            };
            let places = ["lib/modules", "usr/lib/modules"].map(|place| root.join(place).join(&release));
            let headers = format!("linux-headers-{release}");
            let list = symvers.iter().find(|file| file.parent().unwrap().ends_with(&headers));
            if let (Some(modules), Some(symvers)) = (places.into_iter().find(|p| p.is_dir()), list) {
                found.push(Kernel { release, image: entry.path(), modules, symvers: symvers.clone() });
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

/// The standard output of a program; it must succeed.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The output of a program for `input`; it must succeed.
pub fn filter(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments);
    feed(command, input)
}

/// The output of a command for `input`; it must succeed.
pub fn feed(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

/// An x86 kernel image as in Documentation/arch/x86/boot.rst: the compressed data at 0x400, followed by four
/// bytes for its length.
pub fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut all = vec![0; 0x400];
    (all[0x1f1], all[0x1fe], all[0x1ff]) = (1, 0x55, 0xaa);
    all[0x202..0x206].copy_from_slice(b"HdrS");
    all[0x206..0x208].copy_from_slice(&[0x0f, 2]);
    all[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len() + 4).unwrap().to_le_bytes());
    [&all, payload, &[0; 4]].concat()
}
