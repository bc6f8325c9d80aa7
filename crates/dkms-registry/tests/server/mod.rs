//! A small HTTP server on the loopback interface. Tests choose its answers, also invalid ones.
#![allow(dead_code, reason = "each test uses some of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The reaction of the server to a request.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// Status, headers, body.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// These bytes and nothing else.
    Raw(Vec<u8>),
    /// Nothing, without closing the connection.
    Silent,
    /// Closes the connection.
    Close,
    /// A byte of the body now and then.
    Trickle,
    /// A byte of the headers now and then.
    TrickleHeaders,
    /// Headers without end.
    EndlessHeaders,
    /// A body without end.
    Endless,
    /// Half of the announced body.
    Truncated(Vec<u8>),
}

impl Reaction {
    /// An empty answer.
    pub fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), Vec::new())
    }

    /// A redirect.
    pub fn redirect(location: &str) -> Self {
        Self::Answer(307, vec![("Location".into(), location.into())], Vec::new())
    }
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
}

impl Received {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }
}

/// The server. It ends with the test.
pub struct Server {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    stop: Arc<AtomicBool>,
}

type React = dyn Fn(usize, &Received) -> Reaction + Send + Sync;

impl Server {
    /// Starts it. `react` gets the number of the request and the request.
    pub fn start(react: impl Fn(usize, &Received) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let (received, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, flag, react): (_, _, Arc<React>) = (received.clone(), stop.clone(), Arc::new(react));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::Relaxed) {
                    return;
                }
                let (log, flag, react) = (log.clone(), flag.clone(), react.clone());
                std::thread::spawn(move || {
                    if let Ok(stream) = stream {
                        let _ = serve(&stream, &log, &flag, &*react);
                    }
                });
            }
        });
        Self { port, received, stop }
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Received> {
        self.received.lock().expect("lock").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(
    stream: &TcpStream,
    log: &Mutex<Vec<Received>>,
    stop: &AtomicBool,
    react: &React,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    while let Some(request) = read_request(&mut reader)? {
        let number = {
            let mut log = log.lock().expect("lock");
            log.push(request.clone());
            log.len()
        };
        let ok = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        let slowly = |mut out: &TcpStream, bytes: &[u8]| -> std::io::Result<()> {
            for byte in bytes.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                out.write_all(&[*byte])?;
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        };
        match react(number, &request) {
            Reaction::Answer(status, headers, body) => {
                let mut text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
                for (name, value) in headers {
                    text += &format!("{name}: {value}\r\n");
                }
                out.write_all((text + "\r\n").as_bytes())?;
                if request.method != "HEAD" {
                    out.write_all(&body)?;
                }
            }
            Reaction::Raw(bytes) => return out.write_all(&bytes),
            Reaction::Silent => {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                return Ok(());
            }
            Reaction::Close => return Ok(()),
            Reaction::Trickle => {
                out.write_all(&ok(100_000))?;
                return slowly(out, b"x");
            }
            Reaction::TrickleHeaders => {
                out.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
                return slowly(out, b"x");
            }
            Reaction::EndlessHeaders => {
                out.write_all(b"HTTP/1.1 200 OK\r\n")?;
                loop {
                    out.write_all(b"X-Header: and another one, and another one\r\n")?;
                }
            }
            Reaction::Endless => {
                out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
                loop {
                    out.write_all(&chunk)?;
                }
            }
            Reaction::Truncated(body) => {
                out.write_all(&ok(body.len()))?;
                return out.write_all(&body[..body.len() / 2]);
            }
        }
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Received>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length =
        headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    std::io::copy(&mut reader.by_ref().take(length.unwrap_or(0)), &mut std::io::sink())?;
    Ok(Some(Received { method, path, headers }))
}
