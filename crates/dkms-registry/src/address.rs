//! Addresses: of registries, as they are configured, and of requests, as registries send them.

use ureq::http::Uri;

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// Whether with TLS.
    pub(crate) secure: bool,
    /// Name or address, in lower case, brackets included.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
}

impl Server {
    /// Whether it is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// `HOST`, with `:PORT` unless that is the usual one.
    pub(crate) fn name(&self) -> String {
        if self.port == self.default_port() {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// `HOST` or `HOST:PORT`, as it is written in a configuration.
    pub(crate) fn names(&self) -> Vec<String> {
        let with_port = format!("{}:{}", self.host, self.port);
        if self.port == self.default_port() { vec![with_port, self.host.clone()] } else { vec![with_port] }
    }

    fn default_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }

    /// Whether this server may get the password of a registry that asks for a token from here: it has the
    /// same name, is below it, or both have TLS and the same domain (`registry.example.org` and
    /// `auth.example.org`).
    pub(crate) fn belongs_to(&self, registry: &Server) -> bool {
        if self.host == registry.host || (self.is_loopback() && registry.is_loopback()) {
            return true;
        }
        let is_address = |host: &str| host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        if !self.secure || !registry.secure || is_address(&self.host) || is_address(&registry.host) {
            return false;
        }
        let domain = registry.host.split_once('.').map(|(_, domain)| domain).filter(|d| d.contains('.'));
        let is_below = |top: &str| self.host.strip_suffix(top).is_some_and(|rest| rest.ends_with('.'));
        is_below(&registry.host) || domain.is_some_and(|domain| self.host == domain || is_below(domain))
    }

    /// Whether a server may send a client to this one: to one without TLS only from one without TLS, and only
    /// to the same machine.
    pub(crate) fn may_follow(&self, from: &Server) -> bool {
        self.secure
            || (!from.secure && (self.host == from.host || (self.is_loopback() && from.is_loopback())))
    }
}

/// The address of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The server.
    pub(crate) server: Server,
    /// Path and query, with a slash in front.
    pub(crate) path: String,
}

impl Address {
    /// An absolute address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        // Passwords in addresses are for phishing.
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host().to_ascii_lowercase();
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // What follows the host is no port.
            None if authority.as_str() != authority.host() => return None,
            None if secure => 443,
            None => 80,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        (!host.is_empty()).then_some(Self { server: Server { secure, host, port }, path })
    }

    /// What a `Location` header means in an answer from here.
    pub(crate) fn follow(&self, location: &str) -> Option<Self> {
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.server.secure { "https" } else { "http" };
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        if location.starts_with('/') {
            return Some(Self { server: self.server.clone(), path: location.to_owned() });
        }
        Self::parse(location)
    }

    /// With a parameter added to the query.
    pub(crate) fn with_parameter(&self, name: &str, value: &str) -> Self {
        let sign = if self.path.contains('?') { '&' } else { '?' };
        let path = format!("{}{sign}{name}={}", self.path, encode(value));
        Self { server: self.server.clone(), path }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.server.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.server.host, self.server.port, self.path)
    }
}

/// Escapes a value for a query.
pub(crate) fn encode(value: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    value.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Why a text cannot be used as an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("'{0}' is not a registry: HOST[:PORT]/PREFIX is expected")]
    NotARegistry(String),
    #[error("'{0}' cannot be the name of a repository")]
    NotARepository(String),
}

/// A registry and a prefix, as in `registry=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registry {
    /// Its server.
    pub(crate) server: Server,
    /// Below which its repositories are; may be empty.
    pub(crate) prefix: String,
}

impl Registry {
    /// `HOST[:PORT][/PREFIX]`, with `http://` in front for one without TLS. A registry on this machine has no
    /// TLS, unless `https://` is in front.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::NotARegistry(text.to_owned());
        let explicit = text.contains("://");
        let address = if explicit { text.to_owned() } else { format!("https://{text}") };
        let Address { mut server, path } = Address::parse(&address).ok_or_else(wrong)?;
        if !explicit && server.is_loopback() {
            let Address { server: plain, .. } =
                Address::parse(&format!("http://{text}")).ok_or_else(wrong)?;
            server = plain;
        }
        // The name of Docker's registry for people is not that of the server.
        if server.host == "docker.io" || server.host == "index.docker.io" {
            server.host = "registry-1.docker.io".into();
        }
        let prefix = path.trim_matches('/').to_owned();
        if !prefix.is_empty() && !is_repository(&prefix) {
            return Err(wrong());
        }
        Ok(Self { server, prefix })
    }

    /// The name of a repository below the prefix.
    pub(crate) fn repository(&self, name: &str) -> Result<String, AddressError> {
        let full = if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) };
        if is_repository(&full) { Ok(full) } else { Err(AddressError::NotARepository(full)) }
    }

    /// The address of something in a repository.
    pub(crate) fn address(&self, repository: &str, rest: &str) -> Address {
        Address { server: self.server.clone(), path: format!("/v2/{repository}/{rest}") }
    }
}

