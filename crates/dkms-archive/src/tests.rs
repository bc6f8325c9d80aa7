//! Archives made by GNU tar, Python and dkms 3, and hostile archives.
#![allow(clippy::print_stderr, reason = "a test that cannot run says why")]

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use dkms_sys::fs;
use dkms_sys::process::{Command, Stdin};

use super::names::{Kind, Tree};
use super::*;

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("tempdir")
}

fn put(path: impl AsRef<Path>, text: &str) -> PathBuf {
    let path = path.as_ref();
    std::fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
    std::fs::write(path, text).expect("write");
    path.to_owned()
}

fn run(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args.iter().copied()).run().expect(program);
    assert!(done.status.success(), "{program} {args:?}: {}", done.stderr_text());
    done.stdout_text()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("utf-8")
}

/// A tree with every kind of entry that an archive may have.
fn sample(dir: &Path) -> PathBuf {
    let tree = dir.join("src");
    put(tree.join("dkms.conf"), "PACKAGE_NAME=x\n");
    put(tree.join("sub").join("d".repeat(120)).join("long name with ü.c"), "int x;\n");
    put(tree.join("script.sh"), "#!/bin/sh\n");
    put(tree.join("empty"), "");
    put(tree.join("big"), &"0123456789abcdef".repeat(40_000));
    std::fs::create_dir(tree.join("emptydir")).expect("mkdir");
    symlink("sub/../dkms.conf", tree.join("ignored")).expect("link");
    std::fs::remove_file(tree.join("ignored")).expect("rm");
    symlink("../dkms.conf", tree.join("sub/link")).expect("link");
    symlink(format!("sub/{}/x", "d".repeat(120)), tree.join("longlink")).expect("link");
    fs::set_mode(tree.join("script.sh"), 0o755).expect("chmod");
    run("touch", &["-h", "-d", "@1000000000", text(&tree.join("script.sh")), text(&tree.join("sub/link"))]);
    tree
}

fn same_tree(a: &Path, b: &Path) {
    assert_eq!(fs::list_dir(a).expect("list"), fs::list_dir(b).expect("list"), "{}", a.display());
    for name in fs::list_dir(a).expect("list") {
        let (a, b) = (a.join(&name), b.join(&name));
        if fs::is_symlink(&a) {
            assert_eq!(fs::read_link(&a).expect("link"), fs::read_link(&b).expect("link"));
        } else if fs::is_dir(&a) {
            same_tree(&a, &b);
        } else {
            let (meta_a, meta_b) = (a.metadata().expect("stat"), b.metadata().expect("stat"));
            assert!(fs::same_contents(&a, &b).expect("compare"), "{}", a.display());
            assert_eq!(meta_a.mode() & 0o755, meta_b.mode() & 0o7777, "{}", a.display());
            assert_eq!(meta_a.mtime(), meta_b.mtime(), "{}", a.display());
        }
    }
}

const SUFFIXES: [&str; 9] = ["tar", "tar.gz", "tgz", "tar.xz", "txz", "tar.zst", "tar.bz2", "tbz2", "dkms"];

