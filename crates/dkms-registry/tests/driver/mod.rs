//! Runs dkms-registry as dkms does.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use dkms_bundle::digest::digest;
use dkms_bundle::protocol::{Blob, Greeting, Reply, Request, VERSION};

/// A running dkms-registry and its spool.
pub struct Program {
    pub spool: tempfile::TempDir,
    pub child: Child,
    pub input: Option<ChildStdin>,
    pub output: BufReader<ChildStdout>,
    pub last: u64,
    pub warnings: Vec<String>,
}

pub fn private() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).expect("chmod");
    dir
}

impl Program {
    pub fn start() -> Self {
        Self::start_with(None, |_| ())
    }

    pub fn start_with(auth: Option<&str>, prepare: impl FnOnce(&mut Command)) -> Self {
        let spool = private();
        if let Some(auth) = auth {
            std::fs::write(spool.path().join("auth.json"), auth).expect("write");
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkms-registry"));
        command.arg(spool.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).env_clear();
        prepare(&mut command);
        let mut child = command.spawn().expect("dkms-registry starts");
        let output = BufReader::new(child.stdout.take().expect("stdout"));
        let input = child.stdin.take();
        let mut program = Self { spool, child, input, output, last: 0, warnings: Vec::new() };
        program.write(&Greeting { protocol: "dkms-registry".into(), version: VERSION });
        let line = program.read();
        assert_eq!(line, r#"{"protocol":"dkms-registry","version":1}"#);
        program
    }

    pub fn write(&mut self, value: &impl serde::Serialize) {
        let mut line = serde_json::to_vec(value).expect("json");
        line.push(b'\n');
        self.input.as_mut().expect("input").write_all(&line).expect("write");
    }

    pub fn read(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("read");
        line.trim_end().to_owned()
    }

    pub fn ask(&mut self, request: impl FnOnce(u64) -> Request) -> Reply {
        self.last += 1;
        self.write(&request(self.last));
        loop {
            let line = self.read();
            match serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}")) {
                Reply::Warning { source, reason } => self.warnings.push(format!("{source}: {reason}")),
                reply => return reply,
            }
        }
    }

    pub fn look_up(&mut self, sources: &[&str], tag: &str) -> Reply {
        let sources = sources.iter().map(|source| (*source).to_owned()).collect();
        self.ask(|id| Request::Lookup { id, sources, repository: "hello".into(), tag: tag.into() })
    }

    pub fn fetch(&mut self, source: &str, digest: &str, size: u64) -> Result<Vec<u8>, String> {
        let reply = self.ask(|id| Request::Fetch {
            id,
            source: source.into(),
            repository: "hello".into(),
            digest: digest.into(),
            size,
        });
        match reply {
            Reply::Fetched { file, .. } => Ok(std::fs::read(self.spool.path().join(file)).expect("read")),
            Reply::Failed { reason, .. } => {
                let names = std::fs::read_dir(self.spool.path()).expect("list");
                let mut names = names.map(|entry| entry.expect("entry").file_name());
                let last = format!("fetched-{}", self.last);
                assert!(!names.any(|name| name == *last), "a failed transfer leaves no file");
                Err(reason)
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn push(&mut self, source: &str, tag: &str, blob: &[u8], version: &str) -> Reply {
        self.push_with(source, tag, blob, version, false)
    }

    pub fn push_with(&mut self, source: &str, tag: &str, blob: &[u8], version: &str, replace: bool) -> Reply {
        let path = self.spool.path().join("push-0");
        std::fs::write(&path, blob).expect("write");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("chmod");
        let blob = Blob { file: "push-0".into(), digest: digest(blob), size: blob.len() as u64 };
        self.ask(|id| Request::Push {
            id,
            source: source.into(),
            repository: "hello".into(),
            tag: tag.into(),
            manifest: manifest(&blob.digest, blob.size, version),
            blobs: vec![blob],
            replace,
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.input.take());
        let status = self.child.wait().expect("wait");
        assert!(std::thread::panicking() || status.success(), "{status}");
    }
}

pub fn manifest(digest: &str, size: u64, version: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.dkms.build.v1+json","digest":"{digest}","size":{size}}},"layers":[],"annotations":{{"v":"{version}"}}}}"#
    )
}
