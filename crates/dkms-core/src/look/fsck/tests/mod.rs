//! Every kind of finding and its repair, in hand-made trees.

mod builds;
mod leftovers;

use super::*;
use crate::error::Error;
use crate::event::Silent;
use crate::host::Host;
use crate::look::status::Filter;
use crate::system::{Settings, System};
use dkms_sys::lock::Lock;
use dkms_tree::ids::{Build, Kernel, PackageId, Release};
use dkms_tree::layout::Layout;
use dkms_tree::manifest::{Installed, InstalledFile, Manifest, ModuleRecord, Stamp};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const K: &str = "6.1.0-9-amd64";
const GONE: &str = "5.10.0-1-amd64";
const A: &str = "x86_64";

/// A machine with one kernel, and a tree with foo/1.0 added.
struct World {
    system: System,
    _dir: tempfile::TempDir,
}

fn write(path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn foo() -> PackageId {
    PackageId::new("foo", "1.0").unwrap()
}

fn build_for(release: &str) -> Build {
    Build::new(&foo(), &Kernel::new(release, A).unwrap())
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let layout = Layout {
            dkms_tree: root.join("tree"),
            source_tree: root.join("src"),
            install_tree: root.join("lib/modules"),
            config_dir: root.join("etc"),
            boot_dir: root.join("boot"),
            force_dir: root.join("force"),
            cache_dir: root.join("cache"),
        };
        let host =
            Host { machine: A.into(), release: Release::new(K).expect("a release"), ..Host::default() };
        let settings = Settings { no_depmod: true, tmp_location: root.join("tmp"), ..Settings::default() };
        let world = Self { system: System::new(layout, host, settings), _dir: dir };
        write(world.system.layout.kernel_modules(K).join("modules.order"), "");
        fs::create_dir_all(world.system.layout.build_dir(&foo())).unwrap();
        let source = world.system.layout.source_dir(&foo());
        write(
            source.join("dkms.conf"),
            "PACKAGE_NAME=foo\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME=foo\nDEST_MODULE_LOCATION=/updates\n",
        );
        write(source.join("foo.c"), "");
        std::os::unix::fs::symlink(source, world.system.layout.source_link(&foo())).unwrap();
        world
    }

    fn check(&self) -> Report {
        check(&self.system, &Silent, &[]).unwrap()
    }

    /// Returns all findings: kind, path below the world, and whether the repair is safe.
    fn findings(&self) -> Vec<(&'static str, String, bool)> {
        let report = self.check();
        assert!(report.unreadable.is_empty(), "{:?}", report.unreadable);
        let mut all: Vec<_> = report.findings.iter().map(|f| self.short(f)).collect();
        all.sort();
        all
    }

    fn short(&self, finding: &Finding) -> (&'static str, String, bool) {
        let root = self.system.layout.dkms_tree.parent().unwrap();
        assert!(!finding.what.is_empty() && !finding.repair.is_empty(), "{finding:?}");
        (finding.kind.word(), finding.path.strip_prefix(root).unwrap().display().to_string(), finding.safe())
    }

    fn repair(&self) -> Repaired {
        let done = repair(&self.system, &Silent, &[], self.check()).unwrap();
        assert!(done.failed.is_empty(), "{:?}", done.failed);
        done
    }

    /// Asserts that exactly this is found, that it is safe, and that nothing is found after the repair.
    fn repairs(&self, kind: &'static str, path: &str) {
        assert_eq!(self.findings(), [(kind, path.to_owned(), true)]);
        let done = self.repair();
        assert_eq!(done.repaired.len(), 1);
        assert_eq!(self.findings(), []);
    }

    /// Asserts that exactly this is found, and that the repair changes nothing.
    fn only_reports(&self, kind: &'static str, path: &str) {
        let expected = [(kind, path.to_owned(), false)];
        assert_eq!(self.findings(), expected);
        assert!(self.repair().repaired.is_empty());
        assert_eq!(self.findings(), expected);
    }

    /// Creates a build with a manifest, as `build` does.
    fn built(&self, release: &str) -> Build {
        let build = build_for(release);
        let path = self.system.layout.module_dir(&build).join("foo.ko");
        let bytes = module();
        write(&path, &bytes);
        write(self.system.layout.make_log(&build), "DKMS (4) make.log\n");
        let manifest = Manifest {
            schema: 1,
            package: "foo".into(),
            version: "1.0".into(),
            kernel: release.into(),
            arch: A.into(),
            built_at: now(),
            modules: vec![ModuleRecord {
                name: "foo".into(),
                file: "foo.ko".into(),
                destination: "/updates".into(),
                size: bytes.len() as u64,
                sha256: crate::digest::bytes(&bytes),
                ..Default::default()
            }],
            ..Manifest::default()
        };
        manifest.store(&self.system.layout.manifest(&build)).unwrap();
        build
    }

    /// Creates a build and installs it.
    fn installed(&self, release: &str) -> Build {
        let build = self.built(release);
        let (built, to) = (self.system.layout.module_dir(&build).join("foo.ko"), self.module(release));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&built, &to).unwrap();
        std::os::unix::fs::symlink(self.system.layout.active_target(&build), self.link(release)).unwrap();
        let mut manifest = Manifest::load(&self.system.layout, &build).unwrap();
        let (stamp, built) = (Stamp::of(&to).unwrap(), Stamp::of(&built).unwrap());
        let file = InstalledFile { path: to, file: "foo.ko".into(), stamp, built };
        manifest.installed = Some(Installed { at: 1, files: vec![file] });
        manifest.store(&self.system.layout.manifest(&build)).unwrap();
        build
    }

    fn module(&self, release: &str) -> PathBuf {
        self.system.layout.destination(release, "/updates").join("foo.ko")
    }

    fn link(&self, release: &str) -> PathBuf {
        self.system.layout.active_link("foo", &build_for(release).kernel)
    }

    fn original(&self, release: &str, origin: Option<&Path>) -> PathBuf {
        let archived = self.system.layout.originals_dir("foo", &build_for(release).kernel).join("foo.ko");
        write(&archived, "the kernel's own");
        if let Some(origin) = origin {
            write(dkms_tree::originals::origin_file(&archived), format!("{}\n", origin.display()));
        }
        archived
    }

    fn hold(&self, name: &str) -> Lock {
        fs::create_dir_all(self.system.layout.lock_dir()).unwrap();
        Lock::try_acquire(self.system.layout.lock_dir().join(name), "a test").unwrap().unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// The smallest file that is accepted as a module of kernel K.
fn module() -> Vec<u8> {
    let info = format!("vermagic={K} SMP\0license=GPL\0");
    let names = b"\0.modinfo\0.shstrtab\0.gnu.linkonce.this_module\0.symtab\0";
    let mut elf = vec![0u8; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[16..18].copy_from_slice(&1u16.to_le_bytes());
    elf[18..20].copy_from_slice(&62u16.to_le_bytes());
    elf[20] = 1;
    let info_at = elf.len();
    elf.extend(info.as_bytes());
    let this_at = elf.len();
    elf.extend([0; 64]);
    let names_at = elf.len();
    elf.extend(names);
    elf.resize(elf.len().next_multiple_of(8), 0);
    let table = elf.len() as u64;
    let section = |name: u32, kind: u32, at: usize, size: usize| {
        let mut header = [0u8; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        header[48] = 1;
        header
    };
    elf.extend([0; 64]);
    elf.extend(section(1, 1, info_at, info.len()));
    elf.extend(section(10, 3, names_at, names.len()));
    let mut this_module = section(20, 1, this_at, 64);
    // SHF_WRITE and SHF_ALLOC: without SHF_ALLOC the kernel does not find the section.
    this_module[8] = 3;
    elf.extend(this_module);
    let mut symbols = section(46, 2, this_at, 0);
    (symbols[40], symbols[56]) = (2, 24);
    elf.extend(symbols);
    elf[40..48].copy_from_slice(&table.to_le_bytes());
    elf[52..54].copy_from_slice(&64u16.to_le_bytes());
    elf[58..60].copy_from_slice(&64u16.to_le_bytes());
    elf[60..62].copy_from_slice(&5u16.to_le_bytes());
    elf[62..64].copy_from_slice(&2u16.to_le_bytes());
    elf
}

#[test]
fn a_normal_tree_has_no_findings() {
    let world = World::new();
    world.installed(K);
    world.original(K, Some(&world.system.layout.kernel_modules(K).join("kernel/foo.ko")));
    write(world.system.layout.lock_dir().join("build-foo-1.0"), "");
    write(world.system.layout.dkms_tree.join("mok.pub"), "");
    write(world.system.layout.dkms_tree.join("stray-file"), "");
    fs::create_dir_all(world.system.layout.tarball_dir(&foo())).unwrap();
    // Files of other programs are ignored.
    write(world.system.layout.version_dir(&foo()).join(".swp"), "");
    write(world.system.layout.kernel_modules(K).join("kernel/.foo.ko.orig"), "");
    assert_eq!(world.findings(), []);
    let report = world.check();
    assert_eq!((report.packages, report.builds), (1, 1));
}

#[test]
fn a_tree_that_cannot_be_listed_is_an_error() {
    let world = World::new();
    fs::remove_dir_all(&world.system.layout.dkms_tree).unwrap();
    assert!(matches!(check(&world.system, &Silent, &[]), Err(Error::Look(_))));
}

#[test]
fn the_tree_is_checked_if_the_directory_of_kernels_is_missing() {
    let world = World::new();
    world.installed(K);
    fs::remove_dir_all(&world.system.layout.install_tree).unwrap();
    fs::create_dir_all(world.system.layout.kernel_dir(&build_for(GONE))).unwrap();
    let report = world.check();
    assert_eq!(report.unreadable.len(), 1);
    assert_eq!(report.findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [Kind::Leftover]);
}

#[test]
fn files_in_use_are_not_reported() {
    let world = World::new();
    let build = world.built(K);
    write(world.system.layout.build_dir(&foo()).join("foo.c"), "");
    write(world.system.layout.kernel_dir(&build).join(".tmp_x86_64_1/x"), "");
    write(world.system.layout.source_tree.join(".foo-1.0.adding/x"), "");
    write(world.system.layout.package_dir("foo").join(".1.0.removed/x"), "");
    assert_eq!(world.findings().len(), 4);
    let held = world.hold("build-foo-1.0");
    assert_eq!(world.findings(), []);
    drop(held);
    assert_eq!(world.repair().repaired.len(), 4);

    write(world.system.layout.destination(K, "/updates").join(".foo.ko.dkms-new"), "");
    assert_eq!(world.findings().len(), 1);
    let held = world.hold(&format!("install-{K}-{A}"));
    assert_eq!(world.findings(), []);
    drop(held);
    assert_eq!(world.findings().len(), 1);
}

#[test]
fn a_lock_that_is_taken_before_the_repair_stops_only_that_repair() {
    let mut world = World::new();
    world.system.settings.framework.lock_timeout = Some(0);
    write(world.system.layout.build_dir(&foo()).join("foo.c"), "");
    fs::create_dir_all(world.system.layout.dkms_tree.join("bar")).unwrap();
    let report = world.check();
    let held = world.hold("build-foo-1.0");
    let done = repair(&world.system, &Silent, &[], report).unwrap();
    drop(held);
    assert_eq!(
        done.repaired.iter().map(|f| f.path.clone()).collect::<Vec<_>>(),
        [world.system.layout.dkms_tree.join("bar")]
    );
    assert_eq!(done.left.findings.len(), 1);
    assert!(done.failure(&done.left.findings[0]).unwrap().contains("timed out waiting"));
    assert!(world.system.layout.build_dir(&foo()).join("foo.c").exists());
}

#[test]
fn filters_select_findings() {
    let world = World::new();
    world.built(GONE);
    fs::create_dir_all(world.system.layout.dkms_tree.join("bar/1.0").join(K)).unwrap();
    std::os::unix::fs::symlink(
        world.system.layout.source_dir(&foo()),
        world.system.layout.dkms_tree.join("bar/1.0/source"),
    )
    .unwrap();
    write(world.system.layout.destination(K, "/updates").join(".x.ko.dkms-new"), "");
    let count = |f: Filter| check(&world.system, &Silent, &[f]).map(|r| r.findings.len());
    let named = |name: &str| Filter { name: Some(name.into()), ..Filter::default() };
    assert_eq!(world.findings().len(), 3);
    assert_eq!(count(named("foo")).unwrap(), 1);
    assert_eq!(count(named("b*")).unwrap(), 1);
    assert_eq!(count(Filter { version: Some("1.0".into()), ..named("foo") }).unwrap(), 1);
    assert!(matches!(count(named("nothing")), Err(Error::Look(_))));
    assert!(matches!(count(Filter { version: Some("9".into()), ..named("foo") }), Err(Error::Look(_))));
    assert_eq!(count(Filter { release: Some(GONE.into()), ..Filter::default() }).unwrap(), 1);
    assert_eq!(count(Filter { release: Some(K.into()), ..Filter::default() }).unwrap(), 2);
}