#[test]
fn written_archives_can_be_read_by_dkms_and_by_tar() {
    let dir = temp();
    let tree = sample(dir.path());
    symlink(&tree, dir.path().join("source")).expect("link");
    let members = [
        Member::path("dkms_source_tree", dir.path().join("source")),
        Member::bytes("dkms_binaries_only/PACKAGE_NAME", "x\n", 5),
    ];
    for suffix in SUFFIXES {
        let archive = dir.path().join(format!("x-1.dkms.{suffix}"));
        let written = write(&archive, &members, None).unwrap_or_else(|e| panic!("{suffix}: {e}"));
        assert_eq!(written.size, archive.metadata().expect("stat").len());
        let ours = dir.path().join(format!("ours-{suffix}"));
        let unpacked =
            unpack(&archive, &ours, &Limits::default()).unwrap_or_else(|e| panic!("{suffix}: {e}"));
        assert_eq!(unpacked.compression, written.compression);
        assert_eq!(unpacked.entries.len() as u64, written.entries);
        same_tree(&tree, &ours.join("dkms_source_tree"));
        assert_eq!(std::fs::read(ours.join("dkms_binaries_only/PACKAGE_NAME")).expect("read"), b"x\n");
        let theirs = dir.path().join(format!("theirs-{suffix}"));
        std::fs::create_dir(&theirs).expect("mkdir");
        if suffix == "tar.zst" && dkms_sys::process::which("zstd", dkms_sys::process::DEFAULT_PATH).is_none()
        {
            continue;
        }
        run("tar", &["-xaf", text(&archive), "-C", text(&theirs)]);
        same_tree(&tree, &theirs.join("dkms_source_tree"));
    }
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let dir = temp();
    let tree = sample(dir.path());
    let copy = dir.path().join("elsewhere");
    fs::copy_tree(&tree, &copy).expect("copy");
    run("touch", &["-d", "@1900000000", text(&copy.join("big")), text(&copy)]);
    let bytes = |from: &Path, to: &str| {
        let archive = dir.path().join(to);
        write(&archive, &[Member::path("t", from)], Some(1_000_000_000)).expect("write");
        std::fs::read(archive).expect("read")
    };
    for suffix in SUFFIXES {
        assert_eq!(bytes(&tree, &format!("a.{suffix}")), bytes(&copy, &format!("b.{suffix}")), "{suffix}");
    }
    let list =
        run("tar", &["-tvf", text(&dir.path().join("a.tar")), "--numeric-owner", "--utc", "--full-time"]);
    assert!(list.lines().all(|l| l.contains(" 0/0 ") && l.contains("2001-09-09 01:46:40")), "{list}");
    let names: Vec<_> = list.lines().filter_map(|l| l.split(" 01:46:40 ").nth(1)).collect();
    assert!(names.first() == Some(&"t/") && names.contains(&"t/dkms.conf"), "{names:?}");
}

#[test]
fn archives_of_gnu_tar_are_read() {
    let dir = temp();
    let tree = sample(dir.path());
    std::fs::hard_link(tree.join("big"), tree.join("hard")).expect("hard link");
    std::fs::create_dir(dir.path().join("layout")).expect("mkdir");
    std::fs::rename(&tree, dir.path().join("layout/dkms_source_tree")).expect("mv");
    let layout = dir.path().join("layout");
    for format in ["gnu", "pax", "oldgnu"] {
        for (flag, suffix) in [("", "tar"), ("-z", "gz"), ("-J", "xz"), ("-j", "bz2")] {
            let archive = dir.path().join(format!("{format}.{suffix}"));
            let option = format!("--format={format}");
            let mut args = vec!["-C", text(&layout), &option, "-cf", text(&archive), "."];
            if !flag.is_empty() {
                args.insert(0, flag);
            }
            run("tar", &args);
            let into = dir.path().join(format!("into-{format}-{suffix}"));
            let unpacked = unpack(&archive, &into, &Limits::default()).expect(format);
            same_tree(&layout, &into);
            assert!(unpacked.entries.iter().all(|e| !e.name.starts_with('.')));
            assert_eq!(unpacked.link_leaving("dkms_source_tree"), None);
        }
    }
}

/// Malformed archives written by Python.
fn python(dir: &Path, script: &str) -> Option<PathBuf> {
    let archive = dir.join("bad.tar");
    let _ = std::fs::remove_file(&archive);
    let prelude = "import tarfile, io, sys\nt = tarfile.open(sys.argv[1], 'w', format=tarfile.GNU_FORMAT)\n\
        def add(name, type=tarfile.REGTYPE, link='', data=b'', mode=0o644):\n    i = tarfile.TarInfo(name)\n    \
        i.type, i.linkname, i.mode, i.size = type, link, mode, len(data)\n    t.addfile(i, io.BytesIO(data))\n\
        D, S, H = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE\n";
    let whole = format!("{prelude}{script}\nt.close()\n");
    let command = Command::new("python3").arg("-").arg(&archive).stdin(Stdin::Bytes(whole.into_bytes()));
    match command.run() {
        Ok(done) => {
            assert!(done.status.success(), "{script}: {}", done.stderr_text());
            Some(archive)
        }
        Err(e) => {
            eprintln!("skipped: {e}");
            None
        }
    }
}

