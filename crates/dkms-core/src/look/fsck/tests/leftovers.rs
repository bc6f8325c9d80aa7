//! Leftovers of interrupted commands.

use super::*;

#[test]
fn a_source_link_is_made_again_where_the_source_is() {
    for dangling in [false, true] {
        let w = World::new();
        fs::remove_file(w.system.layout.source_link(&foo())).unwrap();
        if dangling {
            std::os::unix::fs::symlink("/nowhere", w.system.layout.source_link(&foo())).unwrap();
        }
        w.repairs("source-missing", "tree/foo/1.0/source");
        assert_eq!(
            fs::read_link(w.system.layout.source_link(&foo())).unwrap(),
            w.system.layout.source_dir(&foo())
        );
    }
    let w = World::new();
    fs::remove_dir_all(w.system.layout.source_dir(&foo())).unwrap();
    w.only_reports("source-missing", "tree/foo/1.0/source");
}

#[test]
fn leftovers_of_registering_and_building_are_deleted() {
    let below = [
        "tree/foo/1.0/.build-6.1.0-x86_64/foo.c",
        "tree/foo/1.0/.source.0123456789abcdef",
        "tree/foo/.2.0.adding/source",
        "tree/foo/.2.0.removed/source",
        "tree/foo/1.0/6.1.0/.tmp_x86_64_0123456789abcdef/module/foo.ko",
        "tree/foo/1.0/6.1.0/.tmp_x86_64_unbuilt/module/foo.ko",
        "src/.bar-1.0.adding/dkms.conf",
        "tree/foo/1.0/build/foo.c",
    ];
    for path in below {
        let w = World::new();
        let root = w.system.layout.dkms_tree.parent().unwrap().to_owned();
        write(root.join(path), "");
        let top = path.rsplit_once("/module").map_or(path, |(top, _)| top);
        let top = [".adding", ".removed", ".build-6.1.0-x86_64", "/build"]
            .iter()
            .find_map(|end| top.split_once(end).map(|(a, _)| format!("{a}{end}")))
            .unwrap_or_else(|| top.to_owned());
        w.repairs("leftover", &top);
        assert!(!root.join("tree/foo/1.0/6.1.0").exists(), "{path}");
        assert!(w.system.layout.source_link(&foo()).exists());
    }
}

#[test]
fn temporary_files_beside_a_manifest_are_deleted() {
    for name in ["..manifest.json.0123456789abcdef", "..manifest.json.dkms-text"] {
        let w = World::new();
        let b = w.installed(K);
        write(w.system.layout.built_dir(&b).join(name), "");
        w.repairs("leftover", &format!("tree/foo/1.0/{K}/{A}/{name}"));
    }
}

#[test]
fn temporary_files_without_a_lock_are_deleted_when_they_are_old() {
    let w = World::new();
    let path = w.system.layout.dkms_tree.join(".mok.pub.0123456789abcdef");
    write(&path, "");
    assert_eq!(w.found(), []);
    let old = SystemTime::now() - Duration::from_secs(7200);
    fs::File::open(&path).unwrap().set_modified(old).unwrap();
    w.repairs("leftover", "tree/.mok.pub.0123456789abcdef");
}

#[test]
fn the_directory_of_a_failed_build_is_none() {
    let w = World::new();
    let log = w.system.layout.build_dir(&foo()).join("make.log");
    write(&log, "DKMS (4.0.0) make.log\nerror\n");
    write(w.system.layout.failed_log(&on(K)), "DKMS (4.0.0) make.log\nerror\n");
    assert_eq!(w.found(), []);
    // The heading of dkms 3.x.
    write(&log, "DKMS make.log for foo-1.0 for kernel 6.1.0\n");
    assert_eq!(w.found(), []);
    // The log of another build than the one that failed.
    write(&log, "DKMS (4.0.0) make.log\nin the midst\n");
    w.repairs("leftover", "tree/foo/1.0/build");
    assert!(w.system.layout.failed_log(&on(K)).exists());
}

