use super::*;
use proptest::prelude::*;
use std::time::{Duration, SystemTime};

struct World {
    _dir: tempfile::TempDir,
    cache: Cache,
}

fn new_world(limit: u64) -> World {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path().join("cache/v1"), None, limit);
    World { _dir: dir, cache }
}

fn record(package: &str, lines: &[&str]) -> Record {
    let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    lines.push(format!("directives={package}"));
    lines.sort();
    Record {
        schema: record::SCHEMA,
        fingerprint: record::fingerprint(&lines),
        lines,
        package: package.into(),
        version: "1.0".into(),
        kernel: "6.1.0-1-amd64".into(),
        arch: "x86_64".into(),
        builder: "4.0.0".into(),
        unconfined: Vec::new(),
        build_ms: 1500,
        files: Vec::new(),
        layer: None,
    }
}

fn draft(bytes: usize) -> Draft {
    let mut draft = Draft::default();
    draft.add("module/hello.ko", vec![7; bytes]);
    draft.add("Module.symvers", b"symbols".to_vec());
    draft.add(LOG, b"log".to_vec());
    draft
}

fn store(cache: &Cache, package: &str, bytes: usize) -> String {
    let record = record(package, &["kernel=6.1"]);
    let fingerprint = record.fingerprint.clone();
    cache.store(record, draft(bytes), false).unwrap();
    fingerprint
}

#[test]
fn an_entry_is_found_as_it_was_stored() {
    let world = new_world(DEFAULT_SIZE);
    assert!(world.cache.lookup(&"0".repeat(64)).unwrap().is_none());
    let fingerprint = store(&world.cache, "hello", 100);
    let entry = world.cache.lookup(&fingerprint).unwrap().unwrap();
    let paths: Vec<_> = entry.record.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["Module.symvers", "make.log.zst", "module/hello.ko"]);
    assert_eq!(entry.read(entry.file("module/hello.ko").unwrap()).unwrap(), vec![7; 100]);
    assert_eq!(entry.foreign_files().unwrap(), Vec::<PathBuf>::new());
    std::fs::write(entry.dir.join("module/other.ko"), "x").unwrap();
    assert_eq!(entry.foreign_files().unwrap(), [PathBuf::from("module/other.ko")]);
    let second = new_world(DEFAULT_SIZE);
    second.cache.store_from(&entry.dir, &entry.record).unwrap();
    assert_eq!(second.cache.lookup(&fingerprint).unwrap().unwrap().record, entry.record);
    assert!(world.cache.find("../../etc").unwrap().is_none());
}

#[test]
fn a_build_from_elsewhere_is_compared_with_its_record() {
    let (world, second) = (new_world(DEFAULT_SIZE), new_world(DEFAULT_SIZE));
    let fingerprint = store(&world.cache, "hello", 100);
    let entry = world.cache.lookup(&fingerprint).unwrap().unwrap();
    std::fs::write(entry.dir.join("module/hello.ko"), vec![8; 100]).unwrap();
    assert!(matches!(second.cache.store_from(&entry.dir, &entry.record), Err(StoreError::Damaged(_))));
    assert!(second.cache.lookup(&fingerprint).unwrap().is_none());
    assert_eq!(names(&second.cache), [LOCK]);
}

#[test]
fn a_damaged_entry_is_dropped() {
    let world = new_world(DEFAULT_SIZE);
    let fingerprint = store(&world.cache, "hello", 100);
    let dir = world.cache.find(&fingerprint).unwrap().unwrap().dir;
    std::fs::write(dir.join("module/hello.ko"), vec![8; 100]).unwrap();
    assert!(world.cache.find(&fingerprint).unwrap().is_some(), "only a read finds it");
    let damaged = world.cache.lookup(&fingerprint).unwrap_err();
    assert!(damaged.to_string().contains("module/hello.ko differs"), "{damaged}");
    world.cache.drop_entry(&damaged.path).unwrap();
    assert!(world.cache.lookup(&fingerprint).unwrap().is_none());
    assert_eq!(names(&world.cache), [LOCK]);
    store(&world.cache, "hello", 100);
    assert!(world.cache.lookup(&fingerprint).unwrap().is_some());
}

