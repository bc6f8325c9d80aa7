//! Leftovers of interrupted commands.

use super::*;

#[test]
fn a_source_link_is_restored_if_the_source_exists() {
    for dangling in [false, true] {
        let world = World::new();
        fs::remove_file(world.system.layout.source_link(&foo())).unwrap();
        if dangling {
            std::os::unix::fs::symlink("/nowhere", world.system.layout.source_link(&foo())).unwrap();
        }
        world.repairs("source-missing", "tree/foo/1.0/source");
        assert_eq!(
            fs::read_link(world.system.layout.source_link(&foo())).unwrap(),
            world.system.layout.source_dir(&foo())
        );
    }
    let world = World::new();
    fs::remove_dir_all(world.system.layout.source_dir(&foo())).unwrap();
    world.only_reports("source-missing", "tree/foo/1.0/source");
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
        let world = World::new();
        let root = world.system.layout.dkms_tree.parent().unwrap().to_owned();
        write(root.join(path), "");
        let top = path.rsplit_once("/module").map_or(path, |(top, _)| top);
        let top = [".adding", ".removed", ".build-6.1.0-x86_64", "/build"]
            .iter()
            .find_map(|end| top.split_once(end).map(|(a, _)| format!("{a}{end}")))
            .unwrap_or_else(|| top.to_owned());
        world.repairs("leftover", &top);
        assert!(!root.join("tree/foo/1.0/6.1.0").exists(), "{path}");
        assert!(world.system.layout.source_link(&foo()).exists());
    }
}

#[test]
fn temporary_files_next_to_a_manifest_are_deleted() {
    for name in ["..manifest.json.0123456789abcdef", "..manifest.json.dkms-text"] {
        let world = World::new();
        let build = world.installed(K);
        write(world.system.layout.built_dir(&build).join(name), "");
        world.repairs("leftover", &format!("tree/foo/1.0/{K}/{A}/{name}"));
    }
}

#[test]
fn temporary_files_without_a_lock_are_deleted_when_they_are_old() {
    let world = World::new();
    let path = world.system.layout.dkms_tree.join(".mok.pub.0123456789abcdef");
    write(&path, "");
    assert_eq!(world.findings(), []);
    let old = SystemTime::now() - Duration::from_secs(7200);
    fs::File::open(&path).unwrap().set_modified(old).unwrap();
    world.repairs("leftover", "tree/.mok.pub.0123456789abcdef");
}

#[test]
fn the_directory_of_a_failed_build_is_not_a_leftover() {
    let world = World::new();
    let log = world.system.layout.build_dir(&foo()).join("make.log");
    write(&log, "DKMS (4.0.0) make.log\nerror\n");
    write(world.system.layout.failed_log(&build_for(K)), "DKMS (4.0.0) make.log\nerror\n");
    assert_eq!(world.findings(), []);
    // The heading of dkms 3.x.
    write(&log, "DKMS make.log for foo-1.0 for kernel 6.1.0\n");
    assert_eq!(world.findings(), []);
    // The log belongs to another build than the failed build.
    write(&log, "DKMS (4.0.0) make.log\nin the midst\n");
    world.repairs("leftover", "tree/foo/1.0/build");
    assert!(world.system.layout.failed_log(&build_for(K)).exists());
}

#[test]
fn empty_directories_are_removed() {
    let world = World::new();
    fs::create_dir_all(world.system.layout.dkms_tree.join("foo/1.0").join(K)).unwrap();
    world.repairs("leftover", &format!("tree/foo/1.0/{K}"));
    fs::create_dir_all(world.system.layout.dkms_tree.join("bar")).unwrap();
    world.repairs("leftover", "tree/bar");
    for below in ["", K, "6.1.0-9-amd64/x86_64"] {
        fs::create_dir_all(world.system.layout.originals_root("foo").join(below)).unwrap();
        world.repairs("leftover", format!("tree/foo/original_module/{below}").trim_end_matches('/'));
        assert!(!world.system.layout.originals_root("foo").exists());
    }
}

