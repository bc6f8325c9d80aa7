//! Sends requests to one repository of a registry: follows redirects, and logs in if the registry requires
//! it.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::Deserialize;

use crate::address::{Address, Registry, Server, encode};
use crate::challenge::{self, Challenge};
use crate::client::{Answer, Client, Payload};
use crate::credentials::{Credentials, Vault};
use crate::deadline::Deadline;
use crate::failure::{Advice, Denied, Failure, Local, Unusable};

/// More redirects than this are treated as a loop.
const MAX_REDIRECTS: usize = 5;
/// The maximum size of a token server's answer in bytes. Some tokens contain certificates.
const MAX_TOKEN: u64 = 256 * 1024;

/// The access that a login must permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    /// To read.
    Pull,
    /// To write.
    Push,
}

/// Values of the header `Authorization` that a registry has accepted, by server, repository and access.
#[derive(Default)]
pub(crate) struct Logins(Mutex<HashMap<(Server, String, Access), String>>);

/// The state that all requests share.
pub(crate) struct Context {
    /// Sends HTTP requests.
    pub(crate) client: Client,
    /// Passwords.
    pub(crate) vault: Vault,
    /// Logins that registries have accepted.
    pub(crate) logins: Logins,
}

/// A request of dkms to one repository, which may need several HTTP requests.
pub(crate) struct Session<'a> {
    context: &'a Context,
    registry: &'a Registry,
    repository: String,
    access: Access,
    /// The token server of the registry, if the registry's password was not sent to it.
    foreign_token_server: OnceLock<String>,
    deadline: Deadline,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl<'a> Session<'a> {
    /// Prepares requests to a repository. This does not open a connection.
    pub(crate) fn new(
        context: &'a Context,
        registry: &'a Registry,
        repository: &str,
        access: Access,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let repository = registry.repository(repository).map_err(Local::Address)?;
        Ok(Self { context, registry, repository, access, foreign_token_server: OnceLock::new(), deadline })
    }

    /// The address of a manifest, blob or upload in the repository.
    pub(crate) fn address(&self, rest: &str) -> Address {
        self.registry.address(&self.repository, rest)
    }

    /// Sends a request, logs in if the registry requires it, and follows redirects of requests without a
    /// body. A token is sent only to the registry's own server. The password is sent only to that server and
    /// to a token server that [`Server::may_get_password_of`] accepts.
    pub(crate) fn send(
        &self,
        method: &str,
        address: &Address,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> Result<Answer, Failure> {
        let mut address = address.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send_with_login(method, &address, headers, payload)?;
            let redirected = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
            if !redirected || !matches!(payload, Payload::None) || method == "POST" {
                return Ok(answer);
            }
            let location = answer.header("location").unwrap_or_default();
            let nowhere = || Unusable::RedirectNowhere(location.to_owned());
            let next = address.follow(location).ok_or_else(nowhere)?;
            if !next.server.may_follow(&address.server) {
                return Err(Unusable::RedirectWithoutTls(next.to_string()).into());
            }
            address = next;
        }
        Err(Unusable::RedirectLoop(MAX_REDIRECTS).into())
    }

    fn send_with_login(
        &self,
        method: &str,
        address: &Address,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> Result<Answer, Failure> {
        let is_own = address.server == self.registry.server;
        let known = if is_own { self.context.logins.get(self) } else { None };
        let send = |authorization: Option<&str>| {
            let login = authorization.map(|value| ("authorization", value));
            let headers: Vec<(&str, &str)> = headers.iter().copied().chain(login).collect();
            self.context.client.send(method, address, &headers, payload, self.deadline)
        };
        let answer = send(known.as_deref())?;
        if answer.status != 401 || !is_own {
            return Ok(answer);
        }
        let challenge = challenge::parse(answer.headers("www-authenticate"));
        let challenge = challenge.ok_or(Denied::UnknownLogin)?;
        let Some(authorization) = self.log_in(&challenge)? else {
            return Ok(answer);
        };
        // The registry would refuse the same login again.
        if known.as_ref() == Some(&authorization) {
            return Ok(answer);
        }
        let answer = send(Some(&authorization))?;
        if answer.status != 401 {
            self.context.logins.put(self, authorization);
        }
        Ok(answer)
    }

    /// Returns the value of the header `Authorization`; `None` if a password is required and none is
    /// configured.
    fn log_in(&self, challenge: &Challenge) -> Result<Option<String>, Failure> {
        let credentials = self.context.vault.find(self.registry);
        match challenge {
            Challenge::Basic => Ok(credentials.and_then(Credentials::basic)),
            Challenge::Bearer { realm, service, scope } => {
                let realm = Address::parse(realm)
                    .filter(|address| address.server.may_follow(&self.registry.server))
                    .ok_or_else(|| Unusable::TokenAddress(realm.clone()))?;
                let credentials = if realm.server.may_get_password_of(&self.registry.server) {
                    credentials
                } else {
                    let own = self.context.vault.find_for_server(&realm.server);
                    if credentials.is_some() && own.is_none() {
                        self.foreign_token_server.get_or_init(|| realm.server.name());
                    }
                    own
                };
                self.fetch_token(&realm, service.as_deref(), scope.as_deref(), credentials).map(Some)
            }
        }
    }

    fn fetch_token(
        &self,
        realm: &Address,
        service: Option<&str>,
        scope: Option<&str>,
        credentials: Option<&Credentials>,
    ) -> Result<String, Failure> {
        // The first request of a push only reads, and the registry names only that permission.
        let own_scope = match self.access {
            Access::Push => format!("repository:{}:pull,push", self.repository),
            Access::Pull => format!("repository:{}:pull", self.repository),
        };
        let scope = scope.filter(|_| self.access == Access::Pull).unwrap_or(&own_scope);
        let client = &self.context.client;
        let answer = match credentials {
            Some(Credentials::IdentityToken(token)) => {
                let form = format!(
                    "grant_type=refresh_token&client_id=dkms&service={}&scope={}&refresh_token={}",
                    encode(service.unwrap_or_default()),
                    encode(scope),
                    encode(token)
                );
                let headers = [("content-type", "application/x-www-form-urlencoded")];
                client.send("POST", realm, &headers, Payload::Bytes(form.as_bytes()), self.deadline)?
            }
            credentials => {
                let mut address = realm.clone();
                if let Some(service) = service {
                    address = address.with_parameter("service", service);
                }
                let address = address.with_parameter("scope", scope);
                let basic = credentials.and_then(Credentials::basic);
                let headers: Vec<(&str, &str)> =
                    basic.iter().map(|value| ("authorization", value.as_str())).collect();
                client.send("GET", &address, &headers, Payload::None, self.deadline)?
            }
        };
        match answer.status {
            200 => {}
            400..=499 => return Err(self.refusal(answer.status).into()),
            status => return Err(Unusable::TokenStatus(status).into()),
        }
        let token: Token = serde_json::from_slice(&answer.read(MAX_TOKEN)?).map_err(Unusable::TokenSyntax)?;
        let token = if token.token.is_empty() { token.access_token } else { token.token };
        let is_valid = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        if is_valid { Ok(format!("Bearer {token}")) } else { Err(Unusable::NoToken.into()) }
    }

    /// The error if access was refused, with the likely reason.
    fn refusal(&self, status: u16) -> Denied {
        let server = self.registry.server.name();
        let advice = match (self.foreign_token_server.get(), self.context.vault.find(self.registry)) {
            (Some(token_server), _) => {
                Advice::TokensElsewhere { token_server: token_server.clone(), server: server.clone() }
            }
            (None, Some(_)) => Advice::BadPassword,
            (None, None) => Advice::NoPassword,
        };
        Denied::Access {
            name: format!("{server}/{}", self.repository),
            status,
            advice,
            problems: self.context.vault.problems.clone(),
        }
    }

    /// The error for an unexpected status of an answer.
    pub(crate) fn failure(&self, status: u16) -> Failure {
        match status {
            401 | 403 => self.refusal(status).into(),
            404 => Failure::Missing,
            429 => Unusable::TooManyRequests.into(),
            status => Unusable::Status(status).into(),
        }
    }
}

impl Logins {
    fn get(&self, session: &Session<'_>) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&Self::key(session)).cloned()
    }

    fn put(&self, session: &Session<'_>, authorization: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(Self::key(session), authorization);
    }

    fn key(session: &Session<'_>) -> (Server, String, Access) {
        (session.registry.server.clone(), session.repository.clone(), session.access)
    }
}
