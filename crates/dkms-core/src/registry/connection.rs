//! A connection to the program `dkms-registry`. Only this program uses the network.
//!
//! The program confines itself and changes to a dedicated user before it answers the first request. Its
//! answers are not trusted. A line that is too long, an answer that cannot be parsed or was not requested,
//! and a timeout end the connection: from then on every request fails at once. The threads of builds share
//! one connection. Each waits for the reply with the number of its request.

use super::error::{Failure, Local, Nonsense};
use dkms_bundle::protocol::{Blob, Greeting, MAX_LINE, PROTOCOL, Reply, Request, VERSION};
use dkms_sys::IoError;
use dkms_sys::fs::{self, TempDir};
use dkms_sys::process::{Command, Stdin, Stream};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time limit of the program for the first byte from a source, plus some time for the program itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// The slowest accepted transfer, in bytes per second.
const SLOWEST: u64 = 1_000_000;

/// The time limit of the program to exit after its input was closed.
const FAREWELL: Duration = Duration::from_secs(2);

/// The number of bytes of the program's error output that are kept for a message.
const KEPT_ERRORS: usize = 400;

/// The parameters for starting the program.
pub(crate) struct Start {
    /// The program.
    pub program: PathBuf,
    /// Its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Files that are copied to the spool before it starts, with their names in the spool. They may contain
    /// passwords.
    pub files: Vec<(String, Vec<u8>)>,
    /// The directory in which the spool directory is created.
    pub temporary: PathBuf,
}

/// A tag that a registry has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The registry that has it.
    pub source: String,
    /// Digest of the manifest, computed here.
    pub digest: String,
    /// The manifest, not yet verified.
    pub manifest: String,
}

/// The result of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The tag refers to this manifest now.
    New(String),
    /// The tag existed; nothing was changed.
    Exists,
}

/// A running program.
pub(crate) struct Connection {
    spool: TempDir,
    input: Mutex<UnixStream>,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
}

/// The state that the reading thread and the requesting threads share.
#[derive(Default)]
struct Shared {
    talk: Mutex<Talk>,
    changed: Condvar,
}

#[derive(Default)]
struct Talk {
    last: u64,
    greeted: bool,
    /// Requests without a reply are `None`.
    replies: HashMap<u64, Option<Reply>>,
    warnings: Vec<String>,
    errors: String,
    /// The reason why the connection has ended.
    over: Option<Failure>,
    ended: bool,
}

impl Connection {
    /// Starts the program and greets it.
    ///
    /// # Errors
    /// It cannot be started, or does not answer as it should.
    pub(crate) fn start(start: Start) -> Result<Self, Failure> {
        let spool = spool(&start)?;
        let (input, theirs) = UnixStream::pair().map_err(Local::Start)?;
        let _ = input.set_write_timeout(Some(PATIENCE));
        let shared = Arc::new(Shared::default());
        let stop = Arc::new(AtomicBool::new(false));
        let command = command(&start, spool.path(), theirs, &shared).stop_on(stop.clone());
        let watched = shared.clone();
        std::thread::Builder::new()
            .name("dkms-registry".into())
            .spawn(move || watched.end(command.run().map(|done| done.status.to_string())))
            .map_err(Local::Start)?;
        let connection = Self { spool, input: Mutex::new(input), shared, stop };
        connection.greet()?;
        Ok(connection)
    }

    fn greet(&self) -> Result<(), Failure> {
        self.write(&Greeting::ours())?;
        self.wait(PATIENCE, |talk| talk.greeted.then_some(()))
    }

