//! Parses the addresses of registries in the configuration, and the addresses that registries send.

use ureq::http::Uri;

/// The server of Docker's registry.
pub(crate) const DOCKER_REGISTRY: &str = "registry-1.docker.io";

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// Whether it uses TLS.
    pub(crate) secure: bool,
    /// Name or IP address, in lower case. An IPv6 address has brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

/// The parent domain of a host, unless it looks like a public suffix, such as `co.uk` or `com.au`: anyone can
/// register a name below it. There is no list of public suffixes here. A name with one label counts as one, and
/// so does a name with two labels of at most three and exactly two letters.
fn domain(host: &str) -> Option<&str> {
    let (_, parent) = host.split_once('.')?;
    let (first, rest) = parent.split_once('.')?;
    let is_public_suffix = first.len() <= 3 && rest.len() == 2;
    (!is_public_suffix).then_some(parent)
}

impl Server {
    /// Returns whether it is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// `HOST`, or `HOST:PORT` if it is not the default port.
    pub(crate) fn name(&self) -> String {
        if self.port == self.default_port() {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The names that configuration files may use: `HOST:PORT`, and `HOST` for the default port.
    pub(crate) fn names(&self) -> Vec<String> {
        let with_port = format!("{}:{}", self.host, self.port);
        if self.port == self.default_port() { vec![with_port, self.host.clone()] } else { vec![with_port] }
    }

    fn default_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }

    /// Returns whether the password of a registry may be sent to this server if the registry names it as its
    /// token server.
    ///
    /// That is the case if both have the same name, or both have TLS and one name is below the other, or both
    /// are in one [`domain`], such as `registry.example.org` and `auth.example.org`, but not `a.co.uk` and
    /// `b.co.uk`.
    pub(crate) fn may_get_password_of(&self, registry: &Server) -> bool {
        if self.host == registry.host || (self.is_loopback() && registry.is_loopback()) {
            return true;
        }
        let is_ip = |host: &str| host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        if !self.secure || !registry.secure || is_ip(&self.host) || is_ip(&registry.host) {
            return false;
        }
        let is_below =
            |name: &str, parent: &str| name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
        is_below(&self.host, &registry.host)
            || (self.host.contains('.') && is_below(&registry.host, &self.host))
            || domain(&registry.host).is_some_and(|domain| is_below(&self.host, domain))
    }

    /// Returns whether `from` may redirect to this server. A server without TLS is only allowed if `from` has
    /// no TLS either and is on the same machine.
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
        // Addresses with passwords are used for phishing.
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host().to_ascii_lowercase();
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // The text after the host is not a port.
            None if authority.as_str() != authority.host() => return None,
            None if secure => 443,
            None => 80,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        (!host.is_empty()).then_some(Self { server: Server { secure, host, port }, path })
    }

    /// The address in a `Location` header of an answer from this address.
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

    /// This address with a parameter added to the query.
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

/// The reason why a text cannot be used as an address.
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
    /// The path above its repositories; may be empty.
    pub(crate) prefix: String,
}

