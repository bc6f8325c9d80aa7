//! Builds, the files they installed, and the kernel's own modules.

use super::*;

#[test]
fn builds_for_kernels_that_are_gone() {
    let path = format!("tree/foo/1.0/{GONE}/{A}");
    let w = World::new();
    w.built(GONE);
    w.repairs("kernel-gone", &path);
    assert!(!w.system.layout.kernel_dir(&on(GONE)).exists());

    // The build is installed, and its files were deleted with the kernel.
    let w = World::new();
    w.installed(GONE);
    fs::remove_dir_all(w.system.layout.kernel_modules(GONE)).unwrap();
    w.repairs("kernel-gone", &path);
    assert!(!w.system.layout.kernel_modules(GONE).exists() && !dkms_sys::fs::exists(w.link(GONE)));

    // The build is for headers in another place.
    let w = World::new();
    let b = w.built(GONE);
    let mut m = Manifest::load(&w.system.layout, &b).unwrap();
    m.inputs.headers = w.system.layout.source_tree.clone();
    m.store(&w.system.layout.manifest(&b)).unwrap();
    assert_eq!(w.found(), []);
}

#[test]
fn builds_that_cannot_be_had_again_stay() {
    let path = format!("tree/foo/1.0/{GONE}/{A}");
    // It is unknown whether the build was made here.
    let w = World::new();
    let b = w.built(GONE);
    fs::remove_file(w.system.layout.manifest(&b)).unwrap();
    w.only_reports("kernel-gone", &path);
    // The source is missing.
    let w = World::new();
    w.built(GONE);
    fs::remove_file(w.system.layout.source_dir(&foo()).join("foo.c")).unwrap();
    w.only_reports("kernel-gone", &path);
    // There is no kernel at all: /lib/modules may not be mounted.
    let w = World::new();
    w.built(GONE);
    fs::remove_dir_all(w.system.layout.kernel_modules(K)).unwrap();
    w.only_reports("kernel-gone", &path);
    // A module of that kernel is archived.
    let w = World::new();
    w.installed(GONE);
    let archived = w.original(GONE, Some(&w.system.layout.kernel_modules(GONE).join("kernel/foo.ko")));
    fs::remove_dir_all(w.system.layout.kernel_modules(GONE)).unwrap();
    w.only_reports("kernel-gone", &path);
    assert!(archived.exists());
}

#[test]
fn links_that_lead_nowhere() {
    let link = format!("tree/foo/kernel-{K}-{A}");
    let to = |w: &World, target: &str| std::os::unix::fs::symlink(target, w.link(K)).unwrap();
    // The link points to a build of another kernel.
    let w = World::new();
    w.built(K);
    to(&w, &format!("1.0/{GONE}/{A}"));
    w.repairs("dangling-active-link", &link);
    // The link points to a version that no longer exists.
    let w = World::new();
    to(&w, &format!("2.0/{K}/{A}"));
    w.repairs("dangling-active-link", &link);
    // The link points to a version that can be reinstalled, which replaces the files in /lib/modules.
    let w = World::new();
    to(&w, &format!("1.0/{K}/{A}"));
    w.only_reports("dangling-active-link", &link);
    // The link points to the right build through another path.
    let w = World::new();
    let b = w.installed(K);
    fs::remove_file(w.link(K)).unwrap();
    let way = w.system.layout.source_tree.join("way");
    std::os::unix::fs::symlink(&w.system.layout.dkms_tree, &way).unwrap();
    let target = way.join("foo").join(w.system.layout.active_target(&b));
    to(&w, target.to_str().unwrap());
    assert!(w.found().iter().all(|(kind, ..)| *kind != "dangling-active-link"));
}

#[test]
fn installed_files_that_are_missing_are_installed_again() {
    let w = World::new();
    w.installed(K);
    fs::remove_file(w.module(K)).unwrap();
    w.repairs("installed-missing", &format!("lib/modules/{K}/updates/foo.ko"));
    assert_eq!(fs::read(w.module(K)).unwrap(), module());
}

#[test]
fn a_link_that_is_missing_is_made_again() {
    let w = World::new();
    w.installed(K);
    fs::remove_file(w.link(K)).unwrap();
    w.repairs("active-link-missing", &format!("tree/foo/kernel-{K}-{A}"));
    assert!(dkms_tree::state::is_active(&w.system.layout, &on(K)));
}

#[test]
fn files_that_were_changed_since_are_only_reported() {
    let w = World::new();
    w.installed(K);
    fs::write(w.module(K), "theirs").unwrap();
    w.only_reports("installed-differs", &format!("lib/modules/{K}/updates/foo.ko"));
    assert_eq!(fs::read(w.module(K)).unwrap(), b"theirs");
}