fn names(cache: &Cache) -> Vec<String> {
    let names = fs::list_dir(cache.dir()).unwrap();
    names.into_iter().map(|n| n.to_string_lossy().into_owned()).collect()
}

#[test]
fn the_least_recently_used_entries_go_first() {
    let world = new_world(10_000);
    let all: Vec<String> = ["a", "b", "c"].iter().map(|name| store(&world.cache, name, 2000)).collect();
    let now = SystemTime::now();
    for (age, fingerprint) in [(20, &all[0]), (30, &all[1]), (10, &all[2])] {
        let dir = world.cache.find(fingerprint).unwrap().unwrap().dir;
        fs::set_modified(dir.join(RECORD), now - Duration::from_secs(age)).unwrap();
    }
    world.cache.find(&all[1]).unwrap().unwrap().touch();
    let fourth = store(&world.cache, "d", 4000);
    let is_stored = |fingerprint: &String| world.cache.find(fingerprint).unwrap().is_some();
    assert_eq!(
        (is_stored(&all[0]), is_stored(&all[1]), is_stored(&all[2]), is_stored(&fourth)),
        (false, true, true, true)
    );
    let large = record("large", &[]);
    assert!(matches!(world.cache.store(large, draft(10_001), false), Err(StoreError::TooLarge { .. })));
}

#[test]
fn times_in_the_future_keep_no_entry() {
    let world = new_world(10_000);
    let all: Vec<String> = ["a", "b", "c"].iter().map(|name| store(&world.cache, name, 2000)).collect();
    let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 3600));
    for (used, fingerprint) in
        [(now - day, &all[0]), (now + day * 9000, &all[1]), (SystemTime::UNIX_EPOCH, &all[2])]
    {
        let dir = world.cache.find(fingerprint).unwrap().unwrap().dir;
        fs::set_modified(dir.join(RECORD), used).unwrap();
    }
    store(&world.cache, "d", 2500);
    let is_stored = |fingerprint: &String| world.cache.find(fingerprint).unwrap().is_some();
    assert_eq!((is_stored(&all[0]), is_stored(&all[1]), is_stored(&all[2])), (true, false, true));
}

#[test]
fn leftovers_of_a_killed_process_are_removed() {
    let world = new_world(DEFAULT_SIZE);
    store(&world.cache, "hello", 10);
    let left = world.cache.dir().join(".tmp-killed/module");
    std::fs::create_dir_all(&left).unwrap();
    store(&world.cache, "other", 10);
    assert!(!left.exists());
}

#[test]
fn a_directory_that_others_can_change_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let world = new_world(DEFAULT_SIZE);
    let fingerprint = store(&world.cache, "hello", 10);
    let mode = |dir: &Path, mode| {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let entry = world.cache.find(&fingerprint).unwrap().unwrap().dir;
    mode(&entry, 0o777);
    assert!(world.cache.find(&fingerprint).is_err());
    mode(&entry, 0o755);
    mode(world.cache.dir(), 0o777);
    assert!(world.cache.distrust().unwrap().to_string().contains("all users"));
    assert!(world.cache.find(&fingerprint).unwrap().is_none());
    let stored = world.cache.store(record("other", &[]), draft(1), false);
    assert!(matches!(stored, Err(StoreError::Untrusted(_))));
    mode(world.cache.dir(), 0o755);
    let moved = world.cache.dir().with_file_name("moved");
    std::fs::rename(world.cache.dir(), &moved).unwrap();
    std::os::unix::fs::symlink(&moved, world.cache.dir()).unwrap();
    assert!(world.cache.distrust().unwrap().to_string().contains("symbolic link"));
    assert!(world.cache.find(&fingerprint).unwrap().is_none());
}

