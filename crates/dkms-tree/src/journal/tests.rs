use super::op::aside;
use super::*;
use crate::JournalFault;

fn kernel(n: u32) -> Kernel {
    Kernel::new(&format!("6.{n}.0"), "x86_64").unwrap()
}

/// A `stage` or `record` callback that does nothing.
fn nothing() -> Result<()> {
    Ok(())
}

fn layout(dir: &Path) -> Layout {
    Layout { dkms_tree: dir.join("tree"), ..Layout::default() }
}

fn fixture() -> tempfile::TempDir {
    let t = tempfile::tempdir().unwrap();
    for f in ["a", "b", "c"] {
        std::fs::write(t.path().join(f), f).unwrap();
    }
    t
}

/// Moves `f` to `f.moved`.
fn moving(t: &tempfile::TempDir, f: &str) -> Vec<Op> {
    vec![Op::Move { from: t.path().join(f), to: t.path().join(format!("{f}.moved")) }]
}

fn there(t: &tempfile::TempDir, f: &str) -> bool {
    t.path().join(f).exists()
}

#[test]
fn a_journal_is_read_back_as_it_was_written() {
    let t = fixture();
    let kernels = [kernel(1), kernel(2)];
    let mut tx = Transaction::begin(&layout(t.path()), &kernels, "dkms test").unwrap();
    tx.record_status(Before { package: "p".into(), entries: Vec::new() }).unwrap();
    tx.perform(&kernels[0], moving(&t, "a"), nothing, nothing).unwrap();
    tx.perform(&kernels[1], moving(&t, "b"), nothing, nothing).unwrap();
    tx.depmod_begins(&kernels[1]).unwrap();
    let [path] = &list(&layout(t.path())).unwrap()[..] else { panic!("one journal") };
    let read = Journal::read(path).unwrap().unwrap();
    assert_eq!(read.begin.kernels, kernels);
    assert_eq!(read.begin.command, "dkms test");
    assert!(read.writer_is_alive());
    assert_eq!(read.ops.iter().map(|r| r.kernel.clone()).collect::<Vec<_>>(), kernels);
    assert_eq!(read.indexed, [kernel(2)]);
    assert_eq!((read.before.len(), read.committed, read.depmod_pending), (1, false, false));
    // The journal that a dead process would leave behind.
    read.ops.iter().rev().for_each(|r| r.op.undo().unwrap());
    assert!(there(&t, "a") && there(&t, "b") && !there(&t, "a.moved"));
}

#[test]
fn kernels_are_rolled_back_one_by_one_or_together() {
    let t = fixture();
    let kernels = [kernel(1), kernel(2)];
    let mut tx = Transaction::begin(&layout(t.path()), &kernels, "").unwrap();
    for (n, f) in [(0, "a"), (1, "b"), (0, "c")] {
        tx.perform(&kernels[n], moving(&t, f), nothing, nothing).unwrap();
    }
    tx.rollback_kernel(&kernels[0]).unwrap();
    assert!(there(&t, "a") && there(&t, "b.moved") && there(&t, "c"));
    tx.rollback().unwrap();
    assert!(there(&t, "b") && list(&layout(t.path())).unwrap().is_empty());
}

#[test]
fn a_commit_leaves_no_journal_unless_depmod_is_pending() {
    for pending in [false, true] {
        let t = fixture();
        let mut tx = Transaction::begin(&layout(t.path()), &[kernel(1)], "").unwrap();
        tx.perform(&kernel(1), moving(&t, "a"), nothing, nothing).unwrap();
        tx.commit(pending, || ()).unwrap();
        let left = list(&layout(t.path())).unwrap();
        assert_eq!(left.len(), usize::from(pending));
        for path in left {
            let read = Journal::read(&path).unwrap().unwrap();
            assert!(read.committed && read.depmod_pending);
        }
    }
}

#[test]
fn a_failing_batch_is_undone_and_forgotten_and_earlier_ones_stay() {
    let t = fixture();
    let mut tx = Transaction::begin(&layout(t.path()), &[kernel(1)], "").unwrap();
    tx.perform(&kernel(1), moving(&t, "a"), nothing, nothing).unwrap();
    let mut bad = moving(&t, "b");
    bad.push(Op::Remove { path: t.path().join("not-there"), saved: t.path().join(".x") });
    assert!(tx.perform(&kernel(1), bad, nothing, nothing).is_err());
    assert!(there(&t, "a.moved") && there(&t, "b"));
    tx.perform(&kernel(1), moving(&t, "c"), nothing, nothing).unwrap();
    let path = list(&layout(t.path())).unwrap().remove(0);
    assert_eq!(Journal::read(&path).unwrap().unwrap().ops.len(), 2);
}