    /// Looks a tag up in the sources, in order. `None`: none of them has it.
    ///
    /// # Errors
    /// The program failed, or reports a failure.
    pub(crate) fn lookup(
        &self,
        sources: &[String],
        repository: &str,
        tag: &str,
    ) -> Result<Option<Found>, Failure> {
        let count = u32::try_from(sources.len()).unwrap_or(u32::MAX).clamp(1, 20);
        let reply = self.ask(PATIENCE.saturating_mul(count), |id| Request::Lookup {
            id,
            sources: sources.to_vec(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })?;
        match reply {
            Reply::Missing { .. } => Ok(None),
            Reply::Found { source, digest, manifest, .. } => {
                let is_manifest = manifest.len() <= dkms_bundle::manifest::MAX_BYTES
                    && digest == dkms_bundle::digest::digest(manifest.as_bytes());
                if !sources.contains(&source) || !is_manifest {
                    return Err(self.end_because(Nonsense::OtherManifest));
                }
                Ok(Some(Found { source, digest, manifest }))
            }
            other => Err(self.unexpected(other)),
        }
    }

    /// Fetches a blob of a known size to a file that no longer has a name. Its digest is not checked here.
    ///
    /// # Errors
    /// As for [`Connection::lookup`]; the program did not create the file, or its size is wrong.
    pub(crate) fn fetch(
        &self,
        source: &str,
        repository: &str,
        digest: &str,
        size: u64,
    ) -> Result<File, Failure> {
        let reply = self.ask(transfer_time(size), |id| Request::Fetch {
            id,
            source: source.to_owned(),
            repository: repository.to_owned(),
            digest: digest.to_owned(),
            size,
        })?;
        match reply {
            Reply::Fetched { file, .. } => {
                self.take_file(&file, size).map_err(|nonsense| self.end_because(nonsense))
            }
            other => Err(self.unexpected(other)),
        }
    }

    /// Pushes blobs and then the manifest, unless the tag exists and is not to be replaced. A lookup comes
    /// first, so that the program has its user already.
    ///
    /// # Errors
    /// As for [`Connection::lookup`].
    pub(crate) fn push(
        &self,
        source: &str,
        repository: &str,
        tag: &str,
        manifest: &str,
        blobs: &[(&str, &[u8])],
        replace: bool,
    ) -> Result<Pushed, Failure> {
        let mut listed = Vec::new();
        for (number, (digest, bytes)) in blobs.iter().enumerate() {
            let file = format!("push-{number}");
            self.put_file(&file, bytes)?;
            listed.push(Blob { file, digest: (*digest).to_owned(), size: bytes.len() as u64 });
        }
        let size = blobs.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(bytes.len() as u64));
        let names: Vec<String> = listed.iter().map(|blob| blob.file.clone()).collect();
        let reply = self.ask(transfer_time(size).saturating_mul(2), |id| Request::Push {
            id,
            source: source.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            manifest: manifest.to_owned(),
            blobs: listed,
            replace,
        });
        for name in names {
            let _ = fs::remove_file(self.spool.path().join(name));
        }
        match reply? {
            Reply::Pushed { digest, .. } => Ok(Pushed::New(digest)),
            Reply::Exists { .. } => Ok(Pushed::Exists),
            other => Err(self.unexpected(other)),
        }
    }

    /// The warnings of the program since the last call.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.talk().warnings)
    }

    /// Sends a request and waits for its reply.
    fn ask(&self, time: Duration, request: impl FnOnce(u64) -> Request) -> Result<Reply, Failure> {
        let id = {
            let mut talk = self.talk();
            if let Some(failure) = &talk.over {
                return Err(failure.clone());
            }
            talk.last += 1;
            let id = talk.last;
            talk.replies.insert(id, None);
            id
        };
        self.write(&request(id))?;
        let reply = self.wait(time, |talk| {
            let is_there = talk.replies.get(&id).is_some_and(Option::is_some);
            if is_there { talk.replies.remove(&id).flatten() } else { None }
        })?;
        match reply {
            Reply::Failed { reason, .. } => Err(Failure::Reported(shorten(&reason))),
            reply => Ok(reply),
        }
    }

    /// Waits until `answer` finds something, the conversation is over, or the time is.
    fn wait<T>(&self, time: Duration, mut answer: impl FnMut(&mut Talk) -> Option<T>) -> Result<T, Failure> {
        let start = Instant::now();
        let mut talk = self.talk();
        loop {
            if let Some(answer) = answer(&mut talk) {
                return Ok(answer);
            }
            if let Some(failure) = &talk.over {
                return Err(failure.clone());
            }
            if let Some(signal) = dkms_sys::signal::interrupted() {
                return Err(Failure::Interrupted(signal));
            }
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                drop(talk);
                return Err(self.end_because(Failure::Silent(time)));
            }
            // An interrupt does not wake this thread.
            let step = left.min(Duration::from_millis(200));
            let woken = self.shared.changed.wait_timeout(talk, step);
            talk = woken.map_or_else(|e| e.into_inner().0, |(talk, _)| talk);
        }
    }

    fn write<T: serde::Serialize>(&self, value: &T) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value).map_err(Local::Json)?;
        line.push(b'\n');
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        // If the program has ended, the reader reports the reason shortly.
        let _ = input.write_all(&line);
        Ok(())
    }

    /// Opens a file that the program has reported as created, and removes its name.
    fn take_file(&self, name: &str, size: u64) -> Result<File, Nonsense> {
        let is_name =
            !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && !name.contains(['/', '\0']);
        if !is_name {
            return Err(Nonsense::FileName);
        }
        // The program has taken its spool directory before it answers the first request.
        let owner = fs::symlink_metadata(self.spool.path())?.uid();
        let file = fs::open_untrusted(self.spool.path(), name, Some(owner))?;
        let path = self.spool.path().join(name);
        fs::remove_file(&path)?;
        let found = file.metadata().map_err(|e| IoError::new("read", path, e))?.len();
        if found != size {
            return Err(Nonsense::FileSize { found, wanted: size });
        }
        Ok(file)
    }

    /// Gives a file to the program. All may read it, but only the program's user can enter the spool
    /// directory. Its owner is not changed: by its name, in a directory of the program, that could be another
    /// file by then.
    fn put_file(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        Ok(fs::create_new(self.spool.path().join(name), bytes, 0o644)?)
    }

    fn unexpected(&self, reply: Reply) -> Failure {
        let text = serde_json::to_string(&reply).unwrap_or_default();
        self.end_because(Nonsense::OtherReply(shorten(&text)))
    }

    /// Ends the conversation.
    fn end_because(&self, failure: impl Into<Failure>) -> Failure {
        self.stop.store(true, Ordering::Relaxed);
        self.talk().over.get_or_insert(failure.into()).clone()
    }

    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.shared.lock()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The program ends when its input ends.
        let input = self.input.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = input.shutdown(std::net::Shutdown::Both);
        let start = Instant::now();
        let mut talk = self.shared.lock();
        while !talk.ended && start.elapsed() < FAREWELL + FAREWELL {
            if start.elapsed() >= FAREWELL {
                self.stop.store(true, Ordering::Relaxed);
            }
            let woken = self.shared.changed.wait_timeout(talk, Duration::from_millis(50));
            talk = woken.map_or_else(|e| e.into_inner().0, |(talk, _)| talk);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the program has ended.
    fn end(&self, how: Result<String, dkms_sys::process::ProcessError>) {
        let mut talk = self.lock();
        let how = how.unwrap_or_else(|e| e.to_string());
        let errors = shorten(talk.errors.trim());
        talk.over.get_or_insert(Failure::Ended { how, errors });
        talk.ended = true;
        self.changed.notify_all();
    }

    /// Handles a line of the program.
    fn line(&self, line: &[u8]) {
        let mut talk = self.lock();
        if talk.over.is_none() {
            if let Err(failure) = talk.hear(line) {
                talk.over = Some(failure);
            }
        }
        self.changed.notify_all();
    }
}

