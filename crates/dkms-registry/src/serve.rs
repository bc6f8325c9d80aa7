//! Reads the requests of dkms and writes the replies ([`dkms_bundle::protocol`]).

use std::io::{BufRead, Read, Write};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use dkms_bundle::protocol::{Greeting, MAX_LINE, PROTOCOL, Reply, Request, VERSION};

use crate::address::Registry;
use crate::certificates::{Certificates, CertificatesError};
use crate::client::Client;
use crate::confine::{self, ConfinementError};
use crate::credentials::Vault;
use crate::failure::{Failure, Local, Unusable};
use crate::proxy::Proxies;
use crate::registry::{self, Publication, Pushed};
use crate::session::{Context, Logins};
use crate::sources::Sources;
use crate::{command_line, helpers};

/// Requests that are handled at the same time.
const WORKERS: usize = 4;
/// Requests that wait for a worker.
const QUEUE: usize = 64;

/// The reason why this program stops handling requests.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// Reading the input or starting a thread failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The spool cannot be used, or the process cannot be confined.
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
    /// The other side speaks another protocol.
    #[error(
        "the caller speaks '{}' version {}, and this is {PROTOCOL} version {VERSION}: install the packages dkms \
         and dkms-registry in the same version",
        .0.protocol, .0.version
    )]
    Greeting(Greeting),
    /// A request is too long.
    #[error("a line of the input is longer than {MAX_LINE} bytes")]
    TooLong,
    /// A request cannot be parsed.
    #[error("a line of the input cannot be parsed: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The certificates of the environment or of dkms cannot be read.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
}

/// Handles requests until the input ends.
///
/// # Errors
/// The spool is not usable, the process cannot be confined, or the input cannot be parsed.
pub(crate) fn run(spool: &Path) -> Result<(), ServeError> {
    confine::enter(spool)?;
    if confine::is_interactive() {
        command_line::complain("reading requests, one JSON value per line; see dkms-registry(8)", 0);
    }
    let mut input = std::io::stdin().lock();
    let output = Output::default();
    output.write(&Greeting::ours());
    let Some(line) = read_line(&mut input)? else { return Ok(()) };
    check_greeting(&line)?;
    // Everything that needs the caller's privileges happens before the first request is handled.
    let Some(first) = read_line(&mut input)? else { return Ok(()) };
    let first: Request = parse(&first)?;
    let mut vault = Vault::read();
    for (source, error) in helpers::add_passwords(&mut vault, sources_of(&first)) {
        output.write(&Reply::Warning { source, reason: error.to_string() });
    }
    let certificates = Certificates::read()?;
    let client = Client::new(certificates, Proxies::from_environment());
    for missing in confine::confine()? {
        command_line::complain(&missing.to_string(), 0);
    }
    let context = Context { client, vault, logins: Logins::default() };
    handle_requests(&Server { context, sources: Sources::default(), output }, first, &mut input)
}

fn check_greeting(line: &[u8]) -> Result<(), ServeError> {
    let greeting: Greeting = parse(line)?;
    if greeting.protocol != PROTOCOL || greeting.version != VERSION {
        return Err(ServeError::Greeting(greeting));
    }
    Ok(())
}

fn sources_of(request: &Request) -> &[String] {
    match request {
        Request::Lookup { sources, .. } => sources,
        Request::Fetch { source, .. } | Request::Push { source, .. } => std::slice::from_ref(source),
    }
}

/// Reads one line; `None` at the end of the input.
fn read_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, ServeError> {
    let mut line = Vec::new();
    input.take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
    if line.len() > MAX_LINE {
        return Err(ServeError::TooLong);
    }
    if line.is_empty() { Ok(None) } else { Ok(Some(line)) }
}

fn parse<T: serde::de::DeserializeOwned>(line: &[u8]) -> Result<T, ServeError> {
    Ok(serde_json::from_slice(line)?)
}