impl Registry {
    /// Parses `HOST[:PORT][/PREFIX]`. A registry without TLS begins with `http://`. A registry on this
    /// machine has no TLS unless it begins with `https://`.
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::NotARegistry(text.to_owned());
        let has_scheme = text.contains("://");
        let with_scheme = |scheme: &str| Address::parse(&format!("{scheme}{text}")).ok_or_else(wrong);
        let mut address = with_scheme(if has_scheme { "" } else { "https://" })?;
        if !has_scheme && address.server.is_loopback() {
            address = with_scheme("http://")?;
        }
        let Address { mut server, path } = address;
        // Users know Docker's registry by these names.
        if server.host == "docker.io" || server.host == "index.docker.io" {
            server.host = DOCKER_REGISTRY.into();
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

    /// The address of a manifest, blob or upload in a repository.
    pub(crate) fn address(&self, repository: &str, rest: &str) -> Address {
        Address { server: self.server.clone(), path: format!("/v2/{repository}/{rest}") }
    }
}

/// Returns whether this is the name of a repository, as the OCI distribution specification defines it: words
/// of lower-case letters, digits and separators, with slashes between them.
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
    fn registries_are_parsed() {
        let parse = |text: &str| {
            Registry::parse(text).map(|r| (r.server.secure, r.server.host, r.server.port, r.prefix))
        };
        let ok =
            |secure, host: &str, port, prefix: &str| Ok((secure, host.to_owned(), port, prefix.to_owned()));
        assert_eq!(parse("registry.example/dkms"), ok(true, "registry.example", 443, "dkms"));
        assert_eq!(parse("Registry.example:5000/a/b/"), ok(true, "registry.example", 5000, "a/b"));
        assert_eq!(parse("http://registry.example/x"), ok(false, "registry.example", 80, "x"));
        assert_eq!(parse("127.0.0.1:5000/x"), ok(false, "127.0.0.1", 5000, "x"));
        assert_eq!(parse("localhost/x"), ok(false, "localhost", 80, "x"));
        assert_eq!(parse("[2001:db8::1]:5000/x"), ok(true, "[2001:db8::1]", 5000, "x"));
        assert_eq!(parse("xn--registr-p2a.example/x"), ok(true, "xn--registr-p2a.example", 443, "x"));
        assert_eq!(parse("[::1]:5000"), ok(false, "[::1]", 5000, ""));
        assert_eq!(parse("https://localhost:5000/x"), ok(true, "localhost", 5000, "x"));
        assert_eq!(parse("docker.io/me"), ok(true, "registry-1.docker.io", 443, "me"));
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
            assert!(parse(wrong).is_err(), "{wrong}: {:?}", parse(wrong));
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
    fn a_password_is_sent_only_to_token_servers_of_the_registry() {
        let server = |text: &str| Address::parse(text).expect("parse").server;
        for (registry, token_server, allowed) in [
            ("https://registry-1.docker.io", "https://auth.docker.io", true),
            ("https://registry.gitlab.com", "https://gitlab.com", true),
            ("https://ghcr.io", "https://ghcr.io", true),
            ("https://ghcr.io", "https://auth.ghcr.io", true),
            ("https://registry.example.org:5000", "https://registry.example.org:5001", true),
            ("http://registry.example.org", "https://registry.example.org", true),
            ("http://127.0.0.1:5000", "http://localhost:5001", true),
            ("https://quay.io", "https://quay.io", true),
            ("https://registry.gitlab.example.org", "https://gitlab.example.org", true),
            ("https://registry.example.org", "https://auth.example.org", true),
            ("https://registry.digitalocean.com", "https://api.digitalocean.com", true),
            ("https://registry.example.co.uk", "https://auth.example.co.uk", true),
            ("https://a.co.uk", "https://b.co.uk", false),
            ("https://a.com.au", "https://b.com.au", false),
            ("https://a.org", "https://b.org", false),
            ("https://registry.example.org", "https://auth.docker.io", false),
            ("https://ghcr.io", "https://evil.io", false),
            ("https://ghcr.io", "https://io", false),
            ("https://example.org", "https://other.org", false),
            ("https://registry.example.org", "https://org", false),
            ("https://registry.example.org", "https://notexample.org", false),
            ("https://registry.example.org", "https://example.org.evil.net", false),
            ("https://registry.example.org", "http://auth.example.org", false),
            ("http://registry.example.org", "https://auth.example.org", false),
            ("https://10.0.0.1", "https://10.0.0.2", false),
            ("https://[2001:db8::1]", "https://[2001:db8::2]", false),
        ] {
            let result = server(token_server).may_get_password_of(&server(registry));
            assert_eq!(result, allowed, "{registry} {token_server}");
        }
    }

    #[test]
    fn redirects_do_not_lead_to_servers_without_tls() {
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
