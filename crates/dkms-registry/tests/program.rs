//! The program against a real registry (Debian's docker-registry), and against registries that misbehave.
#![allow(clippy::disallowed_methods, clippy::print_stderr)]

mod docker_registry;
mod driver;
mod server;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dkms_bundle::digest::digest;
use dkms_bundle::protocol::{Reply, Request};
use docker_registry::Registry;
use driver::{Program, manifest, private};
use server::{Reaction, Server};

#[test]
fn a_build_goes_into_a_real_registry_and_comes_back() {
    let Some(registry) = Registry::start() else { return };
    let source = registry.source();
    let mut program = Program::start();
    assert_eq!(program.look_up(&[&source], "f1-a"), Reply::Missing { id: 1 });
    let blob: Vec<u8> = (0..3_000_000u32).map(|i| i.wrapping_mul(i) as u8).collect();
    let expected = digest(manifest(&digest(&blob), blob.len() as u64, "1").as_bytes());
    assert_eq!(program.push(&source, "f1-a", &blob, "1"), Reply::Pushed { id: 2, digest: expected.clone() });
    assert_eq!(program.push(&source, "f1-a", &blob, "2"), Reply::Exists { id: 3 }, "the first push wins");
    // A mirror that is down comes first.
    match program.look_up(&["127.0.0.1:9/dkms", &source], "f1-a") {
        Reply::Found { source: from, digest: found, manifest: text, .. } => {
            assert_eq!((from, found), (source.clone(), expected));
            assert_eq!(text, manifest(&digest(&blob), blob.len() as u64, "1"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(program.warnings, ["127.0.0.1:9/dkms: it refuses connections"]);
    assert_eq!(program.look_up(&["127.0.0.1:9/dkms", &source], "f1-b"), Reply::Missing { id: 5 });
    assert_eq!(program.warnings.len(), 1, "one warning for each registry");
    assert_eq!(program.fetch(&source, &digest(&blob), blob.len() as u64).as_ref(), Ok(&blob));
    assert!(program.fetch(&source, &digest(&blob), 5).is_err());
    assert!(program.fetch(&source, &digest(b"unknown"), 7).is_err());
    let replaced = program.push_with(&source, "f1-a", &blob, "2", true);
    assert!(matches!(replaced, Reply::Pushed { .. }), "{replaced:?}");
    let empty = program.push(&source, "f1-c", b"", "1");
    assert!(matches!(empty, Reply::Pushed { .. }), "{empty:?}");
}

/// A certificate for 127.0.0.1 and its key.
fn certificate(dir: &Path) -> bool {
    let done = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir)
        .output();
    done.is_ok_and(|done| done.status.success())
}

#[test]
fn a_registry_with_tls_is_verified() {
    let dir = tempfile::tempdir().expect("tempdir");
    if !certificate(dir.path()) {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let Some(registry) = Registry::start_with(Some(dir.path())) else { return };
    let source = format!("https://{}", registry.source());
    let mut program = Program::start_with(None, |command| {
        command.env("SSL_CERT_FILE", dir.path().join("cert.pem"));
    });
    let pushed = program.push(&source, "f1-a", b"blob", "1");
    assert!(matches!(pushed, Reply::Pushed { .. }), "{pushed:?}");
    assert!(matches!(program.look_up(&[&source], "f1-a"), Reply::Found { .. }), "{:?}", program.warnings);
    // The system's authorities do not know it.
    let mut program = Program::start();
    assert_eq!(program.look_up(&[&source], "f1-a"), Reply::Missing { id: 1 });
    assert!(program.warnings[0].contains("certificate"), "{:?}", program.warnings);
    // A connection without TLS fails.
    let mut program = Program::start();
    assert_eq!(program.look_up(&[&registry.source()], "f1-a"), Reply::Missing { id: 1 });
    assert_eq!(program.warnings.len(), 1);
}

/// A lookup in a registry that misbehaves finds nothing and prints one warning. A dead registry is not
/// contacted again.
fn lookup_fails(reaction: Reaction, expected: &str, is_dead: bool) {
    let name = format!("{reaction:?}");
    let server = Server::start(move |_, _| reaction.clone());
    let source = format!("{}/dkms", server.address());
    let mut program = Program::start();
    let start = Instant::now();
    assert_eq!(program.look_up(&[&source], "f1-a"), Reply::Missing { id: 1 }, "{name}");
    assert!(start.elapsed() < Duration::from_secs(60), "{name}");
    eprintln!("{name}: {:?}, {:?}", start.elapsed(), program.warnings);
    assert_eq!(program.warnings.len(), 1, "{name}");
    assert!(program.warnings[0].contains(expected), "{name}: {:?}", program.warnings);
    let requests = server.requests().len();
    assert_eq!(program.look_up(&[&source], "f1-b"), Reply::Missing { id: 2 }, "{name}");
    assert_eq!(program.warnings.len(), 1, "{name}");
    assert_eq!(server.requests().len() == requests, is_dead, "{name}");
}

#[test]
fn a_registry_that_misbehaves_has_no_build() {
    let mut cases: Vec<(Reaction, &str, bool)> = Vec::new();
    let mut lookup_fails = |reaction, expected, is_dead| cases.push((reaction, expected, is_dead));
    let huge = vec![b' '; 2 << 20];
    lookup_fails(Reaction::Silent, "did not begin to answer", true);
    lookup_fails(Reaction::Close, "", true);
    lookup_fails(Reaction::Trickle, "in time", true);
    lookup_fails(Reaction::TrickleHeaders, "answer", true);
    lookup_fails(Reaction::EndlessHeaders, "", true);
    lookup_fails(Reaction::Raw(b"nonsense\r\n\r\n".to_vec()), "", true);
    lookup_fails(Reaction::status(500), "500", true);
    lookup_fails(Reaction::status(429), "429", true);
    lookup_fails(Reaction::status(403), "403", false);
    lookup_fails(Reaction::status(401), "login", false);
    lookup_fails(Reaction::Answer(200, Vec::new(), huge), "more than", false);
    lookup_fails(Reaction::Endless, "more than", false);
    lookup_fails(Reaction::Truncated(b"{}".to_vec()), "", true);
    lookup_fails(Reaction::Answer(200, Vec::new(), vec![0xff, 0xfe]), "not text", false);
    let chunked = |text: &str| {
        Reaction::Raw([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", text.as_bytes()].concat())
    };
    let head = |text: &str| Reaction::Raw(format!("HTTP/1.1 200 OK\r\n{text}\r\n{{}}").into_bytes());
    lookup_fails(chunked(&format!("1;{}\r\n", "a".repeat(1 << 20))), "", true);
    lookup_fails(chunked("ffffffffffffffffff\r\n{}"), "", true);
    lookup_fails(chunked("-1\r\n{}"), "", true);
    lookup_fails(chunked(&"1\r\n \r\n".repeat(2 << 20)), "more than", false);
    lookup_fails(head("Content-Length: 99999999999999999999999\r\n"), "", true);
    lookup_fails(head("Content-Length: -1\r\n"), "", true);
    lookup_fails(head("Content-Length: 18446744073709551615\r\n"), "more than", false);
    lookup_fails(head("Content-Length: 100\r\n"), "early", true);
    lookup_fails(Reaction::Raw(b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100_000)), "", true);
    lookup_fails(Reaction::status(304), "304", true);
    lookup_fails(Reaction::status(206), "206", true);
    for later in ["99999999999999999999", "600000000", "Wed, 21 Oct 2099 07:28:00 GMT", "-1"] {
        let later = vec![("Retry-After".into(), later.into())];
        lookup_fails(Reaction::Answer(429, later, Vec::new()), "429", true);
    }
    lookup_fails(Reaction::status(302), "not an address", true);
    lookup_fails(Reaction::redirect("http://b\u{fc}cher.example/"), "not an address", true);
    lookup_fails(Reaction::redirect("https://user:word@127.0.0.1/"), "not an address", true);
    lookup_fails(Reaction::redirect("/v2/again"), "redirects more than 5 times", true);
    lookup_fails(Reaction::redirect("http://registry.example/"), "no TLS", true);
    lookup_fails(Reaction::redirect("file:///etc/passwd"), "not an address", true);
    // Most of the time is waiting for those that are slow.
    std::thread::scope(|scope| {
        for (reaction, expected, is_dead) in cases {
            scope.spawn(move || self::lookup_fails(reaction, expected, is_dead));
        }
    });
}

#[test]
fn a_request_to_a_busy_registry_is_retried() {
    let later = Reaction::Answer(429, vec![("Retry-After".into(), "1".into())], Vec::new());
    for busy in [later, Reaction::status(503), Reaction::Silent] {
        let reaction = busy.clone();
        let server = Server::start(move |number, _| match number {
            1 => reaction.clone(),
            _ => Reaction::Answer(200, Vec::new(), b"{}".to_vec()),
        });
        let mut program = Program::start();
        let found = program.look_up(&[&format!("{}/dkms", server.address())], "f1-a");
        assert!(matches!(found, Reply::Found { .. }), "{busy:?}: {found:?} {:?}", program.warnings);
        assert_eq!(server.requests().len(), 2, "{busy:?}");
    }
    // It has answered before, so requests are retried until the deadline.
    let server = Server::start(|number, _| match number {
        1 => Reaction::status(404),
        2 | 3 => Reaction::Answer(503, vec![("Retry-After".into(), "0".into())], Vec::new()),
        _ => Reaction::Answer(200, Vec::new(), b"{}".to_vec()),
    });
    let mut program = Program::start();
    let source = format!("{}/dkms", server.address());
    assert!(matches!(program.look_up(&[&source], "f1-a"), Reply::Missing { .. }));
    let found = program.look_up(&[&source], "f1-b");
    assert!(matches!(found, Reply::Found { .. }), "{found:?} {:?}", program.warnings);
    assert_eq!(server.requests().len(), 4);
    // It answers everything late. The second attempt waits for longer.
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_millis(3500));
        Reaction::Answer(200, Vec::new(), b"{}".to_vec())
    });
    let mut program = Program::start();
    let found = program.look_up(&[&format!("{}/dkms", server.address())], "f1-a");
    assert!(matches!(found, Reply::Found { .. }), "{found:?} {:?}", program.warnings);
    // It asks for more time than there is.
    let long = Reaction::Answer(503, vec![("Retry-After".into(), "600".into())], Vec::new());
    let server = Server::start(move |_, _| long.clone());
    let mut program = Program::start();
    assert_eq!(program.look_up(&[&format!("{}/dkms", server.address())], "f1-a"), Reply::Missing { id: 1 });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn damaged_blobs_are_refused() {
    let blob = vec![7u8; 100_000];
    let mut wrong = blob.clone();
    wrong[500] ^= 1;
    let cases = [
        Reaction::Answer(200, Vec::new(), wrong),
        Reaction::Answer(200, Vec::new(), blob[1..].to_vec()),
        Reaction::Truncated(blob.clone()),
        Reaction::Endless,
        Reaction::Trickle,
        Reaction::Silent,
        Reaction::status(404),
        Reaction::status(500),
    ];
    for reaction in cases {
        let answer = reaction.clone();
        let server = Server::start(move |_, _| answer.clone());
        let mut program = Program::start();
        let start = Instant::now();
        let result = program.fetch(&server.address(), &digest(&blob), blob.len() as u64);
        let text = format!("{reaction:?}").chars().take(30).collect::<String>();
        eprintln!("{text}: {:?}, {result:?}", start.elapsed());
        assert!(result.is_err(), "{text}");
    }
    let good = blob.clone();
    let server = Server::start(move |_, _| Reaction::Answer(200, Vec::new(), good.clone()));
    let mut program = Program::start();
    assert_eq!(program.fetch(&server.address(), &digest(&blob), blob.len() as u64), Ok(blob));
}

#[test]
fn a_proxy_is_used() {
    let proxy = Server::start(|_, _| Reaction::status(502));
    let address = proxy.address();
    let mut program = Program::start_with(None, |command| {
        command.env("https_proxy", format!("http://{address}"));
    });
    assert_eq!(program.look_up(&["registry.invalid/dkms"], "f1-a"), Reply::Missing { id: 1 });
    assert_eq!(program.warnings.len(), 1);
    let requests = proxy.requests();
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("CONNECT", "registry.invalid:443"));
}

#[test]
fn a_missing_credential_helper_is_a_warning() {
    let server = Server::start(|_, _| Reaction::status(404));
    let mut program = Program::start_with(Some(r#"{"credsStore":"nowhere"}"#), |_| ());
    assert_eq!(program.look_up(&[&server.address()], "f1-a"), Reply::Missing { id: 1 });
    assert!(program.warnings[0].contains("docker-credential-nowhere"), "{:?}", program.warnings);
}

#[test]
fn invalid_requests_fail() {
    let mut program = Program::start();
    assert!(matches!(program.look_up(&["not a registry"], "f1-a"), Reply::Missing { .. }));
    assert!(program.warnings[0].contains("HOST[:PORT]/PREFIX"));
    assert!(program.fetch("127.0.0.1:9", "sha256:../x", 1).is_err());
    assert!(program.fetch("127.0.0.1:9/../x", &digest(b""), 1).is_err());
    let reply = program.ask(|id| Request::Push {
        id,
        source: "127.0.0.1:9".into(),
        repository: "../x".into(),
        tag: "a/b".into(),
        manifest: String::new(),
        blobs: Vec::new(),
        replace: false,
    });
    assert!(matches!(reply, Reply::Failed { .. }));
}

#[test]
fn the_spool_must_be_private_and_new() {
    let run = |spool: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkms-registry"));
        command.arg(spool).stdin(Stdio::null()).output().expect("run")
    };
    let spool = private();
    assert!(run(spool.path()).status.success());
    std::fs::write(spool.path().join("letter"), "").expect("write");
    let refused = run(spool.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("letter"));
    std::fs::remove_file(spool.path().join("letter")).expect("remove");
    std::fs::set_permissions(spool.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
    assert!(String::from_utf8_lossy(&run(spool.path()).stderr).contains("not private"));
    assert!(!run(Path::new("/nonexistent")).status.success());
    let help = Command::new(env!("CARGO_BIN_EXE_dkms-registry")).arg("--help").output().expect("run");
    assert!(help.status.success() && help.stdout.starts_with(b"Usage: dkms-registry SPOOL"));
}

#[test]
fn another_version_ends_the_conversation() {
    let spool = private();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkms-registry"));
    command.arg(spool.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start");
    let greeting = b"{\"protocol\":\"dkms-registry\",\"version\":99}\n";
    child.stdin.take().expect("stdin").write_all(greeting).expect("write");
    let done = child.wait_with_output().expect("wait");
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("same version"));
}
