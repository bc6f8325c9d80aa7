//! Delays shutdown and sleep by an inhibitor lock of logind (`org.freedesktop.login1`,
//! <https://systemd.io/INHIBITOR_LOCKS/>).
//!
//! One D-Bus call returns a descriptor. The lock is held while the descriptor is open, so it is released in
//! any case when dkms ends. The call needs only a small part of D-Bus, which is implemented here:
//! authentication, two messages, and the reply with the descriptor. Without logind, nothing happens.

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::io::{Error, ErrorKind, IoSliceMut, Read, Result, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The socket of the system bus.
pub const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// The time limit for the bus and logind together.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The maximum number of bytes that are read until the reply.
const SIZE_LIMIT: usize = 64 * 1024;

/// An inhibitor lock, or the request for one. Dropping it releases the lock.
#[derive(Debug)]
pub struct Inhibitor(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    lock: Option<OwnedFd>,
    released: bool,
}

impl Inhibitor {
    /// Requests a lock against shutdown and sleep in another thread, so that the caller does not wait for the
    /// reply. `who` and `why` are shown to users. A failure is ignored.
    #[must_use]
    pub fn request(bus: &Path, who: &str, why: &str) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, bus, who, why) = (state.clone(), PathBuf::from(bus), who.to_owned(), why.to_owned());
        if bus.exists() {
            let request = move || {
                let lock = inhibit(&bus, &who, &why);
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                if let (Ok(lock), false) = (lock, state.released) {
                    state.lock = Some(lock);
                }
            };
            // Without a thread there is no lock.
            let _ = std::thread::Builder::new().name("inhibitor".into()).spawn(request);
        }
        Self(state)
    }
}

impl Drop for Inhibitor {
    fn drop(&mut self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.released = true;
        state.lock = None;
    }
}

/// Calls logind. Returns the descriptor of the lock.
fn inhibit(bus: &Path, who: &str, why: &str) -> Result<OwnedFd> {
    let mut connection = Connection::open(bus)?;
    let bus = "org.freedesktop.DBus";
    connection.send(&message(1, "/org/freedesktop/DBus", bus, bus, "Hello", &[]))?;
    let login = ["org.freedesktop.login1", "org.freedesktop.login1.Manager"];
    let arguments = ["shutdown:sleep", who, why, "block"];
    connection.send(&message(2, "/org/freedesktop/login1", login[0], login[1], "Inhibit", &arguments))?;
    connection.reply(2)
}

struct Connection {
    stream: UnixStream,
    until: Instant,
    data: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Connection {
    /// Connects and authenticates as the effective user.
    fn open(bus: &Path) -> Result<Self> {
        let until = Instant::now() + TIME_LIMIT;
        let stream = UnixStream::connect(bus)?;
        stream.set_write_timeout(Some(TIME_LIMIT))?;
        let mut connection = Self { stream, until, data: Vec::new(), descriptors: Vec::new() };
        let uid = crate::sys::effective_uid().to_string();
        let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        connection.send(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        connection.expect_line("OK ")?;
        connection.send(b"NEGOTIATE_UNIX_FD\r\n")?;
        connection.expect_line("AGREE_UNIX_FD")?;
        connection.send(b"BEGIN\r\n")?;
        Ok(connection)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sets how long the next read may take.
    fn limit_time(&self) -> Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))
    }

    fn expect_line(&mut self, beginning: &str) -> Result<()> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 512 {
            self.limit_time()?;
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            line.extend(byte);
        }
        if line.starts_with(beginning.as_bytes()) { Ok(()) } else { Err(refused("authentication failed")) }
    }

    /// Waits for the reply to a message, and returns the descriptor in it.
    fn reply(&mut self, serial: u32) -> Result<OwnedFd> {
        loop {
            while let Some(message) = Incoming::parse(&self.data)? {
                let is_reply = message.reply_to == Some(serial);
                let (kind, size) = (message.kind, message.size);
                self.data.drain(..size);
                match kind {
                    METHOD_RETURN if is_reply => {
                        return self.descriptors.pop().ok_or_else(|| refused("no descriptor in the reply"));
                    }
                    ERROR if is_reply => return Err(refused("the request was refused")),
                    _ => {}
                }
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<()> {
        self.limit_time()?;
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            &self.stream,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                self.descriptors.extend(descriptors);
            }
        }
        let bytes = bytes.get(..received.bytes).unwrap_or_default();
        if bytes.is_empty() || self.data.len() + bytes.len() > SIZE_LIMIT || self.descriptors.len() > 8 {
            return Err(refused("the reply is incomplete or too long"));
        }
        self.data.extend(bytes);
        Ok(())
    }
}

