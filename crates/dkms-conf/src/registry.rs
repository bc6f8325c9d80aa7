//! Names of registries: `HOST[:PORT]/PREFIX`.

/// The format of a name, for help.
pub const HELP: &str =
    "HOST[:PORT]/PREFIX, such as registry.example.org/dkms; begin with http:// if it has no TLS";

/// Why the name of a registry is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRegistry {
    /// Another scheme.
    #[error("only http:// and https:// are allowed before the host")]
    Scheme,
    /// The host alone.
    #[error("'/' and a prefix are missing after the host")]
    NoPrefix,
    /// `USER:PASSWORD@`.
    #[error("passwords do not belong here: log in with 'docker login' or 'podman login'")]
    Password,
    /// The prefix is not allowed in names of repositories.
    #[error(
        "the prefix may only contain lower-case letters and digits, with single '.', '_' or '-' between them"
    )]
    Prefix,
    /// An IPv6 address without end.
    #[error("']' is missing")]
    NoBracket,
    /// Not an IPv6 address.
    #[error("the address in '[]' is invalid")]
    Address,
    /// Not a name or an IPv4 address.
    #[error("the host is invalid")]
    Host,
    /// Not a port.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

/// Checks the name of a registry.
///
/// # Errors
/// [`BadRegistry`]: why it is invalid.
pub fn check(name: &str) -> Result<(), BadRegistry> {
    let rest = name.strip_prefix("http://").or_else(|| name.strip_prefix("https://")).unwrap_or(name);
    if rest.contains("://") {
        return Err(BadRegistry::Scheme);
    }
    let Some((authority, prefix)) = rest.split_once('/') else {
        return Err(BadRegistry::NoPrefix);
    };
    if authority.contains('@') {
        return Err(BadRegistry::Password);
    }
    check_authority(authority)?;
    if name.len() > 255 || !prefix.split('/').all(is_component) {
        return Err(BadRegistry::Prefix);
    }
    Ok(())
}

/// The name, below the prefix, of the repository with the builds of a package. Registries accept only
/// lower-case names, so other names are changed, and a digest of the original name is appended to keep them
/// unique.
pub fn repository(package: &str, digest: impl FnOnce(&str) -> String) -> String {
    if package.len() <= 100 && is_component(package) {
        return package.to_owned();
    }
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let words: String = package.chars().take(60).map(allowed).collect();
    let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
    let mark: String = digest(package).chars().take(12).collect();
    if words.is_empty() { format!("x{mark}") } else { format!("{}-x{mark}", words.join("-")) }
}

fn check_authority(authority: &str) -> Result<(), BadRegistry> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(address) => {
            let (address, port) = address.split_once(']').ok_or(BadRegistry::NoBracket)?;
            if address.is_empty() || !address.chars().all(|c| c.is_ascii_hexdigit() || c == ':') {
                return Err(BadRegistry::Address);
            }
            ("ipv6", port.strip_prefix(':').or((!port.is_empty()).then_some("")))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if host.is_empty() || host.starts_with(['-', '.']) || !host.chars().all(valid) {
        return Err(BadRegistry::Host);
    }
    let is_port = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if port.is_some_and(|port| !is_port(port)) {
        return Err(BadRegistry::Port);
    }
    Ok(())
}

/// Whether a text is a valid component of a repository's name.
fn is_component(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(|b| is_plain(*b)) && bytes.last().is_some_and(|b| is_plain(*b));
    let separated = |pair: &[u8]| is_plain(pair[0]) || is_plain(pair[1]);
    ends && bytes.iter().all(|b| is_plain(*b) || b"._-".contains(b)) && bytes.windows(2).all(separated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_registries() {
        for name in [
            "registry.example.org/dkms",
            "localhost:5000/a/b-c/d.e",
            "http://127.0.0.1:5000/dkms",
            "https://r.example/x",
            "[::1]:5000/dkms",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "/",
            "host",
            "host/",
            "host:/x",
            "host:0/x",
            "host:65536/x",
            "host:5000",
            "ftp://h/x",
            "host/X",
            "host/a//b",
            "host/../x",
            "host/a--b",
            "-host/x",
            "user@host/x",
            "host/x?y",
            "[::1/x",
            "[::1]x/y",
        ] {
            assert!(check(name).is_err(), "{name}");
        }
    }

    #[test]
    fn repositories_of_packages() {
        let digest = |_: &str| "0123456789abcdef".to_owned();
        assert_eq!(repository("zfs-2.1_x", digest), "zfs-2.1_x");
        assert_eq!(repository("NVIDIA", digest), "nvidia-x0123456789ab");
        assert_eq!(repository("a+b--c", digest), "a-b-c-x0123456789ab");
        assert_eq!(repository("++", digest), "x0123456789ab");
        for name in ["NVIDIA", "a+b--c", "++", "-x-"] {
            assert!(is_component(&repository(name, digest)));
        }
    }
}
