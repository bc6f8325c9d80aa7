//! Signs with a key in a token (PKCS#11). The key never leaves the token: `openssl` uses it through OpenSSL's
//! provider pkcs11, or through the engine pkcs11 if the provider is not installed.

use super::error::TokenError;
use crate::host::Host;
use crate::secret::Secret;
use crate::trust::signing;
use dkms_bundle::signature::{self, PAYLOAD_TYPE, PublicKey};
use dkms_sys::process::{Command, Stdin, Stream, which};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The time limit for openssl. A token may be connected by a network or a serial line.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The variable with the PIN in the environment of openssl.
const PIN: &str = "DKMS_TOKEN_PIN";

/// A key in a token.
pub(super) struct Token {
    openssl: Openssl,
    public: PublicKey,
}

/// Returns whether a value of `registry_key` names a key in a token.
pub(super) fn is_token(key: &str) -> bool {
    key.starts_with("pkcs11:")
}

impl Token {
    /// Finds the key and reads its public half.
    ///
    /// # Errors
    /// It cannot be used.
    pub(super) fn open(host: &Host, uri: &str) -> Result<Self, TokenError> {
        let openssl = Openssl::new(host, uri)?;
        let der = openssl.run("pkey", &["-pubout", "-outform", "DER", "-in", uri], Vec::new())?;
        let public = PublicKey::from_der(&der)?;
        Ok(Self { openssl, public })
    }

    /// Signs a record. Returns the name and the value of the annotation.
    ///
    /// # Errors
    /// The token does not sign.
    pub(super) fn sign(&self, record: &[u8]) -> Result<(String, String), TokenError> {
        let message = signature::pae(PAYLOAD_TYPE, record);
        let der = self.openssl.run("dgst", &["-sha256", "-sign", &self.openssl.uri], message)?;
        let annotation = signature::annotation(self.public.id(), &der);
        let annotations = [annotation.clone()].into();
        // If the two keys in the token do not belong together, no machine accepts the signature.
        signature::verify(record, &annotations, std::slice::from_ref(&self.public))
            .map_err(|_| TokenError::OtherKey)?;
        Ok(annotation)
    }
}

/// The program openssl, and how it accesses the key.
struct Openssl {
    program: PathBuf,
    uri: String,
    is_provider: bool,
    /// The variables that configure OpenSSL and the driver of the token.
    environment: Vec<(OsString, OsString)>,
    pin: Option<Secret>,
}

impl Openssl {
    fn new(host: &Host, uri: &str) -> Result<Self, TokenError> {
        let program = which("openssl", &host.path).ok_or(TokenError::NoOpenssl)?;
        let environment = host.environment.clone();
        let pin = signing::pin_of_token(host, uri).map_err(|e| TokenError::Pin(e.into()))?;
        let mut openssl = Self { program, uri: uri.to_owned(), is_provider: true, environment, pin };
        openssl.is_provider =
            openssl.execute(&["list", "-providers", "-provider", "pkcs11"], Vec::new()).is_ok();
        Ok(openssl)
    }

    /// Runs a command of openssl that uses the token, and returns its output.
    fn run(&self, command: &str, arguments: &[&str], input: Vec<u8>) -> Result<Vec<u8>, TokenError> {
        let access: &[&str] = match (self.is_provider, command) {
            (true, _) => &["-provider", "pkcs11", "-provider", "default"],
            (false, "dgst") => &["-engine", "pkcs11", "-keyform", "engine"],
            (false, _) => &["-engine", "pkcs11", "-inform", "engine"],
        };
        let pin = format!("env:{PIN}");
        let pin: &[&str] = if self.pin.is_some() { &["-passin", &pin] } else { &[] };
        self.execute(&[&[command], access, pin, arguments].concat(), input)
    }

    fn execute(&self, arguments: &[&str], input: Vec<u8>) -> Result<Vec<u8>, TokenError> {
        let name = || arguments.first().copied().unwrap_or_default().to_owned();
        let mut command = Command::new(&self.program)
            .args(arguments.iter().copied())
            .envs(self.environment.iter().cloned());
        if let Some(pin) = &self.pin {
            command = command.env(PIN, pin.reveal());
        }
        let done = command
            .stdin(Stdin::Bytes(input))
            .stdout(Stream::Capture)
            .stderr(Stream::Capture)
            .timeout(TIMEOUT)
            .run()
            .map_err(|cause| TokenError::NotRun { command: name(), cause })?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        let errors = String::from_utf8_lossy(&done.stderr);
        // The first line contains the error of the engine or provider; the last lines repeat it.
        let lines =
            errors.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Engine \""));
        let reason: Vec<&str> = lines.take(3).collect();
        let errors = if reason.is_empty() { done.status.to_string() } else { reason.join("; ") };
        Err(TokenError::Openssl { command: name(), errors, has_provider: self.is_provider })
    }
}