#[test]
fn hostile_archives_are_refused_completely() {
    let dir = temp();
    let outside = put(dir.path().join("outside/precious"), "precious");
    let into = dir.path().join("into");
    for (script, word) in [
        ("add('../outside/precious', data=b'x')", "contains \"..\""),
        ("add('a/../../outside/precious', data=b'x')", "contains \"..\""),
        ("add('/tmp/dkms-absolute', data=b'x')", "absolute"),
        ("add('l', S, '../outside'); add('l/precious', data=b'x')", "outside of the archive"),
        ("add('l', S, '/etc')", "outside of the archive"),
        ("add('d/l', S, '../../x')", "outside of the archive"),
        ("add('d/l', S, 'a/../../../x')", "outside of the archive"),
        ("add('l', S, '')", "outside of the archive"),
        ("add('d', D); add('l', S, 'd'); add('l/x', data=b'x')", "would have to be a directory"),
        ("add('f', data=b'x'); add('f/x', data=b'x')", "would have to be a directory"),
        ("add('h', H, '../outside/precious')", "hard link"),
        ("add('h', H, '/etc/passwd')", "hard link"),
        ("add('h', H, 'absent')", "hard link"),
        ("add('l', S, 'x'); add('h', H, 'l')", "hard link"),
        ("add('h', H, 'h')", "hard link"),
        ("add('n', tarfile.CHRTYPE)", "device"),
        ("add('n', tarfile.BLKTYPE)", "device"),
        ("add('n', tarfile.FIFOTYPE)", "named pipe"),
        ("add('n', b'Z')", "unknown type"),
        ("add('s', data=b'x', mode=0o4755)", "setuid"),
        ("add('s', data=b'x', mode=0o2755)", "setuid"),
        ("add('a\\nb', data=b'x')", "control characters"),
        ("add('a\\x1b[2Jb', data=b'x')", "control characters"),
        ("add('l', S, 'a\\nb')", "control characters"),
        ("add('d', D); add('d', S, 'x')", "twice"),
        ("add('d', S, 'x'); add('d', D)", "twice"),
        ("add('d', S, 'x'); add('d', S, 'y')", "twice"),
        ("add('f', data=b'x'); add('f', D)", "twice"),
        ("add('a/b', data=b'x'); add('a', data=b'x')", "twice"),
        ("add('a/' * 300 + 'f', data=b'x')", "too long"),
        ("add('n' * 256, data=b'x')", "too long"),
        ("add('.', data=b'x')", "no name"),
        ("add(b'\\xff\\xfe'.decode('utf-8', 'surrogateescape'), data=b'x')", "UTF-8"),
        ("add('l', S, 'x' * 70000)", "longer than 64 KiB"),
    ] {
        let Some(archive) = python(dir.path(), &format!("add('good', data=b'1' * 5000)\n{script}")) else {
            return;
        };
        let error = unpack(&archive, &into, &Limits::default()).expect_err(script);
        let message = error.to_string();
        assert!(message.contains(word) && message.contains("bad.tar"), "{script}: {message}");
        assert!(!message.chars().any(char::is_control), "{script}: {message:?}");
        assert!(!into.exists(), "{script}: something stays");
        assert_eq!(std::fs::read(&outside).expect("read"), b"precious", "{script}");
        // The check of names alone gives the same result.
        let mut sink = super::read::Discard;
        let bytes = std::fs::read(&archive).expect("read");
        assert!(
            super::read::read_all(Format::Tar, bytes.as_slice(), 10, &Limits::default(), &mut sink).is_err(),
            "{script}"
        );
    }
    std::fs::create_dir(&into).expect("mkdir");
    let Some(archive) = python(dir.path(), "add('a/b', data=b'x'); add('../c')") else { return };
    assert!(unpack(&archive, &into, &Limits::default()).is_err());
    assert!(fs::list_dir(&into).expect("list").is_empty(), "the caller's directory stays, empty");
}

