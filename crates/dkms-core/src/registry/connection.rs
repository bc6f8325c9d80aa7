//! A connection to the program `dkms-registry`, which is the only program of dkms that uses the network.
//!
//! The program confines itself and changes to a dedicated user before it answers the first request. Its
//! replies are not trusted. A line that is too long, a reply that cannot be parsed or was not requested, and
//! a timeout end the connection: from then on every request fails immediately. The threads of builds share
//! one connection. Each waits for the reply with the number of its request.

use super::error::{Failure, Local, ProtocolError};
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

/// The time limit for the greeting, and for the reply about one source. It is longer than the program's own
/// limit.
const REPLY_TIMEOUT: Duration = Duration::from_secs(15);

/// The slowest accepted transfer, in bytes per second.
const SLOWEST: u64 = 1_000_000;

/// The time limit for the exit of the program after its input was closed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum number of bytes of the program's error output in a message.
const MAX_ERRORS: usize = 400;

/// The maximum number of warnings that wait for [`Connection::take_warnings`]; more are dropped.
const MAX_WARNINGS: usize = 16;

/// The parameters for starting the program.
pub(crate) struct Start {
    /// The path of the program.
    pub program: PathBuf,
    /// Its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The names and contents of files that are created in the spool before the program starts. They may
    /// contain passwords.
    pub files: Vec<(String, Vec<u8>)>,
    /// The directory in which the spool directory is created.
    pub temporary: PathBuf,
}

/// A tag that a registry has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The registry that has it.
    pub source: String,
    /// The digest of the manifest, computed from its text.
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

/// A build to publish.
pub(super) struct Publication<'a> {
    /// The registry.
    pub source: &'a str,
    /// The name below the prefix of the registry.
    pub repository: &'a str,
    /// The tag for the manifest.
    pub tag: &'a str,
    /// The manifest.
    pub manifest: &'a str,
    /// The digests and the contents of the blobs in the manifest.
    pub blobs: &'a [(&'a str, &'a [u8])],
    /// Whether an existing tag is replaced.
    pub replace: bool,
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
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of the last request.
    last_id: u64,
    is_greeted: bool,
    /// Replies by the number of the request; `None` until the reply arrives.
    replies: HashMap<u64, Option<Reply>>,
    warnings: Vec<String>,
    /// The beginning of the program's error output.
    errors: String,
    /// The reason why the connection has ended.
    failure: Option<Failure>,
    has_exited: bool,
}

impl Connection {
    /// Starts the program and greets it.
    ///
    /// # Errors
    /// It cannot be started, or does not send a valid greeting.
    pub(crate) fn start(start: Start) -> Result<Self, Failure> {
        let spool = spool(&start)?;
        let (input, theirs) = UnixStream::pair().map_err(Local::Start)?;
        let _ = input.set_write_timeout(Some(REPLY_TIMEOUT));
        let shared = Arc::new(Shared::default());
        let stop = Arc::new(AtomicBool::new(false));
        let command = command(&start, spool.path(), theirs, &shared).stop_on(stop.clone());
        let watched = shared.clone();
        std::thread::Builder::new()
            .name("dkms-registry".into())
            .spawn(move || watched.record_exit(command.run().map(|done| done.status.to_string())))
            .map_err(Local::Start)?;
        let connection = Self { spool, input: Mutex::new(input), shared, stop };
        connection.greet()?;
        Ok(connection)
    }

    /// Sends the greeting of dkms, and waits for that of the program.
    fn greet(&self) -> Result<(), Failure> {
        self.write(&Greeting::ours())?;
        self.wait(REPLY_TIMEOUT, |state| state.is_greeted.then_some(()))
    }