/// Names of lower-case letters, digits and separators, between slashes, as the distribution specification has
/// it.
fn is_repository(name: &str) -> bool {
    let is_part = |part: &str| {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ends = |b: Option<&u8>| b.is_some_and(|b| alphanumeric(*b));
        let bytes = part.as_bytes();
        ends(bytes.first())
            && ends(bytes.last())
            && bytes.iter().all(|b| alphanumeric(*b) || b"._-".contains(b))
    };
    name.len() <= 255 && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_understood() {
        let of = |text: &str| {
            Registry::parse(text).map(|r| (r.server.secure, r.server.host, r.server.port, r.prefix))
        };
        let ok =
            |secure, host: &str, port, prefix: &str| Ok((secure, host.to_owned(), port, prefix.to_owned()));
        assert_eq!(of("registry.example/dkms"), ok(true, "registry.example", 443, "dkms"));
        assert_eq!(of("Registry.example:5000/a/b/"), ok(true, "registry.example", 5000, "a/b"));
        assert_eq!(of("http://registry.example/x"), ok(false, "registry.example", 80, "x"));
        assert_eq!(of("127.0.0.1:5000/x"), ok(false, "127.0.0.1", 5000, "x"));
        assert_eq!(of("localhost/x"), ok(false, "localhost", 80, "x"));
        assert_eq!(of("[2001:db8::1]:5000/x"), ok(true, "[2001:db8::1]", 5000, "x"));
        assert_eq!(of("xn--registr-p2a.example/x"), ok(true, "xn--registr-p2a.example", 443, "x"));
        assert_eq!(of("[::1]:5000"), ok(false, "[::1]", 5000, ""));
        assert_eq!(of("https://localhost:5000/x"), ok(true, "localhost", 5000, "x"));
        assert_eq!(of("docker.io/me"), ok(true, "registry-1.docker.io", 443, "me"));
        for wrong in [
            "",
            "ftp://x/y",
            "user:pw@host/x",
            "host/../x",
            "host/X",
            "host/a//b",
            "host/a?b",
            "a b/c",
            "host:/x",
            "/x",
            "registr\u{fc}.example/x",
            "host:99999/x",
            "[::1/x",
        ] {
            assert!(of(wrong).is_err(), "{wrong}: {:?}", of(wrong));
        }
        let registry = Registry::parse("registry.example/a").expect("parse");
        assert_eq!(registry.repository("hello").as_deref(), Ok("a/hello"));
        for wrong in ["Hello", "..", "a/../b", "", "a/", "-a", "a?x"] {
            assert!(registry.repository(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn locations_are_followed() {
        let here = Address::parse("https://a.example/v2/x?y").expect("parse");
        let to = |location: &str| here.follow(location).map(|address| address.to_string());
        assert_eq!(to("/v2/z"), Some("https://a.example:443/v2/z".into()));
        assert_eq!(to("//b.example/z"), Some("https://b.example:443/z".into()));
        assert_eq!(to("https://b.example:1/z?q=1"), Some("https://b.example:1/z?q=1".into()));
        for wrong in ["ftp://x/", "https://u:p@b.example/", "z", "", "http://"] {
            assert_eq!(to(wrong), None, "{wrong}");
        }
        assert_eq!(here.with_parameter("d", "sha256:1 ").path, "/v2/x?y&d=sha256%3A1%20");
    }

    #[test]
    fn passwords_stay_in_the_domain_of_the_registry() {
        let server = |text: &str| Address::parse(text).expect("parse").server;
        for (registry, realm, belongs) in [
            ("https://registry-1.docker.io", "https://auth.docker.io", true),
            ("https://registry.gitlab.com", "https://gitlab.com", true),
            ("https://ghcr.io", "https://ghcr.io", true),
            ("https://ghcr.io", "https://auth.ghcr.io", true),
            ("https://registry.example.org:5000", "https://registry.example.org:5001", true),
            ("http://registry.example.org", "https://registry.example.org", true),
            ("http://127.0.0.1:5000", "http://localhost:5001", true),
            ("https://ghcr.io", "https://evil.io", false),
            ("https://example.org", "https://other.org", false),
            ("https://registry.example.org", "https://org", false),
            ("https://registry.example.org", "https://notexample.org", false),
            ("https://registry.example.org", "https://example.org.evil.net", false),
            ("https://registry.example.org", "http://auth.example.org", false),
            ("http://registry.example.org", "https://auth.example.org", false),
            ("https://10.0.0.1", "https://10.0.0.2", false),
            ("https://[2001:db8::1]", "https://[2001:db8::2]", false),
        ] {
            assert_eq!(server(realm).belongs_to(&server(registry)), belongs, "{registry} {realm}");
        }
    }

    #[test]
    fn nobody_is_sent_to_a_place_without_tls() {
        let server = |text: &str| Address::parse(text).expect("parse").server;
        let (secure, plain) = (server("https://a/"), server("http://a/"));
        let (local, other) = (server("http://127.0.0.1:1/"), server("http://localhost:2/"));
        for (from, to, allowed) in [
            (&secure, &plain, false),
            (&secure, &local, false),
            (&plain, &secure, true),
            (&plain, &server("http://a:1/"), true),
            (&plain, &server("http://b/"), false),
            (&plain, &local, false),
            (&local, &other, true),
            (&local, &plain, false),
        ] {
            assert_eq!(to.may_follow(from), allowed, "{from:?} {to:?}");
        }
    }
}