fn refused(why: &'static str) -> Error {
    Error::other(why)
}

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// A method call with strings as arguments, in little-endian order (D-Bus specification, "Message Protocol").
fn message(serial: u32, path: &str, to: &str, interface: &str, member: &str, arguments: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    arguments.iter().for_each(|text| put_string(&mut body, text));
    let mut fields = Vec::new();
    for (code, kind, text) in [(1, b'o', path), (2, b's', interface), (3, b's', member), (6, b's', to)] {
        align(&mut fields, 8);
        fields.extend([code, 1, kind, 0]);
        put_string(&mut fields, text);
    }
    if !arguments.is_empty() {
        align(&mut fields, 8);
        fields.extend([8, 1, b'g', 0, arguments.len() as u8]);
        fields.extend(arguments.iter().map(|_| b's'));
        fields.push(0);
    }
    let mut bytes = vec![b'l', METHOD_CALL, 0, 1];
    for number in [body.len() as u32, serial, fields.len() as u32] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(fields);
    align(&mut bytes, 8);
    bytes.extend(body);
    bytes
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    align(bytes, 4);
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

/// The needed parts of a received message.
#[derive(Debug, PartialEq, Eq)]
struct Incoming {
    kind: u8,
    /// The serial number of the message that it replies to.
    reply_to: Option<u32>,
    /// Its length.
    size: usize,
}

impl Incoming {
    /// Reads the first message; `None` if it is not complete yet.
    fn parse(data: &[u8]) -> Result<Option<Self>> {
        let word = |at: usize| Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?) as usize);
        let (Some(order), Some(kind), Some(body), Some(fields)) =
            (data.first(), data.get(1), word(4), word(12))
        else {
            return Ok(None);
        };
        if *order != b'l' || body > SIZE_LIMIT || fields > SIZE_LIMIT {
            return Err(refused("the reply is not a valid message"));
        }
        let size = (16 + fields).next_multiple_of(8) + body;
        let Some(header) = data.get(..size).and_then(|message| message.get(16..16 + fields)) else {
            return Ok(None);
        };
        Ok(Some(Self { kind: *kind, reply_to: reply_serial(header), size }))
    }
}

/// The field 5 of a header. Every field is a code and a value with its type, at a multiple of 8 bytes.
fn reply_serial(header: &[u8]) -> Option<u32> {
    let mut at = 0usize;
    loop {
        at = at.next_multiple_of(8);
        let [code, 1, kind, 0] = header.get(at..at + 4)? else { return None };
        at += 4;
        let length = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
        match kind {
            b'u' => {
                let value = length(header.get(at..at + 4)?)?;
                if *code == 5 {
                    return Some(value);
                }
                at += 4;
            }
            b's' | b'o' => at = at.checked_add(length(header.get(at..at + 4)?)? as usize)?.checked_add(5)?,
            b'g' => at += usize::from(*header.get(at)?) + 2,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let call = message(2, "/a", "b.c", "d.e", "F", &["xyz", ""]);
        // Header, and five fields in 8-byte steps; the body has two strings.
        assert_eq!(&call[..8], b"l\x01\0\x01\x0d\0\0\0");
        assert_eq!(
            call.len(),
            (16 + u32::from_le_bytes(call[12..16].try_into().unwrap()) as usize).next_multiple_of(8) + 13
        );
        assert!(call.ends_with(b"\x03\0\0\0xyz\0\0\0\0\0\0"));
        let parsed = Incoming::parse(&call).unwrap().unwrap();
        assert_eq!(parsed, Incoming { kind: METHOD_CALL, reply_to: None, size: call.len() });
        assert_eq!(Incoming::parse(&call[..call.len() - 1]).unwrap(), None);
        assert!(Incoming::parse(&[b'B'; 16]).is_err());
        assert!(Incoming::parse(b"l\x02\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\0").is_err());
    }

    #[test]
    fn the_reply_is_found_by_its_serial() {
        let mut header = vec![6, 1, b's', 0];
        put_string(&mut header, ":1.5");
        align(&mut header, 8);
        header.extend([8, 1, b'g', 0, 1, b'h', 0]);
        align(&mut header, 8);
        header.extend([5, 1, b'u', 0, 2, 0, 0, 0]);
        assert_eq!(reply_serial(&header), Some(2));
        assert_eq!(reply_serial(&header[..header.len() - 1]), None);
        assert_eq!(reply_serial(b"\x06\x01s\0\xff\xff\xff\xff"), None);
    }
}
