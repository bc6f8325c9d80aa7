use super::*;

fn kernel(n: u32) -> Kernel {
    Kernel { release: format!("6.{n}.0"), arch: "x86_64".into() }
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

/// `f` goes to `f.moved`.
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
    tx.note(Before { package: "p".into(), entries: Vec::new() }).unwrap();
    tx.perform(&kernels[0], moving(&t, "a"), || Ok(()), || Ok(())).unwrap();
    tx.perform(&kernels[1], moving(&t, "b"), || Ok(()), || Ok(())).unwrap();
    tx.depmod_begins(&kernels[1]).unwrap();
    let [path] = &list(&layout(t.path())).unwrap()[..] else { panic!("one journal") };
    let read = Journal::read(path).unwrap().unwrap();
    assert_eq!(read.begin.kernels, kernels);
    assert_eq!(read.begin.command, "dkms test");
    assert!(read.writer_is_alive());
    assert_eq!(read.ops.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>(), kernels);
    assert_eq!(read.indexed, [kernel(2)]);
    assert_eq!((read.before.len(), read.committed, read.owed), (1, false, false));
    // What a dead process would have left.
    read.undo().unwrap();
    assert!(there(&t, "a") && there(&t, "b") && !there(&t, "a.moved"));
}

#[test]
fn kernels_are_rolled_back_one_by_one_or_together() {
    let t = fixture();
    let kernels = [kernel(1), kernel(2)];
    let mut tx = Transaction::begin(&layout(t.path()), &kernels, "").unwrap();
    for (n, f) in [(0, "a"), (1, "b"), (0, "c")] {
        tx.perform(&kernels[n], moving(&t, f), || Ok(()), || Ok(())).unwrap();
    }
    tx.rollback_kernel(&kernels[0]).unwrap();
    assert!(there(&t, "a") && there(&t, "b.moved") && there(&t, "c"));
    tx.rollback().unwrap();
    assert!(there(&t, "b") && list(&layout(t.path())).unwrap().is_empty());
}

#[test]
fn a_commit_leaves_no_journal_unless_depmod_is_owed() {
    for owed in [false, true] {
        let t = fixture();
        let mut tx = Transaction::begin(&layout(t.path()), &[kernel(1)], "").unwrap();
        tx.perform(&kernel(1), moving(&t, "a"), || Ok(()), || Ok(())).unwrap();
        tx.commit(owed, || ()).unwrap();
        let left = list(&layout(t.path())).unwrap();
        assert_eq!(left.len(), usize::from(owed));
        for path in left {
            let read = Journal::read(&path).unwrap().unwrap();
            assert!(read.committed && read.owed);
        }
    }
}

#[test]
fn a_failing_batch_is_undone_and_forgotten_and_earlier_ones_stay() {
    let t = fixture();
    let mut tx = Transaction::begin(&layout(t.path()), &[kernel(1)], "").unwrap();
    tx.perform(&kernel(1), moving(&t, "a"), || Ok(()), || Ok(())).unwrap();
    let mut bad = moving(&t, "b");
    bad.push(Op::Remove { path: t.path().join("not-there"), saved: t.path().join(".x") });
    assert!(tx.perform(&kernel(1), bad, || Ok(()), || Ok(())).is_err());
    assert!(there(&t, "a.moved") && there(&t, "b"));
    tx.perform(&kernel(1), moving(&t, "c"), || Ok(()), || Ok(())).unwrap();
    let path = list(&layout(t.path())).unwrap().remove(0);
    assert_eq!(Journal::read(&path).unwrap().unwrap().ops.len(), 2);
}

#[test]
fn lines_that_were_cut_off_and_other_forms() {
    let t = fixture();
    let mut tx = Transaction::begin(&layout(t.path()), &[kernel(1)], "").unwrap();
    tx.perform(&kernel(1), moving(&t, "a"), || Ok(()), || Ok(())).unwrap();
    let path = list(&layout(t.path())).unwrap().remove(0);
    let text = std::fs::read_to_string(&path).unwrap();
    // However much of it reached the disk, it is read, and has no more than was written.
    for end in 0..=text.len() {
        std::fs::write(&path, &text[..end]).unwrap();
        match Journal::read(&path) {
            Ok(Some(read)) => assert!(read.ops.len() <= 1),
            Ok(None) => assert!(!text[..end].contains('\n')),
            Err(Error::JournalUnknown(p)) => assert_eq!(p, path),
            Err(e) => panic!("{e}"),
        }
    }
    std::fs::write(&path, text.replace("\"schema\":2", "\"schema\":3")).unwrap();
    assert!(matches!(Journal::read(&path), Err(Error::JournalUnknown(_))));
}

proptest::proptest! {
    #[test]
    fn whatever_lies_there(text in "(\\{\"Begin\":\\{\"schema\":2,\"pid\":1,\"started\":null,\"command\":\"\",\"kernels\":\\[\\]\\}\\}\n)?[-\\[\\]{}\":,a-zA-Z0-9\n]{0,200}") {
        let t = tempfile::tempdir().unwrap();
        let path = t.path().join("1-1");
        std::fs::write(&path, text).unwrap();
        if let Ok(Some(read)) = Journal::read(&path) {
            // Nothing is done to kernels it does not name.
            assert!(read.begin.kernels.is_empty() && read.ops.is_empty() && read.indexed.is_empty());
        }
    }
}
