//! Files and trees on real file systems, including full ones.
#![allow(clippy::print_stderr, reason = "a test that cannot run prints the reason")]

use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use dkms_sys::fs::{self, Limit};
use dkms_sys::process::Command;

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("tempdir")
}

fn put(path: impl AsRef<Path>, text: &str) -> PathBuf {
    let path = path.as_ref();
    std::fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
    std::fs::write(path, text).expect("write");
    path.to_owned()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    path.as_ref().symlink_metadata().expect("stat").mode() & 0o7777
}

fn names(dir: impl AsRef<Path>) -> Vec<OsString> {
    fs::list_dir(dir).expect("list")
}

fn root() -> bool {
    dkms_sys::sys::effective_uid() == 0
}

/// A small file system for the test, or the reason why there is none.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Option<Self> {
        let dir = temp();
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path());
        match mount.run() {
            Ok(done) if done.status.success() => Some(SmallDisk(dir)),
            _ => {
                eprintln!("skipped: no tmpfs can be mounted here");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).run();
    }
}

#[test]
fn atomic_writing_replaces_whole_files() {
    let dir = temp();
    let path = dir.path().join("file");
    fs::write_atomic(&path, b"one", 0o640).expect("write");
    assert_eq!((fs::read(&path).expect("read"), mode(&path)), (b"one".to_vec(), 0o640));
    let before = path.metadata().expect("stat").ino();
    fs::write_atomic(&path, b"two", 0o444).expect("write");
    assert_ne!(path.metadata().expect("stat").ino(), before, "a new file took its place");
    assert_eq!((fs::read_text(&path, Limit::CONFIG).expect("read"), mode(&path)), ("two".to_owned(), 0o444));
    assert_eq!(names(dir.path()), ["file"]);
    fs::write_atomic(dir.path().join("n".repeat(255)), b"x", 0o644).expect("a name as long as can be");

    std::fs::create_dir(dir.path().join("d")).expect("mkdir");
    assert!(fs::write_atomic(dir.path().join("d"), b"x", 0o644).is_err(), "not over a directory");
    assert!(fs::write_atomic(dir.path().join("no/file"), b"x", 0o644).is_err_and(|e| e.is_not_found()));
    let failed = fs::replace_with(&path, 0o644, |_| Err(std::io::Error::other("on purpose")));
    assert!(failed.expect_err("fails").to_string().contains("on purpose"));
    assert_eq!(fs::read(&path).expect("read"), b"two");
    assert_eq!(names(dir.path()).len(), 3, "no temporary file stays");
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let Some(disk) = SmallDisk::new("256k") else { return };
    let path = disk.0.path().join("file");
    fs::write_atomic(&path, b"old", 0o644).expect("write");
    let error = fs::write_atomic(&path, &vec![b'x'; 1 << 20], 0o644).expect_err("full");
    assert!(error.is_no_space() && error.to_string().contains("free some space"), "{error}");
    assert_eq!(fs::read(&path).expect("read"), b"old");
    let big = put(temp().keep().join("big"), &"x".repeat(1 << 20));
    assert!(fs::copy_file(&big, disk.0.path().join("copy")).is_err_and(|e| e.is_no_space()));
    assert!(fs::create_new(disk.0.path().join("new"), &vec![b'x'; 1 << 20], 0o600).is_err());
    assert_eq!(names(disk.0.path()), ["file"]);
    assert!(fs::free_space(disk.0.path()).expect("space") <= 256 * 1024);
    fs::remove_tree(big.parent().expect("parent")).expect("remove");
}

#[test]
fn new_files_never_have_a_wider_mode() {
    let dir = temp();
    let path = dir.path().join("key");
    fs::create_new(&path, b"secret", 0o600).expect("create");
    assert_eq!(mode(&path), 0o600);
    assert!(fs::create_new(&path, b"other", 0o600).is_err());
    symlink(dir.path().join("elsewhere"), dir.path().join("link")).expect("link");
    assert!(fs::create_new(dir.path().join("link"), b"x", 0o600).is_err(), "links are not followed");
    assert!(!dir.path().join("elsewhere").exists());
    fs::create_new(dir.path().join("open"), b"", 0o666).expect("create");
    assert_eq!(mode(dir.path().join("open")), 0o666, "whatever the umask");
}

