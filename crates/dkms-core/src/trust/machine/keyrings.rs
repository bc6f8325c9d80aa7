//! The running kernel's keyrings of trusted keys, from `/proc/keys` and keyctl(2).
//!
//! `/proc/keys` has a line for each key that the reader may see: serial number, flags, uses, timeout,
//! permissions, user, group, type (truncated to nine letters), description (kernel security/keys/proc.c). The
//! description of a certificate is its subject, a colon, and its subject key identifier in hexadecimal, or
//! its serial number if it has none (crypto/asymmetric_keys/x509_public_key.c). The algorithm and the end of
//! the identifier follow.

use super::fact::{Fact, read_text};
use dkms_bundle::digest::hex;
use kmodule::sign::Certificate;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Keyrings whose keys may sign modules, in the order in which the kernel searches them. `.platform` is only
/// trusted by kernels of distributions that carry a patch for it (Debian, Fedora, SUSE, Ubuntu), not by the
/// mainline kernel.
pub const TRUSTED: [&str; 4] = [".builtin_trusted_keys", ".secondary_trusted_keys", ".machine", ".platform"];
const BLACKLIST: &str = ".blacklist";

/// The certificates that the running kernel has.
#[derive(Debug)]
pub struct TrustedKeys {
    /// The descriptions of certificates, by keyring.
    keyrings: BTreeMap<&'static str, Fact<Vec<String>>>,
    /// The visible keys of the blacklist.
    forbidden: Fact<Vec<String>>,
}

impl TrustedKeys {
    /// Reads the keyrings of the running kernel. For another root only their names can be read.
    pub(super) fn read(root: &Path) -> Self {
        let proc_keys = read_text(&root.join("proc/keys"));
        let is_running = root == Path::new("/");
        Self::from_text(proc_keys, |serial| {
            if !is_running {
                return Err("the keyrings are not those of the running kernel".into());
            }
            dkms_sys::keys::read_keyring(serial).map_err(|e| e.to_string())
        })
    }

    /// Parses the text of `/proc/keys`. `members` returns the members of a keyring by its serial number.
    pub fn from_text(proc_keys: Fact<String>, members: impl Fn(i32) -> Fact<Vec<i32>>) -> Self {
        let keys = match proc_keys {
            Ok(text) => parse(&text),
            Err(why) => {
                let keyrings = TRUSTED.into_iter().map(|name| (name, Err(why.clone()))).collect();
                return Self { keyrings, forbidden: Err(why) };
            }
        };
        let ring = |name: &str| {
            let prefix = format!("{name}:");
            keys.values().find(|key| key.kind == "keyring" && key.description.starts_with(&prefix))
        };
        let content = |name: &'static str| -> Fact<Vec<String>> {
            // Every kernel that has these keyrings has the first keyring, but only root can see any of them.
            let Some(ring) = ring(name) else {
                return match ring(TRUSTED[0]) {
                    Some(_) => Ok(Vec::new()),
                    None => Err("the kernel's keyrings are visible to root only".into()),
                };
            };
            if ring.description.ends_with(": empty") {
                return Ok(Vec::new());
            }
            let mut descriptions = Vec::new();
            for serial in members(ring.serial).map_err(|e| format!("{name} cannot be read: {e}"))? {
                match keys.get(&serial) {
                    Some(key) if key.kind == "asymmetri" => descriptions.push(key.description.clone()),
                    Some(_) => {}
                    None => return Err(format!("a key in {name} is not visible")),
                }
            }
            Ok(descriptions)
        };
        let keyrings = TRUSTED.into_iter().map(|name| (name, content(name))).collect();
        let blacklisted =
            keys.values().filter(|key| key.kind == "blacklist").map(|key| key.description.clone());
        let forbidden = match ring(BLACKLIST) {
            Some(_) => Ok(blacklisted.collect()),
            None => Err("the kernel's blacklist is visible to root only, or it has none".into()),
        };
        Self { keyrings, forbidden }
    }

    /// Returns whether one of the keyrings that may sign modules has the certificate; `None` if it was not
    /// found and not all of them can be read.
    pub fn holds(&self, certificate: &Certificate) -> Option<bool> {
        if !self.keyrings_with(certificate).is_empty() {
            return Some(true);
        }
        self.keyrings.values().all(Result::is_ok).then_some(false)
    }

    /// The readable keyrings that have the certificate.
    pub fn keyrings_with(&self, certificate: &Certificate) -> Vec<&'static str> {
        let has = |name: &&'static str| {
            let list = self.keyrings.get(name).and_then(|seen| seen.as_ref().ok());
            list.is_some_and(|list| list.iter().any(|d| describes(d, certificate)))
        };
        TRUSTED.into_iter().filter(has).collect()
    }

    /// Returns whether the blacklist contains the certificate; `None` if it cannot be read.
    pub fn forbids(&self, certificate: &Certificate) -> Option<bool> {
        let entry = format!("tbs:{}", hex(&Sha256::digest(certificate.tbs())));
        self.forbidden.as_ref().ok().map(|list| list.iter().any(|d| d.starts_with(&entry)))
    }

    /// Returns the reason why a keyring could not be read.
    pub fn unreadable(&self) -> Option<&str> {
        self.keyrings.values().find_map(|seen| seen.as_ref().err().map(String::as_str))
    }

    /// The descriptions of the certificates in a keyring.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    pub fn keyring(&self, name: &str) -> Fact<&[String]> {
        match self.keyrings.get(name) {
            Some(Ok(list)) => Ok(list),
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!("{name} is not a keyring of trusted keys")),
        }
    }
}

/// A line of `/proc/keys`.
struct Key {
    serial: i32,
    kind: String,
    description: String,
}

fn parse(text: &str) -> BTreeMap<i32, Key> {
    let line = |line: &str| -> Option<(i32, Key)> {
        let mut rest = line;
        let mut field = || {
            let (word, after) = rest.trim_start().split_once(char::is_whitespace)?;
            rest = after;
            Some(word)
        };
        let serial = i32::from_str_radix(field()?, 16).ok()?;
        for _ in 0..6 {
            field()?;
        }
        let kind = field()?.to_owned();
        Some((serial, Key { serial, kind, description: rest.trim().to_owned() }))
    };
    text.lines().filter_map(line).collect()
}

/// Returns whether this is the description of the certificate's key.
pub(crate) fn describes(description: &str, certificate: &Certificate) -> bool {
    let id = hex(certificate.subject_key_id().unwrap_or_else(|| certificate.raw_serial()));
    // "Organisation: Name: IDENTIFIER: X509.rsa 01234567 []"; the name may contain any text.
    let name_and_id = format!("{}: {id}", certificate.subject_cn());
    description.match_indices(&name_and_id).any(|(at, found)| {
        description.get(at + found.len()..).is_some_and(|after| after.is_empty() || after.starts_with(':'))
    })
}