/// Passes requests to the worker threads, and waits for the threads at the end of the input.
fn handle_requests(server: &Server, first: Request, input: &mut impl BufRead) -> Result<(), ServeError> {
    let (sender, receiver) = mpsc::sync_channel::<Request>(QUEUE);
    let receiver = Arc::new(Mutex::new(receiver));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            let receiver = receiver.clone();
            std::thread::Builder::new().spawn_scoped(scope, move || {
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(request) = next else { return };
                    server.handle(request);
                }
            })?;
        }
        let mut next = Some(first);
        while let Some(request) = next {
            if sender.send(request).is_err() {
                break;
            }
            next = read_line(input)?.map(|line| parse(&line)).transpose()?;
        }
        drop(sender);
        Ok(())
    })
}

/// Standard output, where each line is one JSON value.
#[derive(Default)]
struct Output(Mutex<()>);

impl Output {
    fn write(&self, value: &impl serde::Serialize) {
        let _guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(mut line) = serde_json::to_vec(value) else { return };
        line.push(b'\n');
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(&line).and_then(|()| stdout.flush()).is_err() {
            // dkms has closed the pipe.
            std::process::exit(0);
        }
    }
}

struct Server {
    context: Context,
    sources: Sources,
    output: Output,
}

impl Server {
    fn handle(&self, request: Request) {
        let id = request.id();
        // A bug in a library must not affect other requests.
        let answer = std::panic::catch_unwind(AssertUnwindSafe(|| self.answer(request)));
        let reply = answer.unwrap_or_else(|_| Reply::Failed { id, reason: "an internal error".into() });
        self.output.write(&reply);
    }

    fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Lookup { id, sources, repository, tag } => self.look_up(id, sources, &repository, &tag),
            Request::Fetch { id, source, repository, digest, size } => {
                let file = format!("fetched-{id}");
                let result = self.with_registry(&source, |registry| {
                    registry::fetch(&self.context, registry, &repository, (&digest, size), &file)
                });
                match result {
                    Ok(()) => Reply::Fetched { id, file },
                    Err(failure) => Reply::Failed { id, reason: failure.to_string() },
                }
            }
            Request::Push { id, source, repository, tag, manifest, blobs, replace } => {
                let publication = Publication { tag: &tag, manifest: &manifest, blobs: &blobs, replace };
                let result = self.with_registry(&source, |registry| {
                    registry::push(&self.context, registry, &repository, &publication)
                });
                match result {
                    Ok(Pushed::New(digest)) => Reply::Pushed { id, digest },
                    Ok(Pushed::Exists) => Reply::Exists { id },
                    Err(failure) => Reply::Failed { id, reason: failure.to_string() },
                }
            }
        }
    }

    /// Looks for a tag in the first source that has it. If a source fails, the next one is tried.
    fn look_up(&self, id: u64, sources: Vec<String>, repository: &str, tag: &str) -> Reply {
        for source in sources {
            let result = self.sources.run(&source, || {
                let registry = Registry::parse(&source).map_err(Local::Address)?;
                registry::look_up(&self.context, &registry, repository, tag)
            });
            match result {
                Some(Ok(found)) => {
                    return Reply::Found { id, source, digest: found.digest, manifest: found.manifest };
                }
                None | Some(Err(Failure::Missing)) => {}
                Some(Err(failure)) => self.warn(source, &failure),
            }
        }
        Reply::Missing { id }
    }

    fn warn(&self, source: String, failure: &Failure) {
        if self.sources.is_first_warning(&source) {
            self.output.write(&Reply::Warning { source, reason: failure.to_string() });
        }
    }

    /// Runs `work` with a registry, unless the registry failed before.
    fn with_registry<T>(
        &self,
        source: &str,
        work: impl FnOnce(&Registry) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let registry = Registry::parse(source).map_err(Local::Address)?;
        self.sources.run(source, || work(&registry)).unwrap_or(Err(Unusable::FailedBefore.into()))
    }
}