#[test]
fn created_directories_are_returned() {
    let dir = temp();
    let deep = dir.path().join("a/b/c");
    let made = fs::create_dir_all(&deep).expect("mkdir");
    assert_eq!(made, [dir.path().join("a"), dir.path().join("a/b"), deep.clone()]);
    assert!(fs::create_dir_all(&deep).expect("again").is_empty());
    put(dir.path().join("file"), "");
    assert!(fs::create_dir_all(dir.path().join("file/x")).is_err());
    assert!(fs::create_dir_all(dir.path().join("a/b/c/d/../../../../file/y")).is_err());
}

#[test]
fn renaming() {
    let dir = temp();
    let (a, b) = (put(dir.path().join("a"), "A"), put(dir.path().join("b"), "B"));
    fs::exchange(&a, &b).expect("exchange");
    assert_eq!((fs::read(&a).expect("a"), fs::read(&b).expect("b")), (b"B".to_vec(), b"A".to_vec()));
    let refused = fs::rename_noreplace(&a, &b).expect_err("b is there");
    assert_eq!(refused.errno(), Some(17));
    assert_eq!(refused.path, b);
    fs::rename_noreplace(&a, dir.path().join("c")).expect("free");
    fs::rename(&b, dir.path().join("c")).expect("replace");
    assert_eq!(names(dir.path()), ["c"]);
    let gone = fs::rename(&a, &b).expect_err("gone");
    assert!(gone.is_not_found() && gone.path == a, "{gone}");
    assert!(fs::exchange(dir.path().join("c"), &a).is_err());
}

#[test]
fn trees_are_removed_without_following_links() {
    let dir = temp();
    let outside = put(dir.path().join("outside/keep"), "x");
    let tree = dir.path().join("tree");
    put(tree.join("a/b/file"), "1");
    symlink(dir.path().join("outside"), tree.join("a/link")).expect("link");
    symlink("/no/where", tree.join("dangling")).expect("link");
    std::fs::set_permissions(tree.join("a/b"), std::fs::Permissions::from_mode(0o555)).expect("chmod");
    std::fs::set_permissions(tree.join("a"), std::fs::Permissions::from_mode(0o000)).expect("chmod");
    assert!(fs::remove_tree(&tree).expect("remove"));
    assert!(!tree.exists() && outside.exists());
    assert!(!fs::remove_tree(&tree).expect("nothing"));

    symlink(dir.path().join("outside"), &tree).expect("link");
    assert!(fs::remove_tree(&tree).expect("a link"));
    assert!(outside.exists() && fs::remove_tree(&outside).expect("a file"));

    let mut deep = dir.path().join("deep");
    for _ in 0..300 {
        deep.push("d");
    }
    std::fs::create_dir_all(&deep).expect("mkdir");
    assert!(fs::remove_tree(dir.path().join("deep")).expect("deep"));
}

#[test]
fn read_only_directories_as_an_ordinary_user() {
    if !root() {
        eprintln!("skipped: the test above runs as an ordinary user already");
        return;
    }
    let dir = temp();
    fs::set_mode(dir.path(), 0o777).expect("chmod");
    let tool = dir.path().join("tool");
    fs::copy_file(std::env::current_exe().expect("exe"), &tool).expect("copy");
    let done = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(tool)
        .args(["--exact", "trees_are_removed_without_following_links", "new_files_never_have_a_wider_mode"])
        .env("TMPDIR", dir.path())
        .run()
        .expect("run");
    assert!(done.stdout_text().contains("2 passed"), "{}", done.stdout_text());
}

