//! Reads proxies from the environment, in the same variables as curl.

use ureq::Proxy;

use crate::address::Server;

/// The proxy's address is wrong. It is not printed, because it may contain a password.
#[derive(Debug, thiserror::Error)]
#[error("the proxy in the environment cannot be used: its address is wrong")]
pub(crate) struct BadProxy;

/// The values of these variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    none: String,
}

impl Proxies {
    /// Reads the environment.
    pub(crate) fn from_environment() -> Self {
        Self::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let any = |names: &[&str]| names.iter().find_map(|name| variable(name));
        Self {
            http: any(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            https: any(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            none: any(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
        }
    }

    /// The proxy for a server; `None` for this machine and for servers in `no_proxy`.
    pub(crate) fn find(&self, server: &Server) -> Result<Option<Proxy>, BadProxy> {
        let url = if server.secure { &self.https } else { &self.http };
        let Some(url) = url.as_deref().filter(|_| !server.is_loopback() && !self.is_excluded(server)) else {
            return Ok(None);
        };
        Proxy::new(url).map(Some).map_err(|_| BadProxy)
    }

    fn is_excluded(&self, server: &Server) -> bool {
        self.none.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
            let (name, port) = match entry.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
                    (name, port.parse::<u16>().ok())
                }
                _ => (entry, None),
            };
            let name = name.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
            let matches = name == "*"
                || server.host == name
                || server.host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'));
            matches && port.is_none_or(|port| port == server.port)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    #[test]
    fn the_right_servers_are_behind_the_proxy() {
        let proxies = Proxies::new(|name| match name {
            "HTTPS_PROXY" => Some("http://proxy.example:3128".into()),
            "no_proxy" => {
                Some("internal.example, .corp.example,*.lab.example,10.0.0.1,port.example:5000".into())
            }
            _ => None,
        });
        for (url, behind) in [
            ("https://registry.example/", true),
            ("http://registry.example/", false),
            ("https://localhost/", false),
            ("https://127.0.0.1/", false),
            ("https://internal.example/", false),
            ("https://a.internal.example/", false),
            ("https://notinternal.example/", true),
            ("https://x.corp.example/", false),
            ("https://x.lab.example/", false),
            ("https://10.0.0.1/", false),
            ("https://port.example:5000/", false),
            ("https://port.example/", true),
        ] {
            let server = Address::parse(url).expect("parse").server;
            assert_eq!(proxies.find(&server).expect("proxy").is_some(), behind, "{url}");
        }
        let all = Proxies::new(|name| match name {
            "ALL_PROXY" => Some("nonsense://user:secret@proxy.example".into()),
            _ => None,
        });
        let error =
            all.find(&Address::parse("http://a.example/").expect("parse").server).expect_err("refused");
        assert!(!error.to_string().contains("secret"));
        let none = Proxies::new(|name| (name == "NO_PROXY").then(|| "*".to_owned()));
        assert!(none.is_excluded(&Address::parse("http://a.example/").expect("parse").server));
    }
}
