//! Asks for a pass phrase or PIN on the terminal.

use super::{KeyPair, hash_to_sign_with, key_pair, named_sign_file, pair, pin};
use crate::conf::framework;
use crate::event::Sink;
use crate::kernel::headers;
use crate::system::System;
use dkms_tree::ids::Kernel;
use kmodule::sign::{Key, KeyError};
use std::path::Path;

/// Prompts for the pass phrases and PINs that the keys of these kernels need, if there is a terminal. Errors
/// in reading a key are reported when the first module is signed.
pub(crate) fn ask_before<'k>(system: &System, sink: &dyn Sink, kernels: impl Iterator<Item = &'k Kernel>) {
    if !sink.can_ask() || pin::find(&system.host).is_ok_and(|pin| pin.is_some()) {
        return;
    }
    let mut kernels: Vec<&Kernel> = kernels.collect();
    kernels.sort();
    kernels.dedup();
    let question = kernels.into_iter().find_map(|kernel| {
        let headers = headers::find(system, kernel).ok()?;
        let framework = framework::load(system, sink, Some(&kernel.release)).ok()?;
        hash_to_sign_with(&system.host, &system.settings, &headers, &framework).ok()?;
        let named = named_sign_file(&framework).map(Path::new).and_then(Path::file_name);
        if named.is_some_and(|name| name != "sign-file" && name != "kmodsign") {
            // The administrator's signing program gets its pass phrase without dkms.
            return None;
        }
        question(&key_pair(system, &framework, Some(&headers)).ok()?)
    });
    if let Some(question) = question {
        system.host.secrets.answer.get_or_init(|| sink.ask(&question));
    }
}

/// Prompts for the pass phrases and PINs of registry keys, or of the keys of a fleet's builder for these
/// kernels.
pub(crate) fn ask_before_publishing<'k>(
    system: &System,
    sink: &dyn Sink,
    kernels: impl Iterator<Item = &'k Kernel>,
) {
    if system.settings.framework.registry_signer.is_some() {
        ask_before(system, sink, kernels);
    }
    if !sink.can_ask() || pin::find(&system.host).is_ok_and(|pin| pin.is_some()) {
        return;
    }
    let tokens = system.settings.framework.registry_key.iter().filter(|key| key.starts_with("pkcs11:"));
    if tokens.into_iter().any(|key| !pin::has_pin(key)) {
        let question = "PIN of the token with the registry's key";
        system.host.secrets.answer.get_or_init(|| sink.ask(question));
    }
}

/// The prompt for the pass phrase or PIN of a key; `None` if the key needs none.
fn question(pair: &KeyPair) -> Option<String> {
    if pair.is_token() {
        return (!pin::has_pin(&pair.key)).then(|| "PIN of the signing key's token".into());
    }
    let encrypted = Key::parse(&pair::read_key(Path::new(&pair.key)).ok()?) == Err(KeyError::Encrypted);
    encrypted.then(|| format!("Pass phrase of {}", pair.key))
}