    /// Looks for a tag in the sources, in their order; `None` if none of them has it.
    ///
    /// # Errors
    /// The connection failed, or the program reports a failure.
    pub(crate) fn lookup(
        &self,
        sources: &[String],
        repository: &str,
        tag: &str,
    ) -> Result<Option<Found>, Failure> {
        let count = u32::try_from(sources.len()).unwrap_or(u32::MAX).clamp(1, 20);
        let reply = self.send(REPLY_TIMEOUT.saturating_mul(count), |id| Request::Lookup {
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
                    return Err(self.fail(ProtocolError::OtherManifest));
                }
                Ok(Some(Found { source, digest, manifest }))
            }
            other => Err(self.unexpected(other)),
        }
    }

    /// Fetches a blob of this size in bytes. The returned file has no name. Its digest is not checked.
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
        let reply = self.send(transfer_time(size), |id| Request::Fetch {
            id,
            source: source.to_owned(),
            repository: repository.to_owned(),
            digest: digest.to_owned(),
            size,
        })?;
        match reply {
            Reply::Fetched { file, .. } => self.take_file(&file, size).map_err(|error| self.fail(error)),
            other => Err(self.unexpected(other)),
        }
    }

    /// Pushes blobs and then the manifest, unless the tag exists and must not be replaced. Call
    /// [`Connection::lookup`] first, so that the program has changed its user.
    ///
    /// # Errors
    /// As for [`Connection::lookup`].
    pub(super) fn push(&self, publication: &Publication<'_>) -> Result<Pushed, Failure> {
        let mut blobs = Vec::new();
        let mut total = 0u64;
        for (number, (digest, bytes)) in publication.blobs.iter().enumerate() {
            let (file, size) = (format!("push-{number}"), bytes.len() as u64);
            self.put_file(&file, bytes)?;
            blobs.push(Blob { file, digest: (*digest).to_owned(), size });
            total = total.saturating_add(size);
        }
        let paths: Vec<PathBuf> = blobs.iter().map(|blob| self.spool.path().join(&blob.file)).collect();
        let reply = self.send(transfer_time(total).saturating_mul(2), |id| Request::Push {
            id,
            source: publication.source.to_owned(),
            repository: publication.repository.to_owned(),
            tag: publication.tag.to_owned(),
            manifest: publication.manifest.to_owned(),
            blobs,
            replace: publication.replace,
        });
        for path in paths {
            // The spool directory is deleted at the end in any case.
            let _ = fs::remove_file(path);
        }
        match reply? {
            Reply::Pushed { digest, .. } => Ok(Pushed::New(digest)),
            Reply::Exists { .. } => Ok(Pushed::Exists),
            other => Err(self.unexpected(other)),
        }
    }

    /// Returns the warnings of the program since the last call.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.state().warnings)
    }

    /// Sends a request and waits for its reply.
    fn send(&self, time: Duration, request: impl FnOnce(u64) -> Request) -> Result<Reply, Failure> {
        let id = {
            let mut state = self.state();
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            state.last_id += 1;
            let id = state.last_id;
            state.replies.insert(id, None);
            id
        };
        self.write(&request(id))?;
        let reply = self.wait(time, |state| {
            let has_reply = state.replies.get(&id).is_some_and(Option::is_some);
            if has_reply { state.replies.remove(&id).flatten() } else { None }
        })?;
        match reply {
            Reply::Failed { reason, .. } => Err(Failure::Reported(shorten(&reason))),
            reply => Ok(reply),
        }
    }

    /// Waits until `find` returns something. Fails at the end of the connection, at an interrupt or at a
    /// timeout.
    fn wait<T>(&self, time: Duration, mut find: impl FnMut(&mut State) -> Option<T>) -> Result<T, Failure> {
        let start = Instant::now();
        let mut state = self.state();
        loop {
            if let Some(found) = find(&mut state) {
                return Ok(found);
            }
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if let Some(signal) = dkms_sys::signal::interrupted() {
                return Err(Failure::Interrupted(signal));
            }
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                drop(state);
                return Err(self.fail(Failure::Timeout(time)));
            }
            // An interrupt does not wake this thread, so it wakes up regularly.
            let step = left.min(Duration::from_millis(200));
            let woken = self.shared.changed.wait_timeout(state, step);
            state = woken.map_or_else(|e| e.into_inner().0, |(state, _)| state);
        }
    }

    fn write<T: serde::Serialize>(&self, value: &T) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value).map_err(Local::Json)?;
        line.push(b'\n');
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        // If this fails, the program has exited, and `wait` returns the reason.
        let _ = input.write_all(&line);
        Ok(())
    }

    /// Opens a file that the program has reported as created, and removes its name.
    fn take_file(&self, name: &str, size: u64) -> Result<File, ProtocolError> {
        let is_name =
            !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && !name.contains(['/', '\0']);
        if !is_name {
            return Err(ProtocolError::FileName);
        }
        // The program becomes the owner of its spool directory before it answers the first request.
        let owner = fs::symlink_metadata(self.spool.path())?.uid();
        let file = fs::open_untrusted(self.spool.path(), name, Some(owner))?;
        let path = self.spool.path().join(name);
        fs::remove_file(&path)?;
        let actual = file.metadata().map_err(|e| IoError::new("read", path, e))?.len();
        if actual != size {
            return Err(ProtocolError::FileSize { actual, expected: size });
        }
        Ok(file)
    }

    /// Creates a file in the spool. All users may read the file, but only the program's user can enter the
    /// spool directory. The owner of the file is not changed, because the program could replace the file
    /// before that.
    fn put_file(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        Ok(fs::create_new(self.spool.path().join(name), bytes, 0o644)?)
    }

    fn unexpected(&self, reply: Reply) -> Failure {
        let text = serde_json::to_string(&reply).unwrap_or_default();
        self.fail(ProtocolError::OtherReply(shorten(&text)))
    }

    /// Ends the connection, and returns the first reason for its end.
    fn fail(&self, failure: impl Into<Failure>) -> Failure {
        self.stop.store(true, Ordering::Relaxed);
        self.state().failure.get_or_insert(failure.into()).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The program exits when its input ends.
        let input = self.input.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = input.shutdown(std::net::Shutdown::Both);
        let start = Instant::now();
        let mut state = self.shared.lock();
        while !state.has_exited && start.elapsed() < EXIT_TIMEOUT + EXIT_TIMEOUT {
            if start.elapsed() >= EXIT_TIMEOUT {
                self.stop.store(true, Ordering::Relaxed);
            }
            let woken = self.shared.changed.wait_timeout(state, Duration::from_millis(50));
            state = woken.map_or_else(|e| e.into_inner().0, |(state, _)| state);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the program has exited.
    fn record_exit(&self, status: Result<String, dkms_sys::process::ProcessError>) {
        let mut state = self.lock();
        let status = status.unwrap_or_else(|e| e.to_string());
        let errors = shorten(state.errors.trim());
        state.failure.get_or_insert(Failure::Exited { status, errors });
        state.has_exited = true;
        self.changed.notify_all();
    }

    /// Handles a line of the program's output.
    fn receive(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.failure.is_none() {
            state.failure = state.receive(line).err();
        }
        self.changed.notify_all();
    }
}

impl State {
    fn receive(&mut self, line: &[u8]) -> Result<(), Failure> {
        let invalid = || Failure::from(ProtocolError::Line(shorten(&String::from_utf8_lossy(line))));
        if !self.is_greeted {
            let greeting: Greeting = serde_json::from_slice(line).map_err(|_| invalid())?;
            if greeting.protocol != PROTOCOL {
                return Err(invalid());
            }
            if greeting.version != VERSION {
                return Err(Failure::Version(greeting.version));
            }
            self.is_greeted = true;
            return Ok(());
        }
        let reply: Reply = serde_json::from_slice(line).map_err(|_| invalid())?;
        if let Reply::Warning { source, reason } = &reply {
            if self.warnings.len() < MAX_WARNINGS {
                self.warnings.push(format!("{}: {}", shorten(source), shorten(reason)));
            }
            return Ok(());
        }
        match reply.id().and_then(|id| self.replies.get_mut(&id)) {
            Some(waiting @ None) => {
                *waiting = Some(reply);
                Ok(())
            }
            _ => Err(invalid()),
        }
    }
}

/// Creates the command that runs the program.
fn command(start: &Start, spool: &Path, input: UnixStream, shared: &Arc<Shared>) -> Command {
    let (listener, errors) = (shared.clone(), shared.clone());
    let mut lines = Lines::default();
    Command::new(&start.program)
        .arg(spool)
        .cwd(spool)
        .envs(start.environment.iter().cloned())
        .stdin(Stdin::Stream(OwnedFd::from(input)))
        .stdout(Stream::Each(Box::new(move |chunk| lines.add(chunk, |line| listener.receive(line)))))
        .stderr(Stream::Each(Box::new(move |chunk| {
            let mut state = errors.lock();
            let room = MAX_ERRORS.saturating_sub(state.errors.len());
            let text = String::from_utf8_lossy(chunk.get(..room.min(chunk.len())).unwrap_or_default());
            state.errors.push_str(&text);
        })))
        .grace(Duration::ZERO)
        .end_leftovers()
}

/// Splits a stream into lines of a limited length.
#[derive(Default)]
struct Lines {
    /// The beginning of the current line.
    line: Vec<u8>,
}

impl Lines {
    /// Adds a part of the stream, and calls `each` with every complete line.
    fn add(&mut self, mut chunk: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = chunk.iter().position(|b| *b == b'\n') {
            let (last, rest) = chunk.split_at(end);
            self.append(last);
            each(&self.line);
            self.line.clear();
            chunk = rest.get(1..).unwrap_or_default();
        }
        self.append(chunk);
        if self.line.len() > MAX_LINE {
            // This text is not valid JSON, so it ends the connection with this message.
            each(b"a line that is too long");
            self.line.clear();
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = (MAX_LINE + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
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
    REPLY_TIMEOUT.saturating_add(Duration::from_secs(size / SLOWEST))
}

/// Makes the program's text suitable for a message: one line of a limited length.
fn shorten(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(201).collect();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