#[test]
fn built_files_that_are_missing_or_changed_are_only_reported() {
    let path = format!("tree/foo/1.0/{K}/{A}/module/foo.ko");
    let w = World::new();
    let b = w.built(K);
    let file = w.system.layout.module_dir(&b).join("foo.ko");
    // The file has the same size. Its change time must be at least one second after the end of the build.
    let mut m = Manifest::load(&w.system.layout, &b).unwrap();
    m.built_at -= 100;
    m.store(&w.system.layout.manifest(&b)).unwrap();
    assert_eq!(w.found(), []);
    let mut other = module();
    other[100] ^= 1;
    fs::write(&file, other).unwrap();
    w.only_reports("module-differs", &path);
    fs::write(&file, "short").unwrap();
    w.only_reports("module-differs", &path);
    fs::remove_file(&file).unwrap();
    w.only_reports("module-missing", &path);
    fs::remove_dir_all(w.system.layout.module_dir(&b)).unwrap();
    w.only_reports("module-missing", &format!("tree/foo/1.0/{K}/{A}/module"));
}

#[test]
fn manifests_that_do_not_match_are_only_reported() {
    let w = World::new();
    let b = w.built(K);
    let m = Manifest::load(&w.system.layout, &b).unwrap();
    let path = format!("tree/foo/1.0/{K}/{A}/.manifest.json");
    for other in [
        Manifest { schema: 2, ..m.clone() },
        Manifest { package: "bar".into(), ..m.clone() },
        Manifest { schema: 0, ..m },
    ] {
        other.store(&w.system.layout.manifest(&b)).unwrap();
        w.only_reports("manifest-mismatch", &path);
    }
    write(w.system.layout.manifest(&b), "{");
    w.only_reports("manifest-mismatch", &path);
}

#[test]
fn a_record_of_what_is_not_installed_is_cleared() {
    let w = World::new();
    let b = w.installed(K);
    fs::remove_file(w.link(K)).unwrap();
    fs::remove_file(w.module(K)).unwrap();
    w.repairs("stale-record", &format!("tree/foo/1.0/{K}/{A}/.manifest.json"));
    assert!(Manifest::load(&w.system.layout, &b).unwrap().installed.is_none());
    // Another version was installed after it, which is not an inconsistency.
    w.installed(K);
    fs::remove_file(w.link(K)).unwrap();
    fs::create_dir_all(w.system.layout.package_dir("foo").join(format!("2.0/{K}/{A}/module"))).unwrap();
    std::os::unix::fs::symlink(
        w.system.layout.source_dir(&foo()),
        w.system.layout.package_dir("foo").join("2.0/source"),
    )
    .unwrap();
    std::os::unix::fs::symlink(format!("2.0/{K}/{A}"), w.link(K)).unwrap();
    assert_eq!(w.found(), []);
}

#[test]
fn originals_that_are_stranded_go_home() {
    let archived = format!("tree/foo/original_module/{K}/{A}/foo.ko");
    let w = World::new();
    let home = w.system.layout.kernel_modules(K).join("kernel/foo.ko");
    w.original(K, Some(&home));
    w.repairs("original-stranded", &archived);
    assert_eq!(fs::read_to_string(&home).unwrap(), "the kernel's own");
    assert!(!w.system.layout.originals_root("foo").exists());
    // The same file is already there.
    w.original(K, Some(&home));
    w.repairs("original-stranded", &archived);
    assert_eq!(fs::read_to_string(&home).unwrap(), "the kernel's own");
    assert!(!w.system.layout.originals_root("foo").exists());
    // Another file is there.
    w.original(K, Some(&home));
    fs::write(&home, "a newer one").unwrap();
    w.only_reports("original-place-taken", &archived);
    // The original path is unknown.
    let w = World::new();
    w.original(K, None);
    w.only_reports("original-stranded", &archived);
    // The kernel no longer exists.
    let w = World::new();
    w.original(GONE, Some(&w.system.layout.kernel_modules(GONE).join("kernel/foo.ko")));
    w.only_reports("original-stranded", &format!("tree/foo/original_module/{GONE}/{A}/foo.ko"));
    assert!(!w.system.layout.kernel_modules(GONE).exists());
}

#[test]
fn originals_of_an_installed_package_whose_place_is_taken() {
    let w = World::new();
    w.installed(K);
    let home = w.system.layout.kernel_modules(K).join("kernel/foo.ko");
    w.original(K, Some(&home));
    write(&home, "the kernel's own");
    assert_eq!(w.found(), []);
    write(&home, "a newer one");
    w.only_reports("original-place-taken", &format!("tree/foo/original_module/{K}/{A}/foo.ko"));
    // The path is used by our own module, as it should be.
    let w = World::new();
    w.installed(K);
    w.original(K, Some(&w.module(K)));
    assert_eq!(w.found(), []);
    // Several originals with one name are kept until the administrator deletes them.
    let w = World::new();
    write(w.system.layout.originals_dir("foo", &on(K).kernel).join("collisions/kernel/foo.ko"), "");
    assert_eq!(w.found(), []);
}

#[test]
fn behind_a_link_that_led_nowhere_there_may_be_originals() {
    let w = World::new();
    let home = w.system.layout.kernel_modules(K).join("kernel/foo.ko");
    w.original(K, Some(&home));
    std::os::unix::fs::symlink(format!("2.0/{K}/{A}"), w.link(K)).unwrap();
    let done = w.repair();
    let kinds: BTreeSet<Kind> = done.repaired.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, BTreeSet::from([Kind::DanglingActiveLink, Kind::OriginalStranded]));
    assert_eq!(w.found(), []);
    assert!(home.exists());
}
