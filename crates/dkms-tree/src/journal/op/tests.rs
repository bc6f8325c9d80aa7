#![allow(clippy::print_stderr, reason = "a test that cannot run says why")]

use super::*;
use std::collections::BTreeMap;

/// Every path below, with its type and contents, so that two states can be compared.
fn listing(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(d) = pending.pop() {
        for e in std::fs::read_dir(d).unwrap().flatten() {
            let p = e.path();
            let what = if p.is_symlink() {
                format!("-> {}", std::fs::read_link(&p).unwrap().display())
            } else if p.is_dir() {
                pending.push(p.clone());
                "directory".into()
            } else {
                std::fs::read_to_string(&p).unwrap()
            };
            all.insert(p, what);
        }
    }
    all
}

/// Installs over an original at the destination and another one elsewhere, replacing an older version of
/// ours.
fn install(d: &Path) -> Vec<Op> {
    let at = |n: &str| d.join(n);
    for f in ["a.ko", "b.ko", "gone.ko", "kernel/c.ko"] {
        std::fs::create_dir_all(at(f).parent().unwrap()).unwrap();
        std::fs::write(at(f), format!("old {f}")).unwrap();
    }
    std::os::unix::fs::symlink("1/k/a", at("active")).unwrap();
    std::fs::create_dir(at("archive")).unwrap();
    for f in ["a.ko", "b.ko", "c.ko"] {
        std::fs::write(aside(&at(f), "new"), format!("new {f}")).unwrap();
    }
    vec![
        Op::Move { from: at("a.ko"), to: at("archive/a.ko") },
        Op::Text { path: at("archive/a.ko.origin"), text: "x\n".into() },
        Op::Place {
            staged: aside(&at("a.ko"), "new"),
            to: at("a.ko"),
            saved: None,
            vacated: Some(at("archive/a.ko")),
        },
        Op::Place {
            staged: aside(&at("b.ko"), "new"),
            to: at("b.ko"),
            saved: Some(aside(&at("b.ko"), "old")),
            vacated: None,
        },
        Op::Move { from: at("kernel/c.ko"), to: at("archive/c.ko") },
        Op::Place { staged: aside(&at("c.ko"), "new"), to: at("c.ko"), saved: None, vacated: None },
        Op::Remove { path: at("gone.ko"), saved: aside(&at("gone.ko"), "old") },
        Op::Link { link: at("active"), target: Some("2/k/a".into()), before: Some("1/k/a".into()) },
    ]
}

/// Uninstalls and deletes it: the original moves back to where our module was.
fn remove(d: &Path) -> Vec<Op> {
    let at = |n: &str| d.join(n);
    for f in ["a.ko", "archive/a.ko", "archive/a.ko.origin", "M/V/K/A/a.ko", "M/V/K/A/.manifest.json"] {
        std::fs::create_dir_all(at(f).parent().unwrap()).unwrap();
        std::fs::write(at(f), format!("old {f}")).unwrap();
    }
    std::os::unix::fs::symlink("V/K/A", at("M/active")).unwrap();
    vec![
        Op::Remove { path: at("a.ko"), saved: aside(&at("a.ko"), "old") },
        Op::Move { from: at("archive/a.ko"), to: at("a.ko") },
        Op::Remove { path: at("archive/a.ko.origin"), saved: aside(&at("archive/a.ko.origin"), "old") },
        Op::Link { link: at("M/active"), target: None, before: Some("V/K/A".into()) },
        Op::Keep { path: at("M/V/K/A/.manifest.json"), saved: at("M/V/K/A/..manifest.json.dkms-old") },
        Op::Remove { path: at("M/V/K/A"), saved: at("M/V/K/.tmp_A_unbuilt") },
        Op::Remove { path: at("M/V"), saved: at("M/.V.removed") },
    ]
}

fn staged_gone(mut state: BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    state.retain(|p, _| !p.to_string_lossy().ends_with(".dkms-new"));
    state
}

/// Wherever the execution stopped, and however often an undo was interrupted, undoing restores the previous
/// state.
#[test]
fn undo_from_every_point_however_often_it_is_cut_off() {
    let makes: [fn(&Path) -> Vec<Op>; 2] = [install, remove];
    for make in makes {
        let count = make(&tempfile::tempdir().unwrap().path().join("d")).len();
        for reached in 0..=count {
            for cut in 0..=count {
                let t = tempfile::tempdir().unwrap();
                let d = t.path().join("d");
                let ops = make(&d);
                let before = staged_gone(listing(&d));
                ops.iter().take(reached).for_each(|op| op.perform().unwrap());
                // An interrupted undo, then a complete one, then one with nothing to do.
                ops.iter().rev().take(cut).for_each(|op| op.undo().unwrap());
                for _ in 0..2 {
                    ops.iter().rev().for_each(|op| op.undo().unwrap());
                }
                assert_eq!(listing(&d), before, "{reached} operations, undo cut off after {cut}");
            }
        }
    }
}

#[test]
fn finishing_leaves_nothing_aside() {
    let makes: [fn(&Path) -> Vec<Op>; 2] = [install, remove];
    for make in makes {
        let t = tempfile::tempdir().unwrap();
        let d = t.path().join("d");
        let ops = make(&d);
        ops.iter().for_each(|op| op.perform().unwrap());
        finish(&ops);
        let hidden = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let left: Vec<PathBuf> = listing(&d).into_keys().filter(hidden).collect();
        assert_eq!(left, [] as [PathBuf; 0]);
    }
}

/// A move across file systems leaves evidence from which each intermediate state is recognised.
#[test]
fn moves_over_file_systems_are_undone_from_every_half() {
    let other = Path::new("/dev/shm");
    let t = tempfile::tempdir().unwrap();
    let differs = |p: &Path| {
        use std::os::unix::fs::MetadataExt;
        p.metadata().is_ok_and(|m| m.dev() != t.path().metadata().unwrap().dev())
    };
    if !differs(other) {
        eprintln!("skipped: there is no second file system here");
        return;
    }
    let o = tempfile::tempdir_in(other).unwrap();
    let (from, to) = (t.path().join("x.ko"), o.path().join("x.ko"));
    let (staged, back) = (aside(&to, "moving"), aside(&from, "moving"));
    let op = Op::Move { from: from.clone(), to: to.clone() };
    let write = |p: &Path| std::fs::write(p, "original").unwrap();
    let link = |a: &Path, b: &Path| std::fs::hard_link(a, b).unwrap();
    let states: [&dyn Fn(); 8] = [
        &|| write(&from),
        &|| (write(&from), std::fs::write(&staged, "orig").unwrap()).1,
        &|| (write(&from), write(&staged), link(&staged, &to)).2,
        &|| (write(&staged), link(&staged, &to)).1,
        &|| write(&to),
        &|| (write(&to), std::fs::write(&back, "orig").unwrap()).1,
        &|| (write(&to), write(&back), link(&back, &from)).2,
        &|| (write(&back), link(&back, &from)).1,
    ];
    for (n, make) in states.iter().enumerate() {
        make();
        for _ in 0..2 {
            op.undo().unwrap();
            assert_eq!(std::fs::read_to_string(&from).unwrap(), "original", "state {n}");
            assert!([&to, &staged, &back].iter().all(|p| !fs::exists(p)), "state {n}");
        }
        std::fs::remove_file(&from).unwrap();
    }
    // A real move across file systems, and its undo.
    write(&from);
    op.perform().unwrap();
    assert!(!fs::exists(&from) && fs::exists(&to) && !fs::exists(&staged));
    op.undo().unwrap();
    assert!(fs::exists(&from) && !fs::exists(&to));
}