#[test]
fn files_moved_aside_in_a_kernel() {
    for (name, beside, safe) in [
        (".foo.ko.dkms-new", false, true),
        (".foo.ko.dkms-moving", false, true),
        (".foo.ko.dkms-old", true, true),
    ] {
        let world = World::new();
        let dir = world.system.layout.destination(K, "/updates");
        write(dir.join(name), "");
        if beside {
            write(dir.join("foo.ko"), "");
        }
        assert!(safe);
        world.repairs("leftover", &format!("lib/modules/{K}/updates/{name}"));
    }
    let world = World::new();
    write(world.system.layout.destination(K, "/updates").join(".foo.ko.dkms-old"), "");
    world.only_reports("leftover", &format!("lib/modules/{K}/updates/.foo.ko.dkms-old"));
}

#[test]
fn files_moved_aside_in_the_tree() {
    let world = World::new();
    let archived = world.original(K, None);
    fs::remove_file(&archived).unwrap();
    for name in [".foo.ko.dkms-moving", ".foo.ko.origin.dkms-text", "foo.ko.origin"] {
        write(archived.with_file_name(name), "");
        world.repairs("leftover", &format!("tree/foo/original_module/{K}/{A}/{name}"));
    }
    let link = format!(".kernel-{K}-{A}.dkms-link");
    std::os::unix::fs::symlink("x", world.system.layout.package_dir("foo").join(&link)).unwrap();
    world.repairs("leftover", &format!("tree/foo/{link}"));
}

/// A change of K by a process that no longer exists. It was interrupted after its file was installed.
fn interrupt(world: &World) -> PathBuf {
    use dkms_tree::journal::op::{Op, aside};
    use dkms_tree::journal::{Transaction, list};
    let to = world.module(K);
    let place = Op::Place {
        staged: aside(&to, "new"),
        to: to.clone(),
        saved: Some(aside(&to, "old")),
        vacated: None,
    };
    write(aside(&to, "new"), "half");
    let mut transaction =
        Transaction::begin(&world.system.layout, &[build_for(K).kernel], "dkms install foo/1.0").unwrap();
    transaction.perform::<crate::Error>(&build_for(K).kernel, vec![place], || Ok(()), || Ok(())).unwrap();
    let journal = list(&world.system.layout).unwrap().remove(0);
    let text = fs::read_to_string(&journal).unwrap();
    let own = format!("\"pid\":{}", std::process::id());
    assert!(text.contains(&own));
    fs::write(&journal, text.replace(&own, &format!("\"pid\":{}", u32::MAX))).unwrap();
    journal
}

#[test]
fn stale_journals_are_recovered_first() {
    let world = World::new();
    write(world.module(K), "before");
    let journal = interrupt(&world);
    // The files in a journal are not reported: the recovery of the journal restores or deletes them.
    let inside = journal.strip_prefix(world.system.layout.dkms_tree.parent().unwrap()).unwrap();
    world.repairs("stale-journal", &inside.to_string_lossy());
    assert_eq!(fs::read_to_string(world.module(K)).unwrap(), "before");
    for left in [".foo.ko.dkms-old", ".foo.ko.dkms-new"] {
        assert!(!world.module(K).with_file_name(left).exists());
    }
}

#[test]
fn journals_in_use_and_unknown_journals() {
    let world = World::new();
    write(world.module(K), "before");
    let journal = interrupt(&world);
    let held = world.hold(&format!("install-{K}-{A}"));
    assert_eq!(world.findings(), []);
    drop(held);
    assert_eq!(world.findings().len(), 1);
    write(&journal, "{\"Begin\":{\"schema\":99}}\n");
    let report = world.check();
    let journals: Vec<_> = report.findings.iter().filter(|f| f.kind == Kind::StaleJournal).collect();
    assert!(matches!(journals.as_slice(), [one] if !one.safe()));
}
