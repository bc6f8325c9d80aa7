//! Requests the enrolment of a certificate through mokutil.

use super::certificate::Certified;
use super::facts::Status;
use super::status;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::hooks;
use crate::plan::{Operation, Plan};
use crate::program::ProgramError;
use crate::secret::Secret;
use crate::system::System;
use crate::trust::machine::{Machine, SecureBoot};
use crate::trust::signing::{EnrolFault, SigningError};
use dkms_sys::fs::TempDir;
use dkms_sys::process::{Command, Finished, Stdin, Stream};
use dkms_tree::ids::Kernel;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// The systemd credential with the one-time password.
pub(super) const CREDENTIAL: &str = "dkms.mok-password";

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// This machine already trusts the certificate.
    Already(PathBuf),
    /// The enrolment was already requested.
    Waits(PathBuf),
    /// The enrolment was requested now.
    Asked(PathBuf),
}

/// The plan of `dkms mok enroll`: requests the enrolment of the certificate that signs for a kernel. During a
/// rotation, that is the new certificate.
///
/// # Errors
/// There is no certificate, it is forbidden, or the machine has no EFI firmware.
pub fn plan_enrolment(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<Plan> {
    let status = status::of_machine(system, sink, kernel, &Machine::of(&system.host))?;
    let nothing = || Operation::Nothing("the enrolment".into());
    Ok(match enrolled(&status)? {
        Some(Enrolled::Already(_)) => Plan::single(nothing(), "this machine trusts the certificate"),
        Some(_) => Plan::single(nothing(), "the certificate waits to be enrolled"),
        None => {
            let certificate = certificate_to_enroll(&status)?.path.clone();
            Plan::single(Operation::Enroll(certificate), "this machine does not trust it yet")
        }
    })
}

/// Executes the plan of [`plan_enrolment`].
///
/// # Errors
/// As [`plan_enrolment`]; mokutil is not installed, or it refuses the request.
pub fn enroll(system: &System, sink: &dyn Sink, kernel: &Kernel, plan: &Plan) -> Result<(Enrolled, Status)> {
    let mut status = status::of_machine(system, sink, kernel, &Machine::of(&system.host))?;
    status::forget_previous(&mut status)?;
    if let Some(enrolled) = enrolled(&status)? {
        return Ok((enrolled, status));
    }
    let certified = certificate_to_enroll(&status)?;
    for operation in plan.operations() {
        if matches!(operation, Operation::Enroll(_)) {
            request(system, sink, certified)?;
        }
    }
    let path = certified.path.clone();
    let after = status::of_machine(system, sink, kernel, &Machine::of(&system.host))?;
    match certificate_to_enroll(&after)?.enrolment.mok_new {
        Ok(false) => Err(refuse(EnrolFault::NotListed)),
        _ => Ok((Enrolled::Asked(path), after)),
    }
}

/// Returns why no request is needed; `None` if the enrolment must be requested.
fn enrolled(status: &Status) -> Result<Option<Enrolled>> {
    let certified = certificate_to_enroll(status)?;
    let path = certified.path.clone();
    if let Some(list) = certified.enrolment.forbidden.as_ref().ok().copied().flatten() {
        return Err(refuse(EnrolFault::Forbidden { list, certificate: path }));
    }
    if certified.enrolment.is_trusted() {
        return Ok(Some(Enrolled::Already(path)));
    }
    if certified.enrolment.is_pending() {
        return Ok(Some(Enrolled::Waits(path)));
    }
    if status.secure_boot == SecureBoot::NotEfi {
        return Err(refuse(EnrolFault::NoFirmware));
    }
    Ok(None)
}

fn refuse(fault: EnrolFault) -> Error {
    SigningError::NotEnrolled(fault).into()
}

/// The new certificate during a rotation, else the current one.
fn certificate_to_enroll(status: &Status) -> Result<&Certified> {
    match (&status.staged, &status.certificate) {
        (Some(staged), _) => Ok(staged),
        (None, Ok(Some(certified))) => Ok(certified),
        (None, Ok(None)) => Err(refuse(EnrolFault::NoCertificate(status.pair.certificate.clone()))),
        (None, Err(why)) => Err(refuse(EnrolFault::BadCertificate(why.clone()))),
    }
}

/// Requests the enrolment through mokutil.
fn request(system: &System, sink: &dyn Sink, certified: &Certified) -> Result<()> {
    let Some(mokutil) = dkms_sys::process::which("mokutil", &system.host.path) else {
        return Err(ProgramError::Missing {
            program: "mokutil".into(),
            purpose: "ask for the enrolment of a key".into(),
            package: "mokutil".into(),
        }
        .into());
    };
    // mokutil reads only DER.
    let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-mok")?;
    let der = scratch.path().join("certificate.der");
    dkms_sys::fs::create_new(&der, certified.certificate.der(), 0o600)?;
    let command =
        Command::new(&mokutil).arg("--import").arg(&der).envs(system.host.environment.iter().cloned());
    let done = match system.host.secrets.credential(CREDENTIAL)? {
        Some(password) => command
            .stdin(Stdin::Bytes(twice(&password)))
            .stdout(Stream::Capture)
            .stderr(Stream::ToStdout)
            .timeout(Duration::from_secs(60))
            .run(),
        None if sink.can_ask() => {
            sink.event(crate::event::Event::Detail { text: "mokutil asks for a one-time password".into() });
            command.stdin(Stdin::Inherit).stdout(Stream::Inherit).stderr(Stream::Inherit).run()
        }
        None => {
            return Err(refuse(EnrolFault::NoTerminal));
        }
    };
    let done = done.map_err(|e| hooks::process_error(&system.host, e, "ask for the enrolment of a key"))?;
    if done.status.success() { Ok(()) } else { Err(refuse(EnrolFault::Mokutil(mokutil_output(&done)))) }
}

/// The input of mokutil, which prompts for the password twice.
fn twice(password: &Secret) -> Vec<u8> {
    let line = password.reveal().as_bytes();
    [line, b"\n", line, b"\n"].concat()
}

fn mokutil_output(done: &Finished) -> String {
    let text = done.stdout_text();
    let prompt = |line: &&str| line.trim().is_empty() || line.starts_with("input password");
    let messages: Vec<&str> = text.lines().filter(|line| !prompt(line)).map(str::trim).collect();
    match messages.as_slice() {
        [] => format!("mokutil ended with {}", done.status),
        some => format!("mokutil ended with {}: {}", done.status, some.join("; ")),
    }
}
