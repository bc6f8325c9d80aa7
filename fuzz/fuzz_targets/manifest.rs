//! Any bytes as a build's manifest: what is read can be written, and is then read as the same.
#![no_main]

use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::manifest::{Manifest, Summary};
use std::path::Path;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (Ok(package), Ok(kernel)) = (PackageId::new("p", "1"), Kernel::new("6.1", "x86_64")) else { return };
    let build = Build::new(&package, &kernel);
    let _ = Summary::parse(data, &build);
    let Ok(Some(manifest)) = Manifest::parse(data, &build) else { return };
    let bytes = manifest.to_bytes(Path::new("/manifest")).expect("what was read can be written");
    let again = Manifest::parse(&bytes, &build).expect("what was written can be read").expect("our schema");
    let paths = |m: &Manifest| m.installed.iter().flat_map(|i| i.files.clone()).collect::<Vec<_>>();
    assert_eq!((paths(&manifest), manifest.inputs.headers), (paths(&again), again.inputs.headers));
});