#[test]
fn problems_are_found_and_removed() {
    let world = new_world(DEFAULT_SIZE);
    assert_eq!(world.cache.problems().unwrap(), []);
    let fingerprint = store(&world.cache, "hello", 100);
    let other = store(&world.cache, "other", 100);
    assert_eq!(world.cache.problems().unwrap(), []);
    let at = |name: &str| world.cache.dir().join(name);
    std::fs::write(at("file"), "x").unwrap();
    std::fs::create_dir_all(at("aa/bb")).unwrap();
    std::fs::create_dir_all(at(".tmp-left")).unwrap();
    std::os::unix::fs::symlink("/etc", at("zz")).unwrap();
    let dir = |fingerprint: &str| entry_dir(world.cache.dir(), fingerprint);
    std::fs::write(dir(&fingerprint).join("module/hello.ko"), vec![8; 100]).unwrap();
    std::fs::write(dir(&other).join("more"), "").unwrap();
    let small = Cache::new(world.cache.dir(), None, 300);
    let problems = small.problems().unwrap();
    assert_eq!(problems.len(), 7, "{problems:?}");
    for problem in problems {
        small.remove_problem(&problem.path).unwrap();
    }
    assert_eq!(small.problems().unwrap(), []);
    assert!(Path::new("/etc/passwd").exists());
}

#[test]
fn an_entry_is_replaced_only_on_request() {
    let world = new_world(DEFAULT_SIZE);
    let fingerprint = store(&world.cache, "hello", 10);
    let size = || {
        let entry = world.cache.lookup(&fingerprint).unwrap().unwrap();
        entry.file("module/hello.ko").unwrap().size
    };
    world.cache.store(record("hello", &["kernel=6.1"]), draft(20), false).unwrap();
    assert_eq!(size(), 10);
    world.cache.store(record("hello", &["kernel=6.1"]), draft(20), true).unwrap();
    assert_eq!(size(), 20);
}

#[test]
fn a_second_cache_is_only_read() {
    let (machine, roots) = (new_world(DEFAULT_SIZE), new_world(DEFAULT_SIZE));
    let fingerprint = store(&machine.cache, "hello", 10);
    let both = Cache::new(roots.cache.dir(), Some(machine.cache.dir().to_owned()), DEFAULT_SIZE);
    let entry = both.lookup(&fingerprint).unwrap().unwrap();
    both.drop_entry(&entry.dir).unwrap();
    assert!(machine.cache.lookup(&fingerprint).unwrap().is_some());
    store(&both, "other", 10);
    assert_eq!(machine.cache.entries(&Filter::default()).unwrap().len(), 1);
}

