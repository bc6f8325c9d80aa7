//! Compares the index byte for byte with the one written by the depmod of this machine, and by that of Debian
//! 13.
//!
//! The modules and Debian 13's depmod are from the test layers (`tests/fetch.sh`). If the layers are missing,
//! or the version of depmod is unknown, a test prints that it is skipped.

#![allow(clippy::print_stderr, reason = "a test that cannot run says why")]

mod changes;
#[path = "../common/mod.rs"]
mod common;
mod tree;

use std::path::Path;
use tree::{Tree, xz_of};

#[test]
fn the_index_of_a_kernel_is_that_of_depmod() {
    for layer in ["image-6.1", "vm-6.1", "vm-6.12"] {
        let Some(tree) = Tree::of_layer(layer) else { return };
        tree.compare(layer);
    }
}

#[test]
fn it_stays_so_while_modules_come_and_go() {
    let Some(tree) = Tree::of_layer("vm-6.1") else { return };
    let xz = |path: &Path| {
        let bytes = std::fs::read(path).expect("module");
        let file = tree.base.path().join("compressed");
        std::fs::write(&file, xz_of(&bytes)).expect("write");
        file
    };
    let (dummy, raid) = (tree.module("dummy"), tree.module("raid456"));
    tree.place("updates/dkms/new-name.ko", &dummy);
    tree.compare("a module outside of modules.order");
    tree.place("updates/dkms/another.ko", &raid);
    tree.compare("one that needs others");
    tree.place("updates/dkms/dummy.ko", &dummy);
    tree.compare("one that overrides the kernel's");
    tree.place("extra/dummy.ko", &dummy);
    tree.compare("one that overrides nothing");
    tree.place("updates/dummy.ko.xz", &xz(&dummy));
    tree.compare("two in updates");
    std::fs::remove_file(tree.dir().join("updates/dkms/dummy.ko")).expect("remove");
    tree.compare("removed");
    tree.place("updates/dkms/xor.ko", &tree.module("xor"));
    tree.compare("one that others need has moved");
    std::fs::remove_dir_all(tree.dir().join("updates")).expect("remove");
    tree.compare("all removed");
    std::os::unix::fs::symlink(&raid, tree.dir().join("extra/linked.ko")).expect("link");
    tree.compare("a link to a module");
}

#[test]
fn lists_may_be_empty() {
    let Some(tree) = Tree::of_layer("vm-6.1") else { return };
    for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        // Create a new file, because the old one is a link to the layer's file.
        std::fs::remove_file(tree.dir().join(name)).expect("remove");
        std::fs::write(tree.dir().join(name), "").expect("write");
        tree.compare(&format!("an empty {name}"));
    }
    std::fs::remove_dir_all(tree.dir().join("kernel")).expect("remove");
    tree.compare("no modules at all");
}

#[test]
fn what_could_differ_is_left_to_depmod() {
    let Some(mut tree) = Tree::of_layer("vm-6.1") else { return };
    let file = tree.base.path().join("text");
    std::fs::write(&file, "not a module").expect("write");
    tree.place("updates/text.ko", &file);
    assert!(tree.index().is_err(), "not an ELF file");
    std::fs::remove_file(tree.dir().join("updates/text.ko")).expect("remove");
    tree.place("updates/dotted.name.ko", &tree.module("dummy"));
    assert!(tree.index().is_err(), "a name with a dot");
    std::fs::remove_file(tree.dir().join("updates/dotted.name.ko")).expect("remove");
    tree.place("updates/zipped.ko.gz", &file);
    assert!(tree.index().is_err(), "gzip");
    std::fs::remove_file(tree.dir().join("updates/zipped.ko.gz")).expect("remove");
    let mut foreign = std::fs::read(tree.module("dummy")).expect("module");
    // e_machine: AArch64.
    foreign[18..20].copy_from_slice(&[183, 0]);
    std::fs::write(&file, foreign).expect("write");
    tree.place("updates/foreign.ko", &file);
    tree.compare("a module for another type of machine");
    std::fs::remove_file(tree.dir().join("updates/foreign.ko")).expect("remove");
    tree.config = Some("external * /root/modules\nsearch external updates built-in\n".to_owned());
    assert!(tree.index().is_err(), "external directories");
    tree.config = None;
    tree.compare("nothing odd is left");
}
