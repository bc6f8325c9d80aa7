//! Builds, the files they installed, and the kernel's own modules.

use super::*;

#[test]
fn builds_for_missing_kernels_are_deleted() {
    let path = format!("tree/foo/1.0/{GONE}/{A}");
    let world = World::new();
    world.built(GONE);
    world.repairs("kernel-gone", &path);
    assert!(!world.system.layout.kernel_dir(&build_for(GONE)).exists());

    // The build is installed, and its files were deleted with the kernel.
    let world = World::new();
    world.installed(GONE);
    fs::remove_dir_all(world.system.layout.kernel_modules(GONE)).unwrap();
    world.repairs("kernel-gone", &path);
    assert!(!world.system.layout.kernel_modules(GONE).exists() && !dkms_sys::fs::exists(world.link(GONE)));

    // The build is for headers in another place.
    let world = World::new();
    let build = world.built(GONE);
    let mut manifest = Manifest::load(&world.system.layout, &build).unwrap();
    manifest.inputs.headers = world.system.layout.source_tree.clone();
    manifest.store(&world.system.layout.manifest(&build)).unwrap();
    assert_eq!(world.findings(), []);
}

#[test]
fn builds_that_cannot_be_rebuilt_are_kept() {
    let path = format!("tree/foo/1.0/{GONE}/{A}");
    // It is unknown whether the build was made here.
    let world = World::new();
    let build = world.built(GONE);
    fs::remove_file(world.system.layout.manifest(&build)).unwrap();
    world.only_reports("kernel-gone", &path);
    // The source is missing.
    let world = World::new();
    world.built(GONE);
    fs::remove_file(world.system.layout.source_dir(&foo()).join("foo.c")).unwrap();
    world.only_reports("kernel-gone", &path);
    // No kernel exists: /lib/modules may not be mounted.
    let world = World::new();
    world.built(GONE);
    fs::remove_dir_all(world.system.layout.kernel_modules(K)).unwrap();
    world.only_reports("kernel-gone", &path);
    // A module of that kernel is archived.
    let world = World::new();
    world.installed(GONE);
    let archived =
        world.original(GONE, Some(&world.system.layout.kernel_modules(GONE).join("kernel/foo.ko")));
    fs::remove_dir_all(world.system.layout.kernel_modules(GONE)).unwrap();
    world.only_reports("kernel-gone", &path);
    assert!(archived.exists());
}

#[test]
fn dangling_links() {
    let link = format!("tree/foo/kernel-{K}-{A}");
    let to = |world: &World, target: &str| std::os::unix::fs::symlink(target, world.link(K)).unwrap();
    // The link points to a build of another kernel.
    let world = World::new();
    world.built(K);
    to(&world, &format!("1.0/{GONE}/{A}"));
    world.repairs("dangling-active-link", &link);
    // The link points to a version that no longer exists.
    let world = World::new();
    to(&world, &format!("2.0/{K}/{A}"));
    world.repairs("dangling-active-link", &link);
    // The link points to a version that can be reinstalled, which replaces the files in /lib/modules.
    let world = World::new();
    to(&world, &format!("1.0/{K}/{A}"));
    world.only_reports("dangling-active-link", &link);
    // The link points to the right build through another path.
    let world = World::new();
    let build = world.installed(K);
    fs::remove_file(world.link(K)).unwrap();
    let way = world.system.layout.source_tree.join("way");
    std::os::unix::fs::symlink(&world.system.layout.dkms_tree, &way).unwrap();
    let target = way.join("foo").join(world.system.layout.active_target(&build));
    to(&world, target.to_str().unwrap());
    assert!(world.findings().iter().all(|(kind, ..)| *kind != "dangling-active-link"));
}

#[test]
fn missing_installed_files_are_reinstalled() {
    let world = World::new();
    world.installed(K);
    fs::remove_file(world.module(K)).unwrap();
    world.repairs("installed-missing", &format!("lib/modules/{K}/updates/foo.ko"));
    assert_eq!(fs::read(world.module(K)).unwrap(), module());
}

#[test]
fn a_missing_link_is_restored() {
    let world = World::new();
    world.installed(K);
    fs::remove_file(world.link(K)).unwrap();
    world.repairs("active-link-missing", &format!("tree/foo/kernel-{K}-{A}"));
    assert!(dkms_tree::state::is_active(&world.system.layout, &build_for(K)));
}

#[test]
fn changed_installed_files_are_only_reported() {
    let world = World::new();
    world.installed(K);
    fs::write(world.module(K), "theirs").unwrap();
    world.only_reports("installed-differs", &format!("lib/modules/{K}/updates/foo.ko"));
    assert_eq!(fs::read(world.module(K)).unwrap(), b"theirs");
}

