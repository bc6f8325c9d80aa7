//! The harness tests itself with Debian's dkms: the usual paths inside, nothing changed outside.

use dkms_tests::layers::obstacle;
use dkms_tests::root::{Impl, Kernel, Root};
use dkms_tests::runner::{Outcome, Test};
use dkms_tests::tree;
use std::path::Path;

/// `harness::NAME`.
pub fn tests() -> Vec<Test> {
    let all: [(&str, fn()); 3] = [
        ("harness::a_private_root_builds_and_leaves_nothing", a_private_root_builds_and_leaves_nothing),
        ("harness::the_kernels_of_the_machine_are_hidden", the_kernels_of_the_machine_are_hidden),
        (
            "harness::a_test_starts_with_normal_signals_and_limits",
            a_test_starts_with_normal_signals_and_limits,
        ),
    ];
    let test = |(name, run): (&str, fn())| {
        let body = move || {
            run();
            Ok(Outcome::Passed(Vec::new()))
        };
        Test::new(name, body).obstacle(obstacle())
    };
    all.map(test).into()
}

fn a_private_root_builds_and_leaves_nothing() {
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

fn the_kernels_of_the_machine_are_hidden() {
    let root = Root::builder().dkms(Impl::Absent).build().unwrap();
    let out =
        root.run("ls -A /usr/src /lib/modules /var/lib/dkms /etc/dkms; type -P dkms || echo none").unwrap();
    assert_eq!(
        out.stdout, "/etc/dkms:\n\n/lib/modules:\n\n/usr/src:\n\n/var/lib/dkms:\nnone\n",
        "{}",
        out.stderr
    );
}

fn a_test_starts_with_normal_signals_and_limits() {
    let root = Root::builder().dkms(Impl::Absent).build().unwrap();
    // The two signals that glibc uses internally cannot be reset.
    let script = r"
        grep -E 'SigBlk|SigIgn' /proc/self/status | while read -r _ mask; do echo $((16#$mask & 0x7fffffff)); done
        umask; ulimit -S -n; readlink /proc/self/fd/0; exec 3</dev/tty
    ";
    let out = root.run(script).unwrap();
    assert_eq!(out.stdout, "0\n0\n0022\n1024\n/dev/null\n", "{}", out.stderr);
    assert!(out.stderr.contains("/dev/tty"), "there is a controlling terminal: {}", out.stderr);
}
