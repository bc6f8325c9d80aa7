//! Finds denied accesses in the log of a confined build. Programs usually print the path or the address that
//! they could not access.

use std::path::{Path, PathBuf};

/// An access that the sandbox denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Reading or writing this path.
    Path(PathBuf),
    /// The network, with the address if the log contains it.
    Network(Option<String>),
}

/// The number of lines at the end of the log that are searched.
const LINES: usize = 2000;

const PATH_ERRORS: [&str; 3] = ["Read-only file system", "Permission denied", "Operation not permitted"];
const NETWORK_ERRORS: [&str; 7] = [
    "Could not resolve host",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Network is unreachable",
    "unable to resolve host",
    "Failed to connect to",
    "Could not connect to",
];

/// The names of network connections in bash.
const CONNECTIONS: [&str; 2] = ["/dev/tcp/", "/dev/udp/"];

/// Finds the first denied access. Ignores paths in the build directory, because the sandbox does not restrict
/// them.
pub(crate) fn find(log: &str, build_dir: &Path) -> Option<Denied> {
    let lines: Vec<&str> = log.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LINES)).find_map(|line| in_line(line, build_dir))
}

fn in_line(line: &str, build_dir: &Path) -> Option<Denied> {
    if line.starts_with("# command:") {
        return None;
    }
    let connection =
        CONNECTIONS.iter().find_map(|name| line.split_whitespace().find_map(|w| w.strip_prefix(name)));
    if let (Some(address), true) = (connection, line.contains(": ")) {
        return Some(Denied::Network(Some(address.trim_end_matches(':').to_owned())));
    }
    if NETWORK_ERRORS.iter().any(|e| line.contains(e)) {
        return Some(Denied::Network(address(line)));
    }
    if PATH_ERRORS.iter().any(|e| line.contains(e)) {
        return path(line, build_dir).map(Denied::Path);
    }
    None
}

/// Returns the path in an error message: the first path in quotes, otherwise the last word that is a path.
/// The first word is the name of the program, which is ignored.
fn path(line: &str, build_dir: &Path) -> Option<PathBuf> {
    let absolute = |word: &&str| word.starts_with('/') && word.len() > 1;
    let outside = |path: &PathBuf| !path.starts_with(build_dir) && path != Path::new("/dev/null");
    let quoted =
        line.split(['\'', '"', '`', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}']).skip(1).step_by(2);
    if let Some(path) = quoted.filter(absolute).map(PathBuf::from).find(outside) {
        return Some(path);
    }
    let words = line.split_whitespace().skip(1).map(|w| w.trim_end_matches([':', ',', ';', '.']));
    words.filter(absolute).map(PathBuf::from).filter(outside).last()
}

/// Returns the address in an error message: a URL, or the word after "address", "host" or "to".
fn address(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let clean = |w: &str| {
        w.trim_matches(['\u{2018}', '\u{2019}', '\'', '"', ':', ',', '.', '(', ')', '<', '>']).to_owned()
    };
    let url = words.iter().find(|w| w.contains("://")).map(|w| clean(w));
    // "resolve host address X", "connect to X".
    let after = |mark: &str| {
        let at = words.iter().rposition(|w| w.trim_end_matches(':') == mark)?;
        words.get(at + 1).map(|w| clean(w)).filter(|w| !w.is_empty())
    };
    url.or_else(|| ["address", "host", "to"].into_iter().find_map(after))
}

impl Denied {
    /// Explains the denied access, and which line in the configuration allows it.
    pub(crate) fn explain(&self, config_dir: &Path, package: &str) -> String {
        let file = config_dir.join(format!("{package}.conf"));
        match self {
            Self::Path(path) => {
                let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
                format!(
                    "builds are confined: this build was denied access to {}. To allow this access, write \
                     CONFINE_WRITE=\"{}\" in {} (see docs/security.md)",
                    path.display(),
                    directory.display(),
                    file.display()
                )
            }
            Self::Network(address) => format!(
                "builds have no network: this build tried to reach {}. To allow the network, write \
                 CONFINE_NETWORK=yes in {} (see docs/security.md)",
                address.as_deref().unwrap_or("another machine"),
                file.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_in_real_messages() {
        let build = Path::new("/var/lib/dkms/m/1/build");
        for (line, expected) in [
            (
                "ln: failed to create symbolic link '/usr/src/linux': Read-only file system",
                Some("/usr/src/linux"),
            ),
            ("mkdir: cannot create directory \u{2018}/opt/x\u{2019}: Permission denied", Some("/opt/x")),
            ("/bin/sh: 1: cannot create /etc/m.conf: Read-only file system", Some("/etc/m.conf")),
            ("bash: line 1: /usr/include/m.h: Permission denied", Some("/usr/include/m.h")),
            ("PermissionError: [Errno 13] Permission denied: '/srv/cache'", Some("/srv/cache")),
            ("touch: cannot touch '/var/lib/dkms/m/1/build/x': Permission denied", None),
            ("bash: ./configure: Permission denied", None),
            ("# command: echo '/etc/x': Permission denied", None),
            ("all is well in /etc", None),
        ] {
            assert_eq!(find(line, build), expected.map(|p| Denied::Path(p.into())), "{line}");
        }
        for (line, expected) in [
            ("curl: (6) Could not resolve host: example.org", Some("example.org")),
            (
                "fatal: unable to access 'https://example.org/x.git/': Could not resolve host: example.org",
                Some("https://example.org/x.git/"),
            ),
            ("wget: unable to resolve host address \u{2018}example.org\u{2019}", Some("example.org")),
            ("bash: line 1: /dev/tcp/127.0.0.1/80: Network is unreachable", Some("127.0.0.1/80")),
            ("connect: Network is unreachable", None),
        ] {
            assert_eq!(find(line, build), Some(Denied::Network(expected.map(str::to_owned))), "{line}");
        }
    }
}
