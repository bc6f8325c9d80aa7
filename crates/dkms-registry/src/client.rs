//! Sends single HTTP requests within time limits. There is one agent per server, which reuses its
//! connections.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dkms_sys::IoError;
use rustls::crypto::CryptoProvider;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{TlsConfig, TlsProvider};
use ureq::{Agent, AsSendBody, Body, Timeout};

use crate::address::{Address, Server};
use crate::certificates::Certificates;
use crate::deadline::{CONNECT, Deadline, FIRST_BYTE, LONGEST_PAUSE, SHORTEST_PAUSE};
use crate::failure::{Content, Failure, Local, Refused, Unusable};
use crate::proxy::Proxies;

/// The body of a request.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    /// No body.
    None,
    /// These bytes.
    Bytes(&'a [u8]),
    /// A file of this size.
    File(&'a File, u64),
}

/// An answer whose body is not read yet.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    headers: HeaderMap,
    /// The body.
    pub(crate) body: Body,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Reads the body. It is an error if it is longer than `limit` bytes.
    pub(crate) fn read(mut self, limit: u64) -> Result<Vec<u8>, Failure> {
        if self.body.content_length().is_some_and(|length| length > limit) {
            return Err(Content::TooLong(limit).into());
        }
        self.body.with_config().limit(limit.saturating_add(1)).read_to_vec().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => Content::TooLong(limit).into(),
            error => failure_of(error),
        })
    }
}

/// Sends requests.
pub(crate) struct Client {
    certificates: Certificates,
    proxies: Proxies,
    provider: Arc<CryptoProvider>,
    agents: Mutex<HashMap<Server, Agent>>,
    /// Servers that have answered. If one of them does not answer later, it is busy.
    alive: Mutex<HashSet<Server>>,
}