#[test]
fn unusual_archives_are_read() {
    let dir = temp();
    for (number, (script, names)) in [
        ("add('./', D); add('./a//b/./c', data=b'1')", &["a/b/c"][..]),
        ("add('d', D, mode=0o2755); add('d/f', data=b'1', mode=0)", &["d", "d/f"]),
        ("add('f', data=b'1'); add('f', data=b'22')", &["f", "f"]),
        ("add('f', data=b'1'); add('h', H, './f'); add('h', data=b'22')", &["f", "h", "h"]),
        ("add('d/e/l', S, '../../x'); add('d/k', S, './e')", &["d/e/l", "d/k"]),
        ("add('d/f', data=b'1'); add('d', D, mode=0o555)", &["d/f", "d"]),
    ]
    .into_iter()
    .enumerate()
    {
        let Some(archive) = python(dir.path(), script) else { return };
        let into = dir.path().join(number.to_string());
        let unpacked = unpack(&archive, &into, &Limits::default()).expect(script);
        let found: Vec<_> = unpacked.entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(found, names, "{script}");
    }
    let mode = |name: &str| dir.path().join(name).symlink_metadata().expect("stat").mode() & 0o7777;
    assert_eq!((mode("1/d"), mode("1/d/f"), mode("5/d")), (0o755, 0o600, 0o755));
    assert_eq!(std::fs::read(dir.path().join("2/f")).expect("read"), b"22");
    assert_eq!(
        std::fs::read(dir.path().join("3/f")).expect("read"),
        b"1",
        "not written through the hard link"
    );
    let archive = python(dir.path(), "add('d/e/l', S, '../../x')").expect("python");
    let unpacked = unpack(&archive, &dir.path().join("links"), &Limits::default()).expect("unpack");
    assert!(unpacked.link_leaving("d").is_some() && unpacked.link_leaving("").is_none());
    assert!(unpacked.link_leaving("d/e").is_some() && unpacked.link_leaving("other").is_none());
}

#[test]
fn bombs_and_limits() {
    let dir = temp();
    let into = dir.path().join("into");
    put(dir.path().join("t/zeros"), &"\0".repeat(20 << 20));
    for suffix in ["tar", "tar.gz", "tar.xz", "tar.zst", "tar.bz2"] {
        let archive = dir.path().join(format!("bomb.{suffix}"));
        write(&archive, &[Member::path("t", dir.path().join("t"))], None).expect("write");
        let limits = Limits { max_bytes: 1 << 20, max_entries: 10 };
        let error = unpack(&archive, &into, &limits).expect_err(suffix);
        assert!(matches!(error, ArchiveError::TooBig { limit: 1_048_576, unit: "bytes", .. }), "{error}");
        assert!(!into.exists());
        unpack(&archive, &into, &Limits { max_bytes: 20 << 20, max_entries: 2 })
            .expect("exactly at the limit");
        fs::remove_tree(&into).expect("remove");
        let error =
            unpack(&archive, &into, &Limits { max_bytes: 20 << 20, max_entries: 1 }).expect_err(suffix);
        assert!(matches!(error, ArchiveError::TooBig { unit: "entries", .. }), "{error}");
    }
    // Copies of one file through hard links, and implied entries, also count.
    let script = "add('f', data=b'1' * 500000)\nfor i in range(9): add('h%d' % i, H, 'f')";
    let Some(archive) = python(dir.path(), script) else { return };
    assert!(unpack(&archive, &into, &Limits { max_bytes: 1 << 20, max_entries: 100 }).is_err());
    let archive = python(dir.path(), "add('a/' * 100 + 'f', data=b'1')").expect("python");
    assert!(unpack(&archive, &into, &Limits { max_bytes: 1 << 20, max_entries: 50 }).is_err());
    assert!(!into.exists());
}

#[test]
fn truncated_archives_are_damaged() {
    let dir = temp();
    put(dir.path().join("t/a"), &"some text\n".repeat(300));
    put(dir.path().join("t/b"), "x");
    let into = dir.path().join("into");
    for suffix in ["tar", "tar.gz", "tar.xz", "tar.zst", "tar.bz2"] {
        let archive = dir.path().join(format!("whole.{suffix}"));
        write(&archive, &[Member::path("t", dir.path().join("t"))], None).expect("write");
        let whole = std::fs::read(&archive).expect("read");
        // A plain tar archive may lack the second of its two end blocks.
        let end = if suffix == "tar" { whole.len() - 1024 } else { whole.len() - 1 };
        let step = (end / 60).max(1);
        for length in (0..end).step_by(step).chain([end]) {
            let cut = dir.path().join(format!("cut.{suffix}"));
            std::fs::write(&cut, &whole[..length]).expect("write");
            let result = unpack(&cut, &into, &Limits::default());
            assert!(result.is_err(), "{suffix} cut to {length} of {}", whole.len());
            assert!(!into.exists());
        }
        for position in (0..whole.len()).step_by((whole.len() / 50).max(1)) {
            let mut flipped = whole.clone();
            flipped[position] ^= 0x55;
            fuzz_unpack(&flipped);
        }
        if suffix != "tar" {
            let mut broken = whole.clone();
            let middle = broken.len() - 10;
            broken[middle] ^= 0xff;
            let bad = dir.path().join(format!("broken.{suffix}"));
            std::fs::write(&bad, &broken).expect("write");
            let error = unpack(&bad, &into, &Limits::default()).expect_err(suffix);
            assert!(matches!(error, ArchiveError::Damaged { .. }), "{suffix}: {error}");
        }
    }
}