/// A journal of three batches with every kind of line, and its text.
fn written(t: &tempfile::TempDir) -> (PathBuf, String) {
    let mut tx = Transaction::begin(&layout(t.path()), &[kernel(1), kernel(2)], "dkms test").unwrap();
    tx.record_status(Before { package: "p".into(), entries: Vec::new() }).unwrap();
    for (n, f) in [(1, "a"), (2, "b")] {
        tx.perform(&kernel(n), moving(t, f), nothing, nothing).unwrap();
    }
    tx.depmod_begins(&kernel(2)).unwrap();
    tx.commit(true, || ()).unwrap();
    let path = list(&layout(t.path())).unwrap().remove(0);
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

/// However much of the journal reached the disk, it is read up to the last complete line.
#[test]
fn an_unfinished_last_line_was_never_acted_upon() {
    let t = fixture();
    let (path, text) = written(&t);
    for end in 0..=text.len() {
        let whole = text[..end].matches('\n').count();
        // Allocated space that was never written looks the same.
        for tail in ["", "\0\0\0"] {
            match Journal::parse(&path, format!("{}{tail}", &text[..end]).as_bytes()) {
                Ok(Some(read)) => {
                    assert_eq!(read.ops.len(), [0, 0, 0, 1, 1, 2, 2, 2, 2][whole], "{end}");
                    assert_eq!((read.indexed.len(), read.committed), (usize::from(whole > 6), whole > 7));
                }
                Ok(None) => assert_eq!(whole, 0),
                // We never write NUL into an incomplete first line, but rejecting it loses nothing.
                Err(Error::JournalDamaged { line: 1, .. }) => {
                    assert!(whole == 0 && end > 0 && !tail.is_empty())
                }
                Err(e) => panic!("{end}: {e}"),
            }
        }
    }
}

/// Any error in a complete line names that line, and nothing of the journal is used.
#[test]
fn a_damaged_line_is_an_error_wherever_it_is() {
    let t = fixture();
    let (path, text) = written(&t);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8);
    let damaged_at =
        |lines: &[&str]| match Journal::parse(&path, format!("{}\n", lines.join("\n")).as_bytes()) {
            Err(Error::JournalDamaged { line, .. }) => Some(line),
            Ok(_) => None,
            Err(e) => panic!("{e}"),
        };
    assert_eq!(damaged_at(&lines), None);
    for at in 0..lines.len() {
        let half = &lines[at][..lines[at].len() / 2];
        let other = [half, "", "\0\0\0", "7", "{}", "{\"Do\":[0]}", "{\"Undo\":0}", "null"];
        for bad in other.into_iter().chain([lines[0]].into_iter().filter(|_| at > 0)) {
            let mut lines = lines.clone();
            lines[at] = bad;
            assert_eq!(damaged_at(&lines), Some(at + 1), "{bad:?}");
        }
    }
    // Bytes that are not text, and a duplicated line.
    let mut bytes = text.clone().into_bytes();
    bytes[lines[0].len() + 5] = 0xff;
    assert!(matches!(Journal::parse(&path, &bytes), Err(Error::JournalDamaged { line: 2, .. })));
    let mut twice = lines.clone();
    twice.push(lines[7]);
    assert_eq!(damaged_at(&twice), Some(9), "nothing follows a commit");
}

/// The fault of a line is a value, with the other error as its source if there is one.
#[test]
fn the_fault_of_a_line_is_typed() {
    let t = fixture();
    let (path, text) = written(&t);
    let first = text.lines().next().unwrap();
    let fault = |text: &str| match Journal::parse(&path, format!("{text}\n").as_bytes()) {
        Err(Error::JournalDamaged { fault, .. }) => fault,
        other => panic!("{text}: {other:?}"),
    };
    assert!(matches!(fault("\"Done\""), JournalFault::Json(_)));
    assert!(matches!(fault(&format!("{first}\n{first}")), JournalFault::BeginsTwice));
    assert!(matches!(fault(&format!("{text}\"Done\"")), JournalFault::AfterCommit));
    assert!(matches!(
        fault(&text.replacen("\"package\":\"p\"", "\"package\":\"../p\"", 1)),
        JournalFault::Name(_)
    ));
    let far = fault(&text.replacen("{\"Depmod\":1}", "{\"Depmod\":7}", 1));
    assert!(matches!(far, JournalFault::NoKernel { place: 7, count: 2 }), "{far}");
}