#[test]
fn empty_directories() {
    let dir = temp();
    let root = dir.path().join("root");
    put(root.join("a/keep"), "");
    std::fs::create_dir_all(root.join("a/b/c")).expect("mkdir");
    let removed = fs::remove_empty_dirs(root.join("a/b/c"), &root).expect("rmdir");
    assert_eq!(removed, [root.join("a/b/c"), root.join("a/b")]);
    std::fs::create_dir_all(root.join("x/y")).expect("mkdir");
    assert!(fs::remove_empty_dirs(root.join("x/y"), root.join("a")).expect("elsewhere").is_empty());
    assert!(fs::remove_empty_dirs(root.join("a/../x/y"), root.join("a")).expect("dots").is_empty());
    fs::remove_empty_dirs(root.join("x/y/absent"), &root).expect("a missing leaf is no trouble");
    assert_eq!(names(&root), ["a"]);

    for path in ["e/f/g", "e/h", "a/i"] {
        std::fs::create_dir_all(root.join(path)).expect("mkdir");
    }
    std::fs::create_dir_all(dir.path().join("outside/empty")).expect("mkdir");
    symlink(dir.path().join("outside"), root.join("a/link")).expect("link");
    assert_eq!(fs::remove_empty_below(&root).expect("below"), 5);
    assert_eq!(names(root.join("a")), ["keep", "link"]);
    assert!(dir.path().join("outside/empty").exists());
    assert_eq!(fs::remove_empty_below(root.join("absent")).expect("absent"), 0);
    std::fs::create_dir(dir.path().join("only")).expect("mkdir");
    assert_eq!(fs::remove_empty_below(dir.path().join("only")).expect("empty root"), 0);
    assert!(dir.path().join("only").exists());
}

#[test]
fn links() {
    let dir = temp();
    let link = dir.path().join("link");
    fs::symlink("one", &link).expect("link");
    assert!(fs::symlink("two", &link).is_err());
    fs::symlink_replace("two", &link).expect("replace");
    assert_eq!(fs::read_link(&link).expect("read"), Path::new("two"));
    assert!(fs::is_symlink(&link) && fs::exists(&link) && !fs::exists_followed(&link));
    let sub = dir.path().join("sub");
    std::fs::create_dir(&sub).expect("mkdir");
    assert!(fs::symlink_replace("x", &sub).is_err() && fs::is_real_dir(&sub));
    assert_eq!(names(dir.path()), ["link", "sub"], "nothing temporary stays");
}

#[test]
fn copying_keeps_the_attributes_that_cp_keeps() {
    let dir = temp();
    let src = dir.path().join("src");
    put(src.join("sub/script"), "#!/bin/sh\n");
    put(src.join("big"), &"0123456789".repeat(100_000));
    put(src.join("empty"), "");
    put(src.join("name with \n newline"), "odd");
    symlink("sub/script", src.join("link")).expect("link");
    symlink("/no/where", src.join("dangling")).expect("link");
    fs::set_mode(src.join("sub/script"), 0o751).expect("chmod");
    fs::set_mode(src.join("sub"), 0o550).expect("chmod");
    if root() {
        fs::set_owner(src.join("big"), 12, 34).expect("chown");
        fs::set_owner(src.join("link"), 12, 34).expect("chown");
    }
    let touch = Command::new("touch").args(["-h", "-d", "2001-02-03 04:05:06.123456789"]);
    let touch = touch.args(["sub/script", "big", "link", "sub"].map(|n| src.join(n))).run().expect("touch");
    assert!(touch.status.success());
    symlink(&src, dir.path().join("as-link")).expect("link");

    for (from, to) in [("src", "copy"), ("as-link", "copy2")] {
        let to = dir.path().join(to);
        fs::copy_tree(dir.path().join(from), &to).expect("copy");
        assert_eq!(names(&to), names(&src));
        for name in ["sub", "sub/script", "big", "link", "dangling", "empty", "name with \n newline"] {
            let (a, b) = (src.join(name), to.join(name));
            let (a, b) = (a.symlink_metadata().expect("stat"), b.symlink_metadata().expect("stat"));
            assert_eq!((a.mode(), a.uid(), a.gid()), (b.mode(), b.uid(), b.gid()), "{name}");
            if a.mtime() < 1_000_000_000 {
                assert_eq!((a.mtime(), a.mtime_nsec()), (b.mtime(), b.mtime_nsec()), "{name}");
            }
        }
        assert!(fs::same_contents(src.join("big"), to.join("big")).expect("compare"));
        assert_eq!(fs::read_link(to.join("link")).expect("link"), Path::new("sub/script"));
    }
    fs::copy_tree(&src, dir.path().join("copy")).expect("over an existing copy");
    assert!(fs::copy_tree(&src, src.join("inside")).is_err(), "not into itself");
}