#[test]
fn a_filter_selects_what_is_listed_and_cleared() {
    let world = new_world(DEFAULT_SIZE);
    store(&world.cache, "a", 10);
    store(&world.cache, "b", 10);
    let only = |package: &str| Filter { package: Some(package.into()), ..Filter::default() };
    assert_eq!(world.cache.entries(&Filter::default()).unwrap().len(), 2);
    assert_eq!(world.cache.clear(&only("a")).unwrap().entries.len(), 1);
    let left = world.cache.entries(&Filter::default()).unwrap();
    assert_eq!(left.iter().map(|l| l.record.as_ref().unwrap().package.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(world.cache.clear(&Filter::default()).unwrap().entries.len(), 1);
    assert!(new_world(1).cache.clear(&Filter::default()).unwrap().entries.is_empty());
}

#[test]
fn packages_with_equal_module_names_are_kept_apart() {
    let world = new_world(DEFAULT_SIZE);
    let (one, other) = (store(&world.cache, "one", 10), store(&world.cache, "other", 20));
    for (fingerprint, package, size) in [(&one, "one", 10), (&other, "other", 20)] {
        let entry = world.cache.lookup(fingerprint).unwrap().unwrap();
        assert_eq!(entry.record.package, package);
        assert_eq!(entry.read(entry.file("module/hello.ko").unwrap()).unwrap(), vec![7; size]);
    }
}

#[test]
fn the_nearest_entry_names_the_lines_that_differ() {
    let world = new_world(DEFAULT_SIZE);
    for lines in
        [["kernel=6.1", "compiler=gcc-12", "depends=base=1"], ["kernel=6.2", "compiler=gcc-13", "btf=true"]]
    {
        world.cache.store(record("hello", &lines), draft(1), false).unwrap();
    }
    let current = record("hello", &["kernel=6.1", "compiler=gcc-12", "depends=base=2"]).lines;
    let nearest = world.cache.nearest("hello", &current).unwrap().unwrap();
    let difference =
        Difference { name: "depends=base".into(), cached: Some("1".into()), current: Some("2".into()) };
    assert_eq!(nearest.differences, [difference]);
    assert!(world.cache.nearest("other", &current).unwrap().is_none());
}

#[test]
fn many_writers_and_readers_at_once() {
    let world = new_world(30_000);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cache = &world.cache;
            scope.spawn(move || {
                for round in 0..10 {
                    let name = format!("p{}", (thread + round) % 5);
                    let fingerprint = store(cache, &name, 4000 + round);
                    if let Some(entry) = cache.lookup(&fingerprint).unwrap() {
                        assert_eq!(entry.record.package, name);
                    }
                }
            });
        }
    });
    let left = world.cache.entries(&Filter::default()).unwrap();
    assert!(left.iter().all(|listed| listed.record.is_ok()) && !left.is_empty());
    assert!(left.iter().map(|listed| listed.size).sum::<u64>() <= 30_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_is_never_used(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        file in 0..4usize,
        keep in 0..120usize,
    ) {
        let world = new_world(DEFAULT_SIZE);
        let fingerprint = store(&world.cache, "hello", 100);
        let entry = world.cache.find(&fingerprint).unwrap().unwrap();
        let name = [RECORD, LOG, "Module.symvers", "module/hello.ko"][file];
        let path = entry.dir.join(name);
        let before = std::fs::read(&path).unwrap();
        let mut after: Vec<u8> = before.iter().copied().take(keep).collect();
        after.extend_from_slice(&bytes);
        prop_assume!(before != after);
        std::fs::write(&path, &after).unwrap();
        let damaged = world.cache.lookup(&fingerprint).unwrap_err();
        world.cache.drop_entry(&damaged.path).unwrap();
        prop_assert!(world.cache.lookup(&fingerprint).unwrap().is_none());
        std::fs::create_dir_all(entry.dir.join("module")).unwrap();
        for left in fs::list_dir(&entry.dir).unwrap() {
            prop_assert!(world.cache.lookup(&fingerprint).is_err());
            fs::remove_tree(entry.dir.join(left)).unwrap();
        }
        prop_assert!(world.cache.lookup(&fingerprint).is_err());
    }

    #[test]
    fn any_bytes_as_a_record_are_a_miss(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..4000),
            "[\\[\\]{}:,\"a-z0-9 \\-]{0,400}".prop_map(String::into_bytes),
            (1..3000usize).prop_map(|depth| vec![b'['; depth]),
        ],
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let world = new_world(DEFAULT_SIZE);
        let fingerprint = store(&world.cache, "hello", 100);
        let path = world.cache.find(&fingerprint).unwrap().unwrap().dir.join(RECORD);
        let before = std::fs::read(&path).unwrap();
        let mut one_byte = before.clone();
        one_byte[at.index(before.len())] = byte;
        for record in [bytes, one_byte] {
            std::fs::write(&path, &record).unwrap();
            match world.cache.lookup(&fingerprint) {
                // Fields that do not identify a build may differ, for example the name of its builder.
                Ok(found) => prop_assert_eq!(found.unwrap().record.fingerprint, fingerprint.clone()),
                Err(damaged) => prop_assert_eq!(&damaged.path, path.parent().unwrap()),
            }
            prop_assert_eq!(world.cache.entries(&Filter::default()).unwrap().len(), 1);
            prop_assert!(world.cache.nearest("hello", &[]).is_ok());
            prop_assert!(world.cache.problems().is_ok());
        }
        world.cache.drop_entry(path.parent().unwrap()).unwrap();
        prop_assert!(world.cache.find(&fingerprint).unwrap().is_none());
    }
}