#[test]
fn kernels_are_those_of_the_first_line() {
    let t = fixture();
    let (path, text) = written(&t);
    for (old, new, line) in [
        ("{\"Do\":[0,", "{\"Do\":[2,", 3),
        ("{\"Do\":[1,", "{\"Do\":[18446744073709551615,", 5),
        ("{\"Do\":[1,", "{\"Do\":[-1,", 5),
        ("{\"Do\":[1,", "{\"Do\":[null,", 5),
        ("{\"Depmod\":1}", "{\"Depmod\":2}", 7),
        ("6.2.0", "../../etc", 1),
        ("6.2.0", "", 1),
        ("\"package\":\"p\"", "\"package\":\"../p\"", 2),
    ] {
        let changed = text.replacen(old, new, 1);
        assert_ne!(changed, text);
        match Journal::parse(&path, changed.as_bytes()) {
            Err(Error::JournalDamaged { line: found, .. }) => assert_eq!(found, line, "{new}"),
            other => panic!("{new}: {other:?}"),
        }
    }
    let mut tx = Transaction::begin(&layout(t.path()), &[kernel(1)], "").unwrap();
    assert!(tx.perform(&kernel(7), moving(&t, "c"), nothing, nothing).is_err());
    assert!(tx.depmod_begins(&kernel(7)).is_err() && tx.rollback_kernel(&kernel(7)).is_err());
    assert!(there(&t, "c") && !there(&t, "c.moved"));
}

#[test]
fn other_forms() {
    let t = fixture();
    let (path, text) = written(&t);
    for schema in ["1", "3", "4294967295"] {
        let other = text.replace("\"schema\":2", &format!("\"schema\":{schema}"));
        assert!(matches!(Journal::parse(&path, other.as_bytes()), Err(Error::JournalUnknown(_))));
    }
    // A later version of the format may have other fields in its first line.
    let later = b"{\"Begin\":{\"schema\":3,\"who\":1}}\n{\"What\":1}\n";
    assert!(matches!(Journal::parse(&path, later), Err(Error::JournalUnknown(_))));
    assert!(matches!(Journal::parse(&path, b"something else"), Err(Error::JournalDamaged { line: 1, .. })));
}

/// The format of version 4.0, before names were escaped.
#[test]
fn old_journals_are_read() {
    let text = r#"{"Begin":{"schema":2,"pid":4711,"started":88143,"command":"dkms install hello/1.0","kernels":[{"release":"6.1.0-9-amd64","arch":"x86_64"}]}}
{"Before":{"package":"hello","entries":[{"package":{"name":"hello","version":"1.0"},"kind":{"Built":{"release":"6.1.0-9-amd64","arch":"x86_64"}},"originals":false,"built_missing":false,"differs":false}]}}
{"Do":[0,{"Move":{"from":"/lib/modules/6.1.0-9-amd64/extra/50%/hello.ko","to":"/t/hello.ko"}}]}
{"Do":[0,{"Text":{"path":"/t/hello.ko.origin","text":"/lib/modules/6.1.0-9-amd64/extra/50%/hello.ko\n"}}]}
{"Do":[0,{"Place":{"staged":"/l/.hello.ko.dkms-new","to":"/l/hello.ko","saved":null,"vacated":"/t/ä.ko"}}]}
{"Do":[0,{"Remove":{"path":"/l/a.ko","saved":"/l/.a.ko.dkms-old"}}]}
{"Do":[0,{"Link":{"link":"/t/kernel-K-A","target":"1.0/K/A","before":null}}]}
{"Do":[0,{"Keep":{"path":"/t/.manifest.json","saved":"/t/..manifest.json.dkms-old"}}]}
"Done"
{"Depmod":0}
{"Commit":{"owed":false}}
"#;
    let read = Journal::parse(Path::new("/j"), text.as_bytes()).unwrap().unwrap();
    assert_eq!((read.ops.len(), read.indexed.len(), read.committed), (6, 1, true));
    let Op::Move { from, .. } = &read.ops[0].op else { panic!() };
    assert_eq!(from, Path::new("/lib/modules/6.1.0-9-amd64/extra/50%/hello.ko"));
    // They are also written in the same way.
    let again: Vec<Line> = read.ops.iter().map(|r| Line::Do(KernelIndex(0), r.op.clone())).collect();
    let again = String::from_utf8(bytes(Path::new("/j"), &again).unwrap()).unwrap();
    assert!(text.contains(&again), "{again}");
}

