//! Initramfs images of real modules, made by the tools that Debian's and Fedora's generators call: the list
//! is that of `cpio -t`.

mod common;

use common::{Kernel, filter, has, kernels, run, skip};
use kmodule::{ModuleName, initramfs};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cpio archive of `files` below `root`.
fn archive(root: &Path, files: &[String]) -> Vec<u8> {
    let mut child = Command::new("cpio");
    child.args(["--quiet", "-o", "-H", "newc", "-D"]).arg(root);
    common::feed(child, (files.join("\n") + "\n").as_bytes())
}

/// About 100 modules of a kernel and their directories, as paths below `usr`.
fn content(kernel: &Kernel) -> (PathBuf, Vec<String>) {
    let root = kernel.modules.ancestors().nth(3).unwrap().to_owned();
    let all = kernel.module_files();
    let mut paths = BTreeSet::new();
    for file in all.iter().step_by(all.len().div_ceil(100)) {
        for path in file.strip_prefix(&root).unwrap().ancestors().filter(|path| path.parent().is_some()) {
            paths.insert(path.to_str().unwrap().to_owned());
        }
    }
    (root, paths.into_iter().collect())
}

fn modules_of(paths: &[String], release: &str) -> BTreeSet<(String, ModuleName)> {
    let names = paths.iter().filter_map(|path| path.rsplit('/').next()?.split_once(".ko"));
    names.map(|(name, _)| (release.to_owned(), ModuleName::new(name))).collect()
}

#[test]
fn images_of_real_modules() {
    let kernels = kernels();
    if kernels.is_empty() || !has("cpio") {
        return skip("needs cpio and an unpacked kernel image with its modules and headers");
    }
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("kernel/x86/microcode")).unwrap();
    fs::write(directory.path().join("kernel/x86/microcode/AuthenticAMD.bin"), [0x5a; 3333]).unwrap();
    let microcode = ["kernel", "kernel/x86", "kernel/x86/microcode", "kernel/x86/microcode/AuthenticAMD.bin"];
    let microcode = microcode.map(str::to_owned);
    let early = archive(directory.path(), &microcode);
    for kernel in &kernels {
        let (root, paths) = content(kernel);
        let plain = archive(&root, &paths);
        let theirs = String::from_utf8(filter("cpio", &["--quiet", "-t"], &plain)).unwrap();
        let theirs: Vec<&str> = theirs.lines().collect();
        for (tool, options) in [
            ("", &[][..]),
            ("gzip", &["-n", "-1"][..]),
            ("bzip2", &["-1"]),
            ("lzma", &["-0"]),
            ("xz", &["-0", "--check=crc32", "--lzma2=dict=1MiB"]),
            ("lz4", &["-l", "-1", "-c", "-"]),
            ("zstd", &["-q", "-1", "-T2"]),
        ] {
            if !tool.is_empty() && !has(tool) {
                skip(&format!("needs {tool}"));
                continue;
            }
            let packed = if tool.is_empty() { plain.clone() } else { filter(tool, options, &plain) };
            let image = [&early[..], &[0; 1024], &packed].concat();
            let mut found: Vec<(String, u64)> = Vec::new();
            let mut add = |entry: &initramfs::Entry<'_>| found.push((entry.path.to_owned(), entry.size));
            initramfs::entries(&mut &image[..], &mut add).unwrap();
            let names: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
            assert_eq!(names[..4], microcode, "{tool}");
            assert_eq!(names[4..], theirs, "{tool}");
            for (path, size) in &found[4..] {
                let data = fs::metadata(root.join(path)).unwrap();
                assert_eq!(*size, if data.is_file() { data.len() } else { 0 }, "{path}");
            }
            let modules = initramfs::module_names(&mut &image[..]).unwrap();
            assert_eq!(modules, modules_of(&paths, &kernel.release), "{tool}");
            assert!(modules.len() > 80);
            // A cut anywhere in the last part is noticed.
            for place in [early.len() + 1024 + 100, image.len() - packed.len() / 2, image.len() - 2000] {
                let cut = initramfs::module_names(&mut &image[..place]);
                assert!(cut.is_err(), "{tool} cut at {place} of {}", image.len());
            }
        }
    }
}

/// Compares the images of this machine and those named in `DKMS_TEST_INITRAMFS` with the output of
/// lsinitramfs, or with the file `IMAGE.list` next to the image, which contains it.
#[test]
fn images_of_generators() {
    let named = std::env::var_os("DKMS_TEST_INITRAMFS");
    let named = named.iter().flat_map(std::env::split_paths);
    let boot = fs::read_dir("/boot").into_iter().flatten().flatten().map(|entry| entry.path());
    let boot = boot.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("initrd.img-") && fs::File::open(path).is_ok() && has("lsinitramfs")
    });
    let images: Vec<PathBuf> = named.chain(boot).collect();
    if images.is_empty() {
        return skip("needs lsinitramfs and an initramfs, or DKMS_TEST_INITRAMFS");
    }
    for image in &images {
        let mut file = std::io::BufReader::new(fs::File::open(image).unwrap());
        let mut ours = BTreeSet::new();
        initramfs::entries(&mut file, &mut |entry| {
            ours.insert(entry.path.to_owned());
        })
        .unwrap();
        let list = fs::read(format!("{}.list", image.display()));
        let theirs = list.unwrap_or_else(|_| run(Command::new("lsinitramfs").arg(image)));
        let theirs: BTreeSet<String> =
            String::from_utf8(theirs).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(ours, theirs, "{}", image.display());
    }
}
