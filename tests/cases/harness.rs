//! The harness proves itself on Debian's dkms: real paths inside, nothing changed outside.

use dkms_tests::layers::obstacle;
use dkms_tests::root::{Impl, Kernel, Root};
use dkms_tests::tree;
use std::path::Path;

#[test]
fn a_private_root_builds_and_forgets() {
    if let Some(why) = obstacle() {
        println!("skipped: {why}");
        return;
    }
    let outside = || ["/usr/src", "/var/lib/dkms"].map(|d| std::fs::read_dir(d).map_or(0, Iterator::count));
    let before = outside();
    let kernel = Kernel::K61.release();
    let root = Root::builder().kernel(Kernel::K61).image(Kernel::K61).dkms(Impl::Debian).build().unwrap();
    let first = root.run("fixture single-1.0; dkms install -m single/1.0 -k $K").unwrap();
    assert_eq!(first.status, 0, "{}{}", first.stdout, first.stderr);
    // State stays between runs.
    let second = root.run("dkms status; exit 7").unwrap();
    assert_eq!(second.status, 7);
    assert_eq!(second.stdout.trim(), format!("single/1.0, {kernel}, x86_64: installed"));
    let installed = root.installed(&kernel).unwrap();
    assert_eq!(installed.len(), 1, "{installed:?}");
    assert_eq!(installed[0].path, "updates/dkms/single.ko");
    assert_eq!(installed[0].fields["version"], "1.0");
    assert!(installed[0].fields["vermagic"].starts_with(&kernel));
    assert!(installed[0].fields.contains_key("signer") && !installed[0].debug);
    let tree = root.tree("/var/lib/dkms").unwrap();
    assert!(tree.iter().any(|l| l == "l single/1.0/source -> /usr/src/single-1.0"), "{tree:?}");
    drop(root);
    assert_eq!(outside(), before);
    assert!(tree::list(Path::new("/mnt")).unwrap().iter().all(|l| !l.contains("upper")));
}

#[test]
fn the_machine_s_own_kernels_do_not_show() {
    if let Some(why) = obstacle() {
        println!("skipped: {why}");
        return;
    }
    let root = Root::builder().dkms(Impl::Absent).build().unwrap();
    let out =
        root.run("ls -A /usr/src /lib/modules /var/lib/dkms /etc/dkms; type -P dkms || echo none").unwrap();
    assert_eq!(
        out.stdout, "/etc/dkms:\n\n/lib/modules:\n\n/usr/src:\n\n/var/lib/dkms:\nnone\n",
        "{}",
        out.stderr
    );
}