#[test]
fn built_files_that_are_missing_or_changed_are_only_reported() {
    let path = format!("tree/foo/1.0/{K}/{A}/module/foo.ko");
    let world = World::new();
    let build = world.built(K);
    let file = world.system.layout.module_dir(&build).join("foo.ko");
    // The file has the same size. Its change time must be at least one second after the end of the build.
    let mut manifest = Manifest::load(&world.system.layout, &build).unwrap();
    manifest.built_at -= 100;
    manifest.store(&world.system.layout.manifest(&build)).unwrap();
    assert_eq!(world.findings(), []);
    let mut other = module();
    other[100] ^= 1;
    fs::write(&file, other).unwrap();
    world.only_reports("module-differs", &path);
    fs::write(&file, "short").unwrap();
    world.only_reports("module-differs", &path);
    fs::remove_file(&file).unwrap();
    world.only_reports("module-missing", &path);
    fs::remove_dir_all(world.system.layout.module_dir(&build)).unwrap();
    world.only_reports("module-missing", &format!("tree/foo/1.0/{K}/{A}/module"));
}

#[test]
fn manifests_that_do_not_match_are_only_reported() {
    let world = World::new();
    let build = world.built(K);
    let manifest = Manifest::load(&world.system.layout, &build).unwrap();
    let path = format!("tree/foo/1.0/{K}/{A}/.manifest.json");
    for other in [
        Manifest { schema: 2, ..manifest.clone() },
        Manifest { package: "bar".into(), ..manifest.clone() },
        Manifest { schema: 0, ..manifest },
    ] {
        other.store(&world.system.layout.manifest(&build)).unwrap();
        world.only_reports("manifest-mismatch", &path);
    }
    write(world.system.layout.manifest(&build), "{");
    world.only_reports("manifest-mismatch", &path);
}

#[test]
fn the_record_of_a_build_that_is_not_installed_is_cleared() {
    let world = World::new();
    let build = world.installed(K);
    fs::remove_file(world.link(K)).unwrap();
    fs::remove_file(world.module(K)).unwrap();
    world.repairs("stale-record", &format!("tree/foo/1.0/{K}/{A}/.manifest.json"));
    assert!(Manifest::load(&world.system.layout, &build).unwrap().installed.is_none());
    // Another version was installed after it, which is not an inconsistency.
    world.installed(K);
    fs::remove_file(world.link(K)).unwrap();
    fs::create_dir_all(world.system.layout.package_dir("foo").join(format!("2.0/{K}/{A}/module"))).unwrap();
    std::os::unix::fs::symlink(
        world.system.layout.source_dir(&foo()),
        world.system.layout.package_dir("foo").join("2.0/source"),
    )
    .unwrap();
    std::os::unix::fs::symlink(format!("2.0/{K}/{A}"), world.link(K)).unwrap();
    assert_eq!(world.findings(), []);
}

#[test]
fn originals_without_a_package_are_moved_back() {
    let archived = format!("tree/foo/original_module/{K}/{A}/foo.ko");
    let world = World::new();
    let home = world.system.layout.kernel_modules(K).join("kernel/foo.ko");
    world.original(K, Some(&home));
    world.repairs("original-stranded", &archived);
    assert_eq!(fs::read_to_string(&home).unwrap(), "the kernel's own");
    assert!(!world.system.layout.originals_root("foo").exists());
    // The same file is already there.
    world.original(K, Some(&home));
    world.repairs("original-stranded", &archived);
    assert_eq!(fs::read_to_string(&home).unwrap(), "the kernel's own");
    assert!(!world.system.layout.originals_root("foo").exists());
    // Another file is already there.
    world.original(K, Some(&home));
    fs::write(&home, "a newer one").unwrap();
    world.only_reports("original-place-taken", &archived);
    // The original path is unknown.
    let world = World::new();
    world.original(K, None);
    world.only_reports("original-stranded", &archived);
    // The kernel no longer exists.
    let world = World::new();
    world.original(GONE, Some(&world.system.layout.kernel_modules(GONE).join("kernel/foo.ko")));
    world.only_reports("original-stranded", &format!("tree/foo/original_module/{GONE}/{A}/foo.ko"));
    assert!(!world.system.layout.kernel_modules(GONE).exists());
}

#[test]
fn originals_of_an_installed_package_whose_path_is_used() {
    let world = World::new();
    world.installed(K);
    let home = world.system.layout.kernel_modules(K).join("kernel/foo.ko");
    world.original(K, Some(&home));
    write(&home, "the kernel's own");
    assert_eq!(world.findings(), []);
    write(&home, "a newer one");
    world.only_reports("original-place-taken", &format!("tree/foo/original_module/{K}/{A}/foo.ko"));
    // The path is used by the module of the package.
    let world = World::new();
    world.installed(K);
    world.original(K, Some(&world.module(K)));
    assert_eq!(world.findings(), []);
    // Several originals with one name are kept until the administrator deletes them.
    let world = World::new();
    write(
        world.system.layout.originals_dir("foo", &build_for(K).kernel).join("collisions/kernel/foo.ko"),
        "",
    );
    assert_eq!(world.findings(), []);
}

#[test]
fn removing_a_dangling_link_may_reveal_originals() {
    let world = World::new();
    let home = world.system.layout.kernel_modules(K).join("kernel/foo.ko");
    world.original(K, Some(&home));
    std::os::unix::fs::symlink(format!("2.0/{K}/{A}"), world.link(K)).unwrap();
    let done = world.repair();
    let kinds: BTreeSet<Kind> = done.repaired.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, BTreeSet::from([Kind::DanglingActiveLink, Kind::OriginalStranded]));
    assert_eq!(world.findings(), []);
    assert!(home.exists());
}
