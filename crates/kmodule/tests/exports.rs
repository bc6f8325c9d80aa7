//! Compares the exports of real kernels and modules with the `Module.symvers` of their headers, entry by
//! entry.

mod common;

use common::{Kernel, kernels, skip};
use kmodule::symvers::{Entry, Symvers};
use kmodule::{compress, exports, image};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

type Line = (String, u32, bool, Option<String>);

fn line(entry: Entry<'_>) -> Line {
    (entry.symbol.to_owned(), entry.crc, entry.export_gpl, entry.namespace.map(str::to_owned))
}

/// The exports of each module and of `vmlinux` according to the headers.
fn expected(kernel: &Kernel) -> BTreeMap<String, BTreeSet<Line>> {
    let list = Symvers::from_vec(fs::read(&kernel.symvers).unwrap()).unwrap();
    let mut owners: BTreeMap<String, BTreeSet<Line>> = BTreeMap::new();
    for entry in list.iter() {
        owners.entry(entry.module.to_owned()).or_default().insert(line(entry));
    }
    owners
}

fn read_module(path: &std::path::Path) -> Vec<u8> {
    compress::decompress(&fs::read(path).unwrap(), 200 << 20).unwrap()
}

#[test]
fn exports_of_kernel_images() {
    let kernels = kernels();
    if kernels.is_empty() {
        return skip("needs an unpacked kernel image with its modules and headers");
    }
    for kernel in &kernels {
        let bytes = fs::read(&kernel.image).unwrap();
        let vmlinux = image::unpack(&bytes).unwrap();
        let found: Vec<Line> = exports::read_vmlinux(&vmlinux).unwrap().iter().map(line).collect();
        assert!(found.len() > 1000);
        let expected = expected(kernel).remove("vmlinux").unwrap();
        assert_eq!(found.len(), expected.len(), "{}", kernel.release);
        assert!(found.into_iter().collect::<BTreeSet<_>>() == expected, "{}", kernel.release);
    }
}

#[test]
fn exports_of_every_module() {
    let kernels = kernels();
    if kernels.is_empty() {
        return skip("needs an unpacked kernel image with its modules and headers");
    }
    for kernel in &kernels {
        let mut expected = expected(kernel);
        expected.remove("vmlinux");
        let files = kernel.module_files();
        let (mut exporting, mut total) = (0, 0);
        for file in &files {
            let path = file.strip_prefix(kernel.modules.join("kernel")).unwrap().to_str().unwrap();
            let name = path.split(".ko").next().unwrap();
            let found = exports::read_module(&read_module(file), name).unwrap();
            assert!(found.iter().all(|entry| entry.module == name));
            let lines: BTreeSet<Line> = found.iter().map(line).collect();
            assert_eq!(found.iter().count(), lines.len());
            assert!(lines == expected.remove(name).unwrap_or_default(), "{}", file.display());
            exporting += usize::from(!lines.is_empty());
            total += lines.len();
        }
        assert!(expected.is_empty(), "{}: {:?}", kernel.release, expected.keys());
        assert!(exporting > 0 && total > exporting, "{}: {exporting} {total}", files.len());
    }
}