#[test]
fn gzip_in_parts_and_filled_up_with_zeros_is_whole() {
    let dir = temp();
    let archive = dir.path().join("a.tar");
    write(&archive, &[Member::bytes("a", "x".repeat(5000), 0)], None).expect("write");
    let tar = std::fs::read(&archive).expect("read");
    let (front, back) = tar.split_at(700);
    let part = |bytes| super::gzip(bytes).expect("gzip");
    for (name, rest) in [("zeros", vec![0; 9693]), ("nothing", Vec::new())] {
        let file = dir.path().join("b.tar.gz");
        std::fs::write(&file, [part(front), part(back), rest].concat()).expect("write");
        run("gzip", &["-t", text(&file)]);
        let into = dir.path().join(name);
        assert_eq!(unpack(&file, &into, &Limits::default()).expect(name).bytes, 5000);
    }
    let file = dir.path().join("c.tar.gz");
    std::fs::write(&file, [part(&tar), vec![0; 10], vec![1; 10]].concat()).expect("write");
    assert!(unpack(&file, &dir.path().join("garbage"), &Limits::default()).is_err());
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let dir = temp();
    let into = dir.path().join("into");
    for (bytes, word) in [
        (&b""[..], "empty file"),
        (b"PK\x03\x04rest of it", "zip"),
        (
            b"!<arch>\nobject.o/       0           0     0     100644  0         `\n and what else",
            "ar archive",
        ),
        (&[0xed, 0xab, 0xee, 0xdb, 3, 0], "RPM"),
        (b"\x7fELF\x02\x01\x01 and so on", "program"),
        (b"just some text, long enough or not", "not a tar archive"),
    ] {
        let file = dir.path().join("file.tar.gz");
        std::fs::write(&file, bytes).expect("write");
        let error = unpack(&file, &into, &Limits::default()).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
        std::fs::write(&file, [bytes, &[7; 2000][..]].concat()).expect("write");
        assert!(unpack(&file, &into, &Limits::default()).is_err());
    }
    assert!(matches!(unpack(dir.path(), &into, &Limits::default()), Err(ArchiveError::NotAnArchive { .. })));
    let absent = unpack(&dir.path().join("absent"), &into, &Limits::default());
    assert!(matches!(absent, Err(ArchiveError::Io(e)) if e.is_not_found()));
    put(dir.path().join("full/x"), "");
    let archive = dir.path().join("a.tar");
    write(&archive, &[Member::bytes("a", "b", 0)], None).expect("write");
    let full = unpack(&archive, &dir.path().join("full"), &Limits::default());
    assert!(matches!(full, Err(ArchiveError::NotEmpty(_))) && dir.path().join("full/x").exists());
    assert!(!into.exists());
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let dir = temp();
    let archive = dir.path().join("a.tar.gz");
    put(dir.path().join("t/f"), "x");
    run("mkfifo", &[text(&dir.path().join("t/pipe"))]);
    let written =
        write(&archive, &[Member::path("t", dir.path().join("t"))], None).expect("without the pipe");
    assert_eq!((written.entries, written.left_out.len()), (2, 1));
    std::fs::remove_file(&archive).expect("remove");
    for name in ["", "/a", "a/../b", "./a", "a//b", ".."] {
        assert!(write(&archive, &[Member::bytes(name, "", 0)], None).is_err(), "{name:?}");
    }
    let twice = [Member::bytes("a", "1", 0), Member::bytes("a", "2", 0)];
    assert!(write(&archive, &twice, None).is_err());
    assert!(write(&archive, &[Member::path("t", dir.path().join("absent"))], None).is_err());
    assert!(write(&dir.path().join("no/a.tar"), &[Member::bytes("a", "", 0)], None).is_err());
    assert_eq!(fs::list_dir(dir.path()).expect("list"), ["t"]);
}