#[test]
fn copies_replace_links_and_skip_pipes() {
    let dir = temp();
    let precious = put(dir.path().join("precious"), "precious");
    let src = put(dir.path().join("src"), "new");
    let dst = dir.path().join("dst");
    symlink(&precious, &dst).expect("link");
    fs::copy_file(&src, &dst).expect("copy");
    std::fs::hard_link(&precious, dir.path().join("hard")).expect("hard link");
    fs::copy_file(&src, dir.path().join("hard")).expect("copy");
    assert_eq!(fs::read(&precious).expect("read"), b"precious");
    assert!(fs::is_real_file(&dst));

    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).expect("mkdir");
    assert!(Command::new("mkfifo").arg(tree.join("pipe")).run().expect("mkfifo").status.success());
    put(tree.join("file"), "text");
    let left_out = fs::copy_tree(&tree, dir.path().join("copy")).expect("copy");
    assert_eq!(left_out, [tree.canonicalize().expect("path").join("pipe")]);
    assert_eq!(names(dir.path().join("copy")), ["file"]);
    assert!(fs::copy_file(&tree, &dst).is_err(), "a directory is no file");
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).expect("socket");
    assert!(fs::copy_tree(dir.path().join("socket"), &dst).is_err());
}

#[test]
fn files_are_compared_by_contents() {
    let dir = temp();
    let big = "x".repeat(200_000);
    let a = put(dir.path().join("a"), &big);
    for (text, same) in [(big.clone(), true), (format!("{big}x"), false), (big.replacen('x', "y", 1), false)]
    {
        assert_eq!(fs::same_contents(&a, put(dir.path().join("b"), &text)).expect("compare"), same);
    }
    let late = format!("{}y", &big[1..]);
    assert!(!fs::same_contents(&a, put(dir.path().join("b"), &late)).expect("compare"));
    assert!(fs::same_contents(&a, &a).expect("itself"));
    assert!(fs::same_contents(&a, dir.path().join("absent")).is_err_and(|e| e.is_not_found()));
}

#[test]
fn small_functions() {
    let dir = temp();
    for name in ["b", "a", "B", ".dot", "ä"] {
        put(dir.path().join(name), "");
    }
    assert_eq!(names(dir.path()), [".dot", "B", "a", "b", "ä"]);
    assert!(fs::list_dir_optional(dir.path().join("absent")).expect("absent").is_empty());
    assert_eq!(fs::read_optional(dir.path().join("absent"), Limit::CONFIG).expect("absent"), None);
    assert_eq!(fs::read_optional(dir.path().join("a/below-a-file"), Limit::CONFIG).expect("absent"), None);
    assert!(fs::read_optional(dir.path(), Limit::CONFIG).is_err(), "a directory is no file");
    assert!(fs::writable(dir.path()) && !fs::writable(dir.path().join("absent")));
    assert!(!fs::writable("/proc/version") || !Path::new("/proc/version").exists() || root());
    fs::sync_dir(dir.path()).expect("sync");
    fs::sync_file(dir.path().join("a")).expect("sync");

    let temp = fs::TempDir::new_in(dir.path(), ".t-").expect("temp");
    let path = temp.path().to_owned();
    assert_eq!(mode(&path), 0o700);
    put(path.join("x/y"), "");
    drop(temp);
    assert!(!path.exists());
    let kept = fs::TempDir::new_in(dir.path(), ".t-").expect("temp").keep();
    assert!(kept.exists());
    assert!(fs::TempDir::new_in(dir.path().join("absent"), "x").is_err());
}