impl Client {
    /// Creates a client without open connections.
    pub(crate) fn new(certificates: Certificates, proxies: Proxies) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Self { certificates, proxies, provider, agents: Mutex::default(), alive: Mutex::default() }
    }

    /// Sends one request. Redirects and refusals are answers, not errors.
    ///
    /// If the server is busy, a request without a body is retried until the deadline, because a thousand
    /// machines may send requests at the same moment. A server that has never answered gets at most two
    /// attempts. The first answer must begin within [`FIRST_BYTE`]. If the server has answered before, or in
    /// later attempts, the answer may begin at any time before the deadline: to give up and retry early would
    /// only add to its load.
    pub(crate) fn send(
        &self,
        method: &str,
        address: &Address,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let repeatable = matches!(payload, Payload::None);
        let known = self.is_alive(&address.server);
        let mut begin = if known { deadline.left_to_begin() } else { FIRST_BYTE };
        let mut attempt = 0;
        loop {
            let result = self.send_once(method, address, headers, payload, (deadline, begin));
            let is_alive = self.update_alive(&address.server, &result);
            let pause =
                retry_pause(&result, attempt, is_alive).filter(|pause| deadline.has_time_after(*pause));
            match pause.filter(|_| repeatable && (is_alive || attempt == 0)) {
                Some(pause) => std::thread::sleep(pause),
                None => return result,
            }
            begin = deadline.left_to_begin();
            attempt += 1;
        }
    }

    /// Remembers that a server has answered. Returns whether it has ever answered.
    fn update_alive(&self, server: &Server, result: &Result<Answer, Failure>) -> bool {
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if result.is_ok() {
            alive.insert(server.clone());
        }
        alive.contains(server)
    }

    fn is_alive(&self, server: &Server) -> bool {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).contains(server)
    }

    fn send_once(
        &self,
        method: &str,
        address: &Address,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
        (deadline, begin): (Deadline, Duration),
    ) -> Result<Answer, Failure> {
        let left = deadline.left().ok_or(Unusable::Timeout)?;
        let agent = self.agent(&address.server)?;
        let mut request = Request::builder().method(method).uri(address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut payload, mut empty) = (payload, ());
        let body = match &mut payload {
            Payload::None => empty.as_body(),
            Payload::Bytes(bytes) => bytes.as_body(),
            Payload::File(file, size) => {
                let rewound = file.seek(SeekFrom::Start(0));
                rewound.map_err(|e| Local::Io(IoError::new("read", "the file to upload", e)))?;
                request = request.header("content-length", *size);
                file.as_body()
            }
        };
        let request = request.body(body).map_err(Content::Request)?;
        let limited = agent.configure_request(request).timeout_global(Some(left));
        let request = limited.timeout_recv_response(Some(begin)).build();
        let (parts, body) = agent.run(request).map_err(failure_of)?.into_parts();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    fn agent(&self, server: &Server) -> Result<Agent, Failure> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(server) {
            return Ok(agent.clone());
        }
        let proxy = self.proxies.find(server).map_err(Unusable::Proxy)?;
        let mut tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(self.provider.clone());
        let needs_certificates =
            server.secure || proxy.as_ref().is_some_and(|p| p.uri().scheme_str() == Some("https"));
        if needs_certificates {
            tls = tls.root_certs(self.certificates.find(server).map_err(Unusable::Certificates)?);
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .tls_config(tls.build())
            .user_agent(concat!("dkms-registry/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_send_request(Some(FIRST_BYTE))
            .max_idle_connections(8)
            .max_idle_connections_per_host(8)
            .build();
        let agent = Agent::new_with_config(config);
        agents.insert(server.clone(), agent.clone());
        Ok(agent)
    }
}

/// The pause before a retry; `None` if the server is not busy. The maximum pause grows with each attempt, and
/// a random part keeps clients that failed together from retrying together. A server that has answered before
/// and accepts no connection is busy.
fn retry_pause(result: &Result<Answer, Failure>, attempt: u32, is_alive: bool) -> Option<Duration> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let longest = LONGEST_PAUSE.min(SHORTEST_PAUSE.saturating_mul(1 << attempt.min(8)));
    let random = since.subsec_nanos() ^ std::process::id().rotate_left(16);
    let spread = longest / 1000 * (random % 1000);
    match result {
        Err(Failure::Late) => Some(spread),
        Err(Failure::Refused(_)) if is_alive => Some(spread),
        Ok(answer) if matches!(answer.status, 429 | 503) => {
            let seconds = answer.header("retry-after").and_then(|text| text.trim().parse().ok()).unwrap_or(1);
            Some(Duration::from_secs(seconds).saturating_add(spread))
        }
        _ => None,
    }
}

/// The failure that an error of a connection causes.
fn failure_of(error: ureq::Error) -> Failure {
    let reason = match error {
        ureq::Error::Timeout(Timeout::Connect) => return Refused::Timeout.into(),
        ureq::Error::Timeout(Timeout::RecvResponse) => return Failure::Late,
        ureq::Error::Io(e) if is_refusal(&e) => return Refused::Connection(e).into(),
        ureq::Error::Timeout(Timeout::Resolve) => Unusable::NameTimeout,
        ureq::Error::Timeout(_) => Unusable::Timeout,
        ureq::Error::HostNotFound => Unusable::NoName,
        ureq::Error::Io(e) => Unusable::Connection(e),
        error => Unusable::Http(error),
    };
    reason.into()
}

/// The failure that an error in the middle of a transfer causes.
pub(crate) fn transfer_failure(error: std::io::Error) -> Failure {
    if error.get_ref().is_some_and(|inner| inner.is::<ureq::Error>()) {
        if let Some(Ok(inner)) = error.into_inner().map(|inner| inner.downcast()) {
            return failure_of(*inner);
        }
        return Unusable::Timeout.into();
    }
    Unusable::Connection(error).into()
}

/// Returns whether a connection was not accepted, or was closed before the answer. A server with too many
/// connections does that too.
fn is_refusal(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
    )
}