#[test]
fn links_keep_their_words() {
    let dir = temp();
    let tree = dir.path().join("t");
    std::fs::create_dir(&tree).expect("mkdir");
    for (number, target) in ["a//b", "./a", "../t/x/", "a/./b", &"y/".repeat(90)].into_iter().enumerate() {
        symlink(target, tree.join(number.to_string())).expect("link");
    }
    let archive = dir.path().join("a.tar");
    write(&archive, &[Member::path("x/t", &tree)], None).expect("write");
    unpack(&archive, &dir.path().join("into"), &Limits::default()).expect("unpack");
    same_tree(&tree, &dir.path().join("into/x/t"));
}

#[test]
fn names_are_judged_without_a_disk() {
    let mut tree = Tree::new(4000);
    assert_eq!(tree.admit(b"./a/", Kind::Directory).map(|a| a.name), Ok("a".to_owned()));
    assert_eq!(tree.admit("x".repeat(200).as_bytes(), Kind::File), Err(Refusal::TooLong));
    assert_eq!(tree.admit(b"", Kind::File), Err(Refusal::Empty));
    assert_eq!(tree.admit(b"./", Kind::File), Err(Refusal::Empty));
    assert_eq!(tree.admit(b"a", Kind::Directory).map(|a| a.again), Ok(true));
    assert_eq!(
        tree.admit(b"a/l", Kind::Symlink(b"..")).map(|a| a.kind),
        Ok(EntryKind::Symlink("..".to_owned()))
    );
    assert_eq!(tree.admit(b"a/l/x", Kind::File), Err(Refusal::ThroughNonDirectory("a/l".to_owned())));
}

/// Runs Debian's dkms in separate trees: it loads what we write, and we load what it writes.
#[test]
fn dkms_3_and_we_read_each_other() {
    let dir = temp();
    let conf = "PACKAGE_NAME=\"demo\"\nPACKAGE_VERSION=\"1.0\"\nBUILT_MODULE_NAME[0]=\"demo\"\n\
                DEST_MODULE_LOCATION[0]=\"/updates/dkms\"\nAUTOINSTALL=\"yes\"\n";
    put(dir.path().join("ours/dkms.conf"), conf);
    put(dir.path().join("ours/demo.c"), "int x;\n");
    let (tree, sources) = (dir.path().join("dkms"), dir.path().join("usr-src"));
    for path in [&tree, &sources] {
        std::fs::create_dir(path).expect("mkdir");
    }
    let archive = dir.path().join("demo-1.0.dkms.tar.gz");
    write(&archive, &[Member::path("dkms_source_tree", dir.path().join("ours"))], None).expect("write");
    let places = ["--dkmstree", text(&tree), "--sourcetree", text(&sources)];
    let dkms = |args: &[&str]| {
        Command::new("dkms")
            .args(args.iter().chain(&places).copied())
            .env("PATH", dkms_sys::process::DEFAULT_PATH)
            .run()
    };
    match dkms(&["--version"]) {
        Ok(done)
            if done.stdout_text().trim().starts_with("dkms-3.") && dkms_sys::sys::effective_uid() == 0 => {}
        _ => {
            eprintln!("skipped: no dkms 3, or not root");
            return;
        }
    }
    let loaded = dkms(&["ldtarball", text(&archive)]).expect("ldtarball");
    assert!(loaded.status.success(), "{}{}", loaded.stdout_text(), loaded.stderr_text());
    assert!(sources.join("demo-1.0/demo.c").exists() && tree.join("demo/1.0/source").exists());

    let theirs = dir.path().join("theirs.dkms.tar.gz");
    let made =
        dkms(&["mktarball", "demo/1.0", "--source-only", "--archive", text(&theirs)]).expect("mktarball");
    assert!(made.status.success(), "{}{}", made.stdout_text(), made.stderr_text());
    let theirs = [theirs, tree.join("demo/1.0/tarball/theirs.dkms.tar.gz")].into_iter().find(|p| p.exists());
    let into = dir.path().join("into");
    unpack(&theirs.expect("the tarball"), &into, &Limits::default()).expect("unpack");
    assert_eq!(std::fs::read_to_string(into.join("dkms_source_tree/dkms.conf")).expect("conf"), conf);
}