impl Talk {
    fn hear(&mut self, line: &[u8]) -> Result<(), Failure> {
        let nonsense = || Failure::from(Nonsense::Line(shorten(&String::from_utf8_lossy(line))));
        if !self.greeted {
            let greeting: Greeting = serde_json::from_slice(line).map_err(|_| nonsense())?;
            if greeting.protocol != PROTOCOL {
                return Err(nonsense());
            }
            if greeting.version != VERSION {
                return Err(Failure::Version(greeting.version));
            }
            self.greeted = true;
            return Ok(());
        }
        let reply: Reply = serde_json::from_slice(line).map_err(|_| nonsense())?;
        let id = match &reply {
            Reply::Warning { source, reason } => {
                // More would only fill the memory.
                if self.warnings.len() < 16 {
                    self.warnings.push(format!("{}: {}", shorten(source), shorten(reason)));
                }
                return Ok(());
            }
            Reply::Found { id, .. }
            | Reply::Missing { id }
            | Reply::Fetched { id, .. }
            | Reply::Pushed { id, .. }
            | Reply::Exists { id }
            | Reply::Failed { id, .. } => *id,
        };
        match self.replies.get_mut(&id) {
            Some(place @ None) => {
                *place = Some(reply);
                Ok(())
            }
            _ => Err(nonsense()),
        }
    }
}

/// The program's command.
fn command(start: &Start, spool: &Path, input: UnixStream, shared: &Arc<Shared>) -> Command {
    let (listener, errors) = (shared.clone(), shared.clone());
    let mut lines = Lines::default();
    Command::new(&start.program)
        .arg(spool)
        .cwd(spool)
        .envs(start.environment.iter().cloned())
        .stdin(Stdin::Stream(OwnedFd::from(input)))
        .stdout(Stream::Each(Box::new(move |chunk| lines.add(chunk, |line| listener.line(line)))))
        .stderr(Stream::Each(Box::new(move |chunk| {
            let mut talk = errors.lock();
            let room = KEPT_ERRORS.saturating_sub(talk.errors.len());
            let text = String::from_utf8_lossy(chunk.get(..room.min(chunk.len())).unwrap_or_default());
            talk.errors.push_str(&text);
        })))
        .grace(Duration::ZERO)
        .end_leftovers()
}

/// Splits a stream into lines of a limited length.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn add(&mut self, mut chunk: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = chunk.iter().position(|b| *b == b'\n') {
            let (line, rest) = chunk.split_at(end);
            self.keep(line);
            each(&self.begun);
            self.begun.clear();
            chunk = rest.get(1..).unwrap_or_default();
        }
        self.keep(chunk);
        if self.begun.len() > MAX_LINE {
            // No line of the protocol is that long, and none begins like this.
            each(b"a line that is too long");
            self.begun.clear();
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (MAX_LINE + 1).saturating_sub(self.begun.len());
        self.begun.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }
}

/// Creates the spool directory.
fn spool(start: &Start) -> dkms_sys::Result<TempDir> {
    let spool = TempDir::new_in(&start.temporary, "dkms-registry")?;
    for (name, bytes) in &start.files {
        fs::create_new(spool.path().join(name), bytes, 0o600)?;
    }
    Ok(spool)
}

fn transfer_time(size: u64) -> Duration {
    PATIENCE.saturating_add(Duration::from_secs(size / SLOWEST))
}

/// Text of the program for a message: one line of a limited length.
fn shorten(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(201).collect();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