#[test]
fn only_regular_files_of_a_bounded_size_are_read() {
    let dir = temp();
    let at = |name: &str| dir.path().join(name);
    assert!(Command::new("mkfifo").arg(at("pipe")).run().expect("mkfifo").status.success());
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("socket");
    std::fs::create_dir(at("directory")).expect("mkdir");
    std::fs::File::create(at("sparse")).and_then(|f| f.set_len(40 << 30)).expect("sparse");
    for (link, target) in
        [("zero", "/dev/zero"), ("random", "/dev/random"), ("to-pipe", "pipe"), ("to-dir", "directory")]
    {
        symlink(target, at(link)).expect("link");
    }
    for (name, what) in [
        ("pipe", "it is a named pipe, not a regular file"),
        ("socket", "it is a socket"),
        ("directory", "it is a directory"),
        ("sparse", "larger than"),
        ("zero", "leads to a device"),
        ("random", "leads to a device"),
        ("to-pipe", "leads to a named pipe"),
        ("to-dir", "leads to a directory"),
    ] {
        let path = at(name);
        let error = fs::read_bounded(&path, Limit::MODULE).expect_err(name).to_string();
        assert!(error.contains(what) && error.contains(path.to_str().expect("text")), "{error}");
        assert!(fs::read_text(&path, Limit::INDEX).is_err() && fs::read(&path).is_err());
        assert!(fs::read_optional(&path, Limit::CONFIG).is_err(), "{name} is not absent");
        assert!(fs::open_bounded(&path, Limit::COPIED).is_err() && fs::copy_file(&path, at("copy")).is_err());
        if name != "sparse" {
            assert!(
                fs::open(&path).is_err()
                    && fs::create_truncated(&path).is_err()
                    && fs::open_append(&path).is_err()
            );
        }
        assert!(fs::Dir::open(dir.path()).is_some_and(|d| d.read(name, &mut Vec::new()).is_none()), "{name}");
        if name != "directory" && name != "to-dir" {
            assert!(fs::list_dir_optional(&path).is_err(), "{name}");
        }
    }
    assert_eq!(fs::read_start(at("sparse"), Limit::bytes(10)).expect("start"), [0; 10]);
}

#[test]
fn other_names_of_a_file_keep_their_contents() {
    use std::io::Write as _;
    let dir = temp();
    for (name, open) in [
        ("truncated", fs::create_truncated as fn(PathBuf) -> dkms_sys::Result<std::fs::File>),
        ("appended", fs::open_append),
    ] {
        let outside = put(dir.path().join(format!("{name}-outside")), "precious");
        let path = dir.path().join(name);
        std::fs::hard_link(&outside, &path).expect("link");
        open(path.clone()).expect("open").write_all(b"new").expect("write");
        assert_eq!(fs::read(&outside).expect("outside"), b"precious", "{name}");
        assert_eq!(fs::read(&path).expect("inside"), b"new", "{name}");
    }
}

#[test]
fn limits_are_inclusive_and_proc_files_can_be_read() {
    let dir = temp();
    let path = put(dir.path().join("f"), "1234");
    assert_eq!(fs::read_bounded(&path, Limit::bytes(4)).expect("fits"), b"1234");
    assert!(fs::read_bounded(&path, Limit::bytes(3)).is_err());
    assert!(fs::read_text("/proc/self/status", Limit::CONFIG).expect("proc").contains("Name:"));
    assert!(
        fs::read_bounded("/proc/self/status", Limit::bytes(5)).is_err(),
        "its size is 0, but it has contents"
    );
    assert_eq!(fs::read("/dev/null").expect("nothing"), b"");
    std::fs::write(&path, b"a\xffb").expect("write");
    assert_eq!(fs::read_text(&path, Limit::CONFIG).expect("text"), "a\u{fffd}b");
}
