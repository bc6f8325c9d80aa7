//! Debian's docker-registry, where it is installed.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Debian's registry on a free port.
pub(crate) struct Registry {
    child: Child,
    pub(crate) port: u16,
    _data: tempfile::TempDir,
}

impl Registry {
    /// `None`: it is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// With TLS, if a directory has `cert.pem` and `key.pem`.
    pub(crate) fn start_with(tls: Option<&Path>) -> Option<Self> {
        if !Path::new("/usr/bin/docker-registry").exists() {
            eprintln!("skipped: docker-registry is not installed");
            return None;
        }
        let data = tempfile::tempdir().expect("tempdir");
        let port = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
        let config = data.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            data.path().join("data").display()
        );
        let tls = tls.map_or(String::new(), |dir| {
            let dir = dir.display();
            format!("  tls: {{certificate: {dir}/cert.pem, key: {dir}/key.pem}}\n")
        });
        let text = text + &tls;
        std::fs::write(&config, text).expect("write");
        let mut command = Command::new("/usr/bin/docker-registry");
        let child = command
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start");
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "docker-registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, port, _data: data })
    }

    pub(crate) fn source(&self) -> String {
        format!("127.0.0.1:{}/dkms", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
