//! A scripted program replaces dkms-registry: for every answer, the result is a miss with one warning, and no
//! files are left behind.

use super::{Offer, Query, fetch, find};
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::system::{Settings, System};
use dkms_bundle::digest::digest;
use dkms_bundle::layer;
use dkms_bundle::manifest::Manifest;
use dkms_bundle::record::{File, Record, SCHEMA, fingerprint};
use dkms_bundle::signature::SigningKey;
use dkms_conf::framework_conf::{FrameworkConf, Prebuilt};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const REGISTRY: &str = "registry.example/dkms";
const GREETING: &str = r#"{"protocol":"dkms-registry","version":1}"#;

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Sink for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning { text } = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

struct Machine {
    dir: tempfile::TempDir,
    key: SigningKey,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap(), key: SigningKey::generate().unwrap() };
        for name in ["bin", "tmp", "etc/registry.d"] {
            std::fs::create_dir_all(machine.path(name)).unwrap();
        }
        machine.trust(&machine.key);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn trust(&self, key: &SigningKey) {
        let pem = key.public().unwrap().to_pem().unwrap();
        std::fs::write(self.path("etc/registry.d/builder.pub"), pem).unwrap();
    }

    /// Installs a program with this text after the greeting; `$1` is the spool.
    fn program(&self, script: &str) {
        let path = self.path("bin/dkms-registry");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A program that answers a lookup with this manifest, and a fetch with this archive.
    fn serve(&self, manifest: &str, archive: &[u8]) {
        let found = serde_json::json!({
            "reply": "found", "id": 1, "source": REGISTRY, "digest": digest(manifest.as_bytes()),
            "manifest": manifest,
        });
        std::fs::write(self.path("found"), format!("{found}\n")).unwrap();
        std::fs::write(self.path("archive"), archive).unwrap();
        let at = self.dir.path().display();
        self.program(&format!(
            "echo '{GREETING}'; read -r hello; read -r lookup; cat {at}/found; read -r fetch || exit 0
             cp {at}/archive \"$1/blob\"; echo '{{\"reply\":\"fetched\",\"id\":2,\"file\":\"blob\"}}'; read -r end"
        ));
    }

    /// Searches for the build and fetches it. Returns the fetched build, and the warnings.
    fn take(&self, mode: Prebuilt, lines: Vec<String>) -> (Option<Offer>, Vec<String>) {
        let layout = Layout { config_dir: self.path("etc"), ..Layout::default() };
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display()).into();
        let host = Host { path, ..Host::default() };
        let framework = FrameworkConf {
            registry: Some(vec![REGISTRY.into()]),
            prebuilt: Some(mode),
            ..FrameworkConf::default()
        };
        let settings = Settings { tmp_location: self.path("tmp"), framework, ..Settings::default() };
        let warnings = Warnings::default();
        let system = System::new(layout, host, settings);
        let build = build();
        let mut taken = None;
        // A second build of the same command adds no warning.
        for _ in 0..2 {
            let query = Query { build: &build, lines: lines.clone() };
            if let Some(offer) = find(&system, &warnings, &query).unwrap() {
                if let Some(fetched) = fetch(&system, &warnings, &build, offer).unwrap() {
                    assert!(fetched.dir.path().join("module/hello.ko").is_file());
                    taken = Some(fetched.offer);
                    break;
                }
            }
        }
        drop(system);
        let left: Vec<_> = std::fs::read_dir(self.path("tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        (taken, warnings.0.into_inner().unwrap())
    }

    /// Expects a miss with one warning that contains these words.
    fn misses(&self, what: &str, words: &str) {
        let (taken, warnings) = self.take(Prebuilt::Prefer, lines());
        assert!(taken.is_none(), "{what}");
        assert_eq!(warnings.len(), 1, "{what}: {warnings:?}");
        assert!(warnings[0].contains(words), "{what}: {warnings:?}");
    }
}

fn build() -> Build {
    Build::new(&PackageId::new("hello", "1.0").unwrap(), &Kernel::new("6.1.0-1-amd64", "x86_64").unwrap())
}

fn lines() -> Vec<String> {
    ["arch=x86_64", "compiler=gcc 12", "kernel=6.1.0-1-amd64", "source=s1", "symvers=v1"]
        .map(Into::into)
        .into()
}

fn archive_of(contents: &[u8]) -> (Record, Vec<u8>) {
    let file = File {
        path: "module/hello.ko".into(),
        size: contents.len() as u64,
        sha256: dkms_bundle::digest::sha256_hex(contents),
        executable: false,
    };
    let mut archive = Vec::new();
    let layer = layer::write(std::slice::from_ref(&file), |_| Ok(contents), &mut archive).unwrap();
    let record = Record {
        schema: SCHEMA,
        fingerprint: fingerprint(&lines()),
        lines: lines(),
        package: "hello".into(),
        version: "1.0".into(),
        kernel: "6.1.0-1-amd64".into(),
        arch: "x86_64".into(),
        builder: "4.0.0".into(),
        unconfined: Vec::new(),
        build_ms: 1,
        files: vec![file],
        layer: Some(layer),
    };
    (record, archive)
}

fn signed(record: &Record, keys: &[&SigningKey]) -> String {
    let json = record.to_json().unwrap();
    let annotations = keys.iter().map(|key| key.sign(&json).unwrap()).collect();
    String::from_utf8(Manifest::new(json, annotations).unwrap().to_json().unwrap()).unwrap()
}

#[test]
fn a_signed_build_is_taken() {
    let machine = Machine::new();
    let (record, archive) = archive_of(b"module");
    let old = SigningKey::generate().unwrap();
    // Two keys while keys are exchanged: this machine trusts one of them.
    machine.serve(&signed(&record, &[&old, &machine.key]), &archive);
    let (taken, warnings) = machine.take(Prebuilt::Prefer, lines());
    assert_eq!(warnings, Vec::<String>::new());
    let offer = taken.unwrap();
    assert_eq!(offer.registry, REGISTRY);
    assert!(offer.reference().starts_with("registry.example/dkms/hello@sha256:"));
}

#[test]
fn builds_that_are_not_what_they_should_be_are_refused() {
    type Change = fn(&mut Record);
    let machine = Machine::new();
    let changes: [(&str, &str, Change); 4] = [
        ("replayed under another tag", "wrong tag", |r| {
            r.lines[3] = "source=s2".into();
            r.fingerprint = fingerprint(&r.lines);
        }),
        ("another package", "its package is other", |r| r.package = "other".into()),
        ("another kernel", "its kernel is 6.2", |r| r.kernel = "6.2".into()),
        ("another architecture", "its architecture is i686", |r| r.arch = "i686".into()),
    ];
    for (what, words, change) in changes {
        let (mut record, archive) = archive_of(b"module");
        change(&mut record);
        machine.serve(&signed(&record, &[&machine.key]), &archive);
        machine.misses(what, words);
    }
    let (record, archive) = archive_of(b"module");
    machine.serve(&signed(&record, &[]), &archive);
    machine.misses("unsigned", "not signed");
    machine.serve(&signed(&record, &[&SigningKey::generate().unwrap()]), &archive);
    machine.misses("untrusted key", "not trusted");
    let (mut huge, _) = archive_of(b"module");
    huge.layer.as_mut().unwrap().size = u64::MAX;
    machine.serve(&signed(&huge, &[&machine.key]), &archive);
    machine.misses("too large", "more than any build");
    // A revoked key.
    machine.serve(&signed(&record, &[&machine.key]), &archive);
    std::fs::remove_file(machine.path("etc/registry.d/builder.pub")).unwrap();
    machine.misses("no key", "trusts no key");
}

#[test]
fn damaged_archives_are_refused() {
    let machine = Machine::new();
    let (record, archive) = archive_of(b"module");
    let manifest = signed(&record, &[&machine.key]);
    let mut flipped = archive.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for (what, archive) in [("one bit", flipped), ("zeros", vec![0; archive.len()])] {
        machine.serve(&manifest, &archive);
        machine.misses(what, "the build of hello");
    }
    machine.serve(&manifest, &archive[1..]);
    machine.misses("truncated", "bytes where");
    // Much more than the record lists, in an archive of the signed size.
    let bomb = archive_of(&vec![0; 64 << 20]).1;
    let (mut small, _) = archive_of(b"module");
    small.layer = Some(dkms_bundle::record::Layer { digest: digest(&bomb), size: bomb.len() as u64 });
    machine.serve(&signed(&small, &[&machine.key]), &bomb);
    machine.misses("bomb", "where its record lists it");
}

#[test]
fn a_program_that_misbehaves_is_a_miss() {
    let machine = Machine::new();
    let greet = format!("echo '{GREETING}'; read -r hello; read -r lookup");
    let reply = |reply: &str| format!("{greet}; echo '{reply}'; read -r more");
    let (record, archive) = archive_of(b"module");
    let scripts = [
        ("dies", "echo broken >&2; exit 3".to_owned(), "broken"),
        ("dies later", format!("{greet}; exit 0"), "ended unexpectedly"),
        (
            "another version",
            "echo '{\"protocol\":\"dkms-registry\",\"version\":9}'; read -r x".into(),
            "version 9",
        ),
        ("another program", "echo hello; read -r x".into(), "unexpected: hello"),
        ("nonsense", reply("{}"), "unexpected"),
        ("another request", reply(r#"{"reply":"missing","id":7}"#), "unexpected"),
        ("another kind", reply(r#"{"reply":"exists","id":1}"#), "another request"),
        ("a failure", reply(r#"{"reply":"failed","id":1,"reason":"no route"}"#), "no route"),
        ("endless line", format!("{greet}; cat /dev/zero | tr '\\0' x"), "too long"),
        (
            "a manifest that is not the named one",
            reply(
                r#"{"reply":"found","id":1,"source":"registry.example/dkms","digest":"sha256:00","manifest":""}"#,
            ),
            "another digest",
        ),
    ];
    for (what, script, words) in scripts {
        machine.program(&script);
        machine.misses(what, words);
    }
    machine.serve(&signed(&record, &[&machine.key]), &archive);
    let served = std::fs::read_to_string(machine.path("bin/dkms-registry")).unwrap();
    for (what, file) in [("path", "../archive"), ("hidden", ".x"), ("absent", "none"), ("empty", "")] {
        let script = served.replace("\"file\":\"blob\"", &format!("\"file\":\"{file}\""));
        machine.program(&script);
        machine.misses(what, "unexpected");
    }
    machine.program(&served.replace("cp ", "ln -s "));
    machine.misses("link", "unexpected");
    std::fs::remove_file(machine.path("bin/dkms-registry")).unwrap();
    if !Path::new("/usr/libexec/dkms-registry").exists() {
        machine.misses("absent", "install the package dkms-registry");
    }
}

#[test]
fn a_machine_without_tools_finds_what_a_builder_pushed() {
    let machine = Machine::new();
    let (record, archive) = archive_of(b"module");
    machine.serve(&signed(&record, &[&machine.key]), &archive);
    // The first lookup, by the complete fingerprint, is a miss.
    let served = std::fs::read_to_string(machine.path("bin/dkms-registry")).unwrap();
    let served = served.replace(
        "read -r lookup;",
        "read -r lookup; echo '{\"reply\":\"missing\",\"id\":1}'; read -r lookup;",
    );
    machine.program(&served.replace("\"id\":2", "\"id\":3"));
    let found = std::fs::read_to_string(machine.path("found")).unwrap();
    std::fs::write(machine.path("found"), found.replace("\"id\":1", "\"id\":2")).unwrap();
    let ours = |symvers: &str| -> Vec<String> {
        let replaced = ["arch=x86_64", "compiler=absent", "kernel=6.1.0-1-amd64", "source=s1", symvers];
        replaced.map(Into::into).into()
    };
    let (taken, warnings) = machine.take(Prebuilt::Only, ours("symvers=absent"));
    assert!(taken.is_some(), "{warnings:?}");
    // The headers of another revision are installed here.
    let (taken, _) = machine.take(Prebuilt::Only, ours("symvers=v2"));
    assert!(taken.is_none());
    let (taken, _) = machine.take(Prebuilt::Prefer, ours("symvers=absent"));
    assert!(taken.is_none());
}