/// Every path of every operation may contain arbitrary bytes.
#[test]
fn names_are_bytes() {
    use std::os::unix::ffi::OsStringExt;
    let odd =
        |n: u8| PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', b'b', 0xff, b'%', n, b'\n', 0x80]));
    let ops = vec![
        Op::Move { from: odd(1), to: odd(2) },
        Op::Place { staged: odd(3), to: odd(4), saved: Some(odd(5)), vacated: Some(odd(6)) },
        Op::Remove { path: odd(7), saved: odd(8) },
        Op::Link { link: odd(9), target: Some(odd(11)), before: Some(odd(12)) },
        Op::Text { path: odd(13), text: odd(14).into() },
        Op::Keep { path: odd(15), saved: aside(&odd(15), "old") },
    ];
    let begin =
        Begin { schema: SCHEMA, pid: 1, started: None, command: String::new(), kernels: vec![kernel(1)] };
    let mut lines = vec![Line::Begin(begin)];
    lines.extend(ops.iter().cloned().map(|op| Line::Do(KernelIndex(0), op)));
    let written = bytes(Path::new("/j"), &lines).unwrap();
    assert!(std::str::from_utf8(&written).is_ok());
    let read = Journal::parse(Path::new("/j"), &written).unwrap().unwrap();
    assert_eq!(read.ops.into_iter().map(|r| r.op).collect::<Vec<_>>(), ops);
    // Names that differ in one byte stay distinct, also when renamed aside.
    assert_ne!(aside(&odd(1), "old"), aside(Path::new("/b\u{fffd}%\u{1}\n\u{fffd}"), "old"));
    assert_eq!(aside(&odd(1), "old").parent(), odd(1).parent());
}

#[test]
fn journals_that_others_may_have_written_are_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mode = |p: &Path, mode| std::fs::set_permissions(p, std::fs::Permissions::from_mode(mode)).unwrap();
    let t = fixture();
    let (path, _) = written(&t);
    let (dir, tree) = (path.parent().unwrap(), layout(t.path()).dkms_tree);
    let refused = |word: &str| match Journal::read(&path) {
        Err(e @ Error::JournalRefused { .. }) => assert!(e.to_string().contains(word), "{e}"),
        other => panic!("{word}: {other:?}"),
    };
    for (what, good) in [(path.as_path(), 0o644), (dir, 0o755), (&tree, 0o755)] {
        mode(what, good);
        assert!(Journal::read(&path).is_ok());
        mode(what, good | 0o002);
        refused("all users");
        mode(what, good);
    }
    // Other users cannot replace files in a directory with the sticky bit.
    mode(&tree, 0o1777);
    assert!(Journal::read(&path).is_ok());
    let elsewhere = t.path().join("elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    refused("link");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("regular");
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(&elsewhere, &path).unwrap();
    std::fs::rename(dir, t.path().join("moved")).unwrap();
    symlink(t.path().join("moved"), dir).unwrap();
    refused("not a directory");
    // The administrator may make the path of the tree a link.
    std::fs::remove_file(dir).unwrap();
    std::fs::rename(t.path().join("moved"), dir).unwrap();
    symlink(&tree, t.path().join("alias")).unwrap();
    let alias = t.path().join("alias/.journal").join(path.file_name().unwrap());
    assert!(Journal::read(&alias).unwrap().is_some());
}

proptest::proptest! {
    #[test]
    fn whatever_lies_there(text in "(\\{\"Begin\":\\{\"schema\":2,\"pid\":1,\"started\":null,\"command\":\"\",\"kernels\":\\[\\]\\}\\}\n)?[-\\[\\]{}\":,a-zA-Z0-9\n]{0,200}") {
        if let Ok(Some(read)) = Journal::parse(Path::new("/j"), text.as_bytes()) {
            // Kernels that it does not name are not changed.
            assert!(read.begin.kernels.is_empty() && read.ops.is_empty() && read.indexed.is_empty());
        }
    }
}
