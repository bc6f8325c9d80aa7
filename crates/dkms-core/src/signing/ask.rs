//! Asking for a pass phrase or PIN on the terminal.

use super::{KeyPair, key_pair, named_sign_file, pair, pin, wanted};
use crate::conf::framework;
use crate::ids::Kernel;
use crate::kernel::headers;
use crate::session::Session;
use kmodule::sign::{Key, KeyError};
use std::path::Path;

/// Asks for what the keys of these kernels need, if anything has to be asked and there is somebody to ask. What cannot be
/// found out here is an error when the first module is to be signed.
pub(crate) fn ask_before<'k>(s: &Session<'_>, kernels: impl Iterator<Item = &'k Kernel>) {
    if !s.sink.can_ask() || pin::find(s).is_ok_and(|pin| pin.is_some()) {
        return;
    }
    let mut kernels: Vec<&Kernel> = kernels.collect();
    kernels.sort();
    kernels.dedup();
    let question = kernels.into_iter().find_map(|kernel| {
        let headers = headers::find(s, kernel).ok()?;
        let framework = framework::load(s, Some(&kernel.release)).ok()?;
        wanted(s, &headers, &framework).ok()?;
        let named = named_sign_file(&framework).map(Path::new).and_then(Path::file_name);
        if named.is_some_and(|name| name != "sign-file" && name != "kmodsign") {
            // The administrator's own program knows where its pass phrase comes from.
            return None;
        }
        question(&key_pair(s, &framework, Some(&headers)).ok()?)
    });
    if let Some(question) = question {
        s.host.secrets.answered.get_or_init(|| s.sink.ask(&question));
    }
}

fn question(pair: &KeyPair) -> Option<String> {
    if pair.is_token() {
        let named = ["pin-value=", "pin-source="].iter().any(|attribute| pair.key.contains(attribute));
        return (!named).then(|| "PIN of the signing key's token".into());
    }
    let encrypted = Key::parse(&pair::read_key(Path::new(&pair.key)).ok()?) == Err(KeyError::Encrypted);
    encrypted.then(|| format!("Pass phrase of {}", pair.key))
}