#[test]
fn empty_directories_are_removed() {
    let w = World::new();
    fs::create_dir_all(w.system.layout.dkms_tree.join("foo/1.0").join(K)).unwrap();
    w.repairs("leftover", &format!("tree/foo/1.0/{K}"));
    fs::create_dir_all(w.system.layout.dkms_tree.join("bar")).unwrap();
    w.repairs("leftover", "tree/bar");
    for below in ["", K, "6.1.0-9-amd64/x86_64"] {
        fs::create_dir_all(w.system.layout.originals_root("foo").join(below)).unwrap();
        w.repairs("leftover", format!("tree/foo/original_module/{below}").trim_end_matches('/'));
        assert!(!w.system.layout.originals_root("foo").exists());
    }
}

#[test]
fn files_put_aside_in_a_kernel() {
    for (name, beside, safe) in [
        (".foo.ko.dkms-new", false, true),
        (".foo.ko.dkms-moving", false, true),
        (".foo.ko.dkms-old", true, true),
    ] {
        let w = World::new();
        let dir = w.system.layout.destination(K, "/updates");
        write(dir.join(name), "");
        if beside {
            write(dir.join("foo.ko"), "");
        }
        assert!(safe);
        w.repairs("leftover", &format!("lib/modules/{K}/updates/{name}"));
    }
    let w = World::new();
    write(w.system.layout.destination(K, "/updates").join(".foo.ko.dkms-old"), "");
    w.only_reports("leftover", &format!("lib/modules/{K}/updates/.foo.ko.dkms-old"));
}

#[test]
fn files_put_aside_in_the_tree() {
    let w = World::new();
    let archived = w.original(K, None);
    fs::remove_file(&archived).unwrap();
    for name in [".foo.ko.dkms-moving", ".foo.ko.origin.dkms-text", "foo.ko.origin"] {
        write(archived.with_file_name(name), "");
        w.repairs("leftover", &format!("tree/foo/original_module/{K}/{A}/{name}"));
    }
    let link = format!(".kernel-{K}-{A}.dkms-link");
    std::os::unix::fs::symlink("x", w.system.layout.package_dir("foo").join(&link)).unwrap();
    w.repairs("leftover", &format!("tree/foo/{link}"));
}

/// A change of K by a process that no longer exists. It was interrupted after its file was installed.
fn interrupt(w: &World) -> PathBuf {
    use dkms_tree::journal::op::{Op, aside};
    use dkms_tree::journal::{Transaction, list};
    let to = w.module(K);
    let place = Op::Place {
        staged: aside(&to, "new"),
        to: to.clone(),
        saved: Some(aside(&to, "old")),
        vacated: None,
    };
    write(aside(&to, "new"), "half");
    let mut t = Transaction::begin(&w.system.layout, &[on(K).kernel], "dkms install foo/1.0").unwrap();
    t.perform::<crate::Error>(&on(K).kernel, vec![place], || Ok(()), || Ok(())).unwrap();
    let journal = list(&w.system.layout).unwrap().remove(0);
    let text = fs::read_to_string(&journal).unwrap();
    let own = format!("\"pid\":{}", std::process::id());
    assert!(text.contains(&own));
    fs::write(&journal, text.replace(&own, &format!("\"pid\":{}", u32::MAX))).unwrap();
    journal
}

#[test]
fn stale_journals_are_settled_first() {
    let w = World::new();
    write(w.module(K), "before");
    let journal = interrupt(&w);
    // Files that a journal names are left to the recovery of that journal.
    let inside = journal.strip_prefix(w.system.layout.dkms_tree.parent().unwrap()).unwrap();
    w.repairs("stale-journal", &inside.to_string_lossy());
    assert_eq!(fs::read_to_string(w.module(K)).unwrap(), "before");
    for left in [".foo.ko.dkms-old", ".foo.ko.dkms-new"] {
        assert!(!w.module(K).with_file_name(left).exists());
    }
}

#[test]
fn journals_at_work_and_journals_of_others() {
    let w = World::new();
    write(w.module(K), "before");
    let journal = interrupt(&w);
    let held = w.hold(&format!("install-{K}-{A}"));
    assert_eq!(w.found(), []);
    drop(held);
    assert_eq!(w.found().len(), 1);
    write(&journal, "{\"Begin\":{\"schema\":99}}\n");
    let report = w.look();
    let journals: Vec<_> = report.findings.iter().filter(|f| f.kind == Kind::StaleJournal).collect();
    assert!(matches!(journals.as_slice(), [one] if !one.safe()));
}
