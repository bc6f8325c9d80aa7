//! The keys that a kernel trusts: for the running kernel, those in its keyrings; for another kernel, those
//! that the firmware and shim will pass to it.

use crate::distro::Family;
use crate::host::Host;
use crate::kernel::headers::KernelConfig;
use crate::system::System;
use crate::trust::machine::{self, Enforce, Machine, Policy};
use crate::trust::signing;
use dkms_tree::ids::Kernel;
use dkms_tree::state::module_stem;
use kmodule::ModuleName;
use kmodule::sign::{Certificate, Hash, Signed};
use kmodule::verdict::{Enforcement, Key, Keys, Signatures};
use std::path::{Path, PathBuf};

/// The keys that a kernel trusts, and its policy for modules that are not signed with one of them.
#[derive(Debug)]
pub struct Trust {
    is_running: bool,
    policy: Policy,
    description: String,
    /// Whether the kernel checks signatures.
    checks_signatures: bool,
    /// The certificates in db, in MokListRT and of dkms, and whether the kernel trusts each one (`None`:
    /// unknown).
    known: Vec<(Certificate, Option<bool>)>,
    revoked: Vec<Certificate>,
    /// The descriptions of the keys in the running kernel's keyrings that match no known certificate; `None`
    /// if the keyrings cannot be read.
    other_keys: Option<Vec<String>>,
    /// Whether the lists of firmware and shim could be read.
    complete: bool,
    /// The issuer in the signatures of the kernel's own modules.
    own_signer: Option<String>,
    digests: Digests,
    blacklist: Vec<String>,
}

/// The digests that a kernel can compute, by name.
#[derive(Debug, Default)]
struct Digests {
    config: Option<KernelConfig>,
    /// `/proc/crypto` of the running kernel.
    loaded: Option<String>,
    /// The directory of its modules: for some digests the kernel loads a module on first use.
    modules: PathBuf,
    /// Whether it accepts MD5 in signatures. Linux 6.7 removed that.
    accepts_md5: bool,
}

impl Trust {
    /// Gathers what this machine shows about a kernel. `own_signer` is the issuer in the signatures of the
    /// kernel's own modules.
    #[must_use]
    pub fn gather(
        system: &System,
        kernel: &Kernel,
        config: Option<&KernelConfig>,
        own_signer: Option<String>,
    ) -> Self {
        let machine = Machine::of(&system.host);
        let is_running = system.host.runs(&kernel.release);
        let policy = machine::policy(&machine, config.map(KernelConfig::text), is_running);
        let known = known_certificates(system, &machine, config, is_running);
        let lists = [machine::Variable::MokListXrt, machine::Variable::Dbx];
        let lists: Vec<_> = lists.into_iter().filter_map(|variable| machine.list(variable).ok()).collect();
        let is_revoked = |certificate: &Certificate| {
            lists.iter().any(|list| list.forbids(certificate))
                || is_running && machine.keyrings().forbids(certificate) == Some(true)
        };
        let certificates = known.iter().map(|(certificate, _)| certificate);
        let crypto = dkms_sys::fs::read_text("/proc/crypto", dkms_sys::fs::Limit::INDEX);
        Self {
            description: describe_policy(&policy),
            checks_signatures: config.is_none_or(|config| config.enabled("CONFIG_MODULE_SIG")),
            blacklist: blacklist(machine.cmdline.as_deref().unwrap_or_default()),
            digests: Digests {
                config: config.cloned(),
                loaded: crypto.ok().filter(|_| is_running),
                modules: system.layout.kernel_modules(&kernel.release),
                accepts_md5: !kmodule::verdict::since(&kernel.release, 6, 7),
            },
            is_running,
            policy,
            revoked: certificates.filter(|certificate| is_revoked(certificate)).cloned().collect(),
            other_keys: if is_running { other_keys(&machine, &known) } else { None },
            known,
            complete: lists_are_readable(&machine),
            own_signer,
        }
    }

    /// Returns a description of the kernel's policy for modules that it does not trust.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.description
    }

    /// Returns the rules for signatures; `None` if the kernel does not check them.
    #[must_use]
    pub fn signatures(&self) -> Option<Signatures<'_>> {
        let enforcement = match self.policy.enforce {
            Enforce::No => Enforcement::Off,
            Enforce::SigEnforce => Enforcement::SigEnforce,
            Enforce::Lockdown => Enforcement::Lockdown,
            Enforce::Unknown => Enforcement::Unknown,
        };
        self.checks_signatures.then_some(Signatures { enforcement, keys: self })
    }

    /// Returns the modules that the kernel's command line blacklists.
    #[must_use]
    pub fn blacklist(&self) -> &[String] {
        &self.blacklist
    }
}

fn describe_policy(policy: &Policy) -> String {
    let what = match policy.enforce {
        Enforce::No => "signatures are not enforced",
        Enforce::SigEnforce | Enforce::Lockdown => "only modules signed by a trusted key are loaded",
        Enforce::Unknown => "whether signatures are enforced is not known",
    };
    format!("{what}: {}", policy.why)
}

impl Keys for Trust {
    fn find(&self, signed: &Signed<'_>) -> Key<'_> {
        if self.revoked.iter().any(|certificate| signed.names(certificate)) {
            return Key::Revoked;
        }
        let matching = || self.known.iter().filter(|(certificate, _)| signed.names(certificate));
        // A kernel trusts the signer of its own modules.
        let is_own = self.own_signer.as_ref().is_some_and(|own| *own == signed.issuer_cn());
        if let Some((certificate, _)) = matching().next().filter(|_| is_own && !self.is_running) {
            return Key::Trusted(certificate);
        }
        if let Some((certificate, _)) = matching().find(|(_, trusted)| *trusted == Some(true)) {
            return Key::Trusted(certificate);
        }
        if matching().any(|(_, trusted)| trusted.is_none()) {
            return Key::Unknown;
        }
        if matching().next().is_some() {
            return Key::Absent;
        }
        self.find_without_certificate(signed)
    }

    fn supports(&self, hash: Hash) -> Option<bool> {
        self.digests.has(hash.config_name())
    }
}

impl Trust {
    /// Finds the key of a signature whose certificate is not known.
    fn find_without_certificate(&self, signed: &Signed<'_>) -> Key<'_> {
        let issuer = signed.issuer_cn();
        if self.own_signer.as_ref().is_some_and(|own| *own == issuer && !issuer.is_empty()) {
            return Key::Unseen;
        }
        if !self.is_running {
            return if self.complete { Key::Absent } else { Key::Unknown };
        }
        let Some(other_keys) = &self.other_keys else { return Key::Unknown };
        let is_described = |text: &str| other_keys.iter().any(|description| description.contains(text));
        if issuer.is_empty() {
            let id: String = signed.serial().iter().map(|byte| format!("{byte:02x}")).collect();
            return if is_described(&format!(": {id}")) { Key::Unseen } else { Key::Absent };
        }
        // The issuer may have issued other certificates, and a keyring shows only their subjects.
        if is_described(&issuer) { Key::Unknown } else { Key::Absent }
    }
}

impl Digests {
    /// Returns whether the digest is built in, loaded, or loaded on first use; `None` if that is unknown.
    fn has(&self, name: &str) -> Option<bool> {
        if name == "md5" && !self.accepts_md5 {
            return Some(false);
        }
        let mut loaded = self.loaded.iter().flat_map(|text| text.lines());
        if loaded.any(|line| value(line, "name") == Some(name)) {
            return Some(true);
        }
        let option = match name {
            "sha1" => "CONFIG_CRYPTO_SHA1",
            "sha224" | "sha256" => "CONFIG_CRYPTO_SHA256",
            "sha384" | "sha512" => "CONFIG_CRYPTO_SHA512",
            "md5" => "CONFIG_CRYPTO_MD5",
            _ => "CONFIG_CRYPTO_SHA3",
        };
        match self.config.as_ref()?.value(option) {
            Some("y") => Some(true),
            Some("m") => Some(can_load_digest(&self.modules, name)),
            _ => Some(false),
        }
    }
}

/// Returns whether depmod's index has a module for a digest. The module's file and the files of its
/// dependencies must exist.
fn can_load_digest(modules: &Path, digest: &str) -> bool {
    let text = |name: &str| {
        dkms_sys::fs::read_text(modules.join(name), dkms_sys::fs::Limit::INDEX).unwrap_or_default()
    };
    let (aliases, files) = (text("modules.alias"), text("modules.dep"));
    let is_indexed = |module: &str| {
        files.lines().filter_map(|line| line.split_once(':')).any(|(file, dependencies)| {
            let stem = file.rsplit('/').next().and_then(module_stem);
            stem.is_some_and(|stem| ModuleName::new(stem) == ModuleName::new(module))
                && dependencies.split_whitespace().chain([file]).all(|file| modules.join(file).exists())
        })
    };
    let alias = format!("alias crypto-{digest} ");
    aliases.lines().filter_map(|line| line.strip_prefix(&alias)).any(is_indexed)
}

/// Returns the value of a line `key   : value` of `/proc/crypto`.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = line.split_once(':')?;
    (name.trim() == key).then(|| value.trim())
}

/// Returns whether the lists of trusted certificates of firmware and shim can be read.
fn lists_are_readable(machine: &Machine) -> bool {
    machine.mok().is_ok() && machine.db().is_ok()
}

/// Returns the certificates of firmware, shim and dkms, and whether the kernel trusts each one (`None`:
/// unknown).
fn known_certificates(
    system: &System,
    machine: &Machine,
    config: Option<&KernelConfig>,
    is_running: bool,
) -> Vec<(Certificate, Option<bool>)> {
    let accepts_firmware = accepts_firmware_keys(&system.host);
    let has_machine_keyring = config.is_some_and(|config| config.enabled("CONFIG_INTEGRITY_MACHINE_KEYRING"));
    // Without the distributions' patch, shim's keys are trusted if shim requests it and the kernel has a
    // keyring for them.
    let accepts_mok = accepts_firmware || has_machine_keyring && machine.mok_list_trusted() == Ok(true);
    let mut known: Vec<(Certificate, Option<bool>)> = Vec::new();
    for (list, accepted) in [(machine.mok(), accepts_mok), (machine.db(), accepts_firmware)] {
        for certificate in list.iter().flat_map(|list| list.parsed()) {
            let trusted = match (is_running, is_in_keyring(machine, &certificate, accepts_firmware)) {
                (true, Some(is_in_keyring)) => Some(is_in_keyring),
                // The running kernel does not accept this kind of key, but another kernel may.
                (false, Some(false)) => None,
                _ => accepted.then_some(true),
            };
            known.push((certificate, trusted));
        }
    }
    let is_new = |own: &Certificate| !known.iter().any(|(certificate, _)| certificate.der() == own.der());
    if let Some(own) = own_certificate(system).filter(is_new) {
        let trusted = match (is_running, is_in_keyring(machine, &own, accepts_firmware)) {
            (true, Some(is_in_keyring)) => Some(is_in_keyring),
            // The running kernel was built with it. The other kernel may have been built with it too.
            (false, Some(true)) => None,
            _ => lists_are_readable(machine).then_some(false),
        };
        known.push((own, trusted));
    }
    known
}

/// Returns the certificate that dkms signs with, if it can be read.
fn own_certificate(system: &System) -> Option<Certificate> {
    let pair = signing::key_pair(system, &system.settings.framework, None).ok()?;
    Certificate::parse(&dkms_sys::fs::read_bounded(pair.certificate, dkms_sys::fs::Limit::CONFIG).ok()?).ok()
}

/// Returns whether the distribution's kernels also accept the firmware's keys for modules. The mainline
/// kernel does not.
fn accepts_firmware_keys(host: &Host) -> bool {
    let family = host.distribution.as_ref().map(|d| d.family());
    !matches!(family, None | Some(Family::Arch | Family::Gentoo))
}

/// Returns whether a keyring of the running kernel that is trusted for modules has the certificate; `None` if
/// that is unknown.
fn is_in_keyring(machine: &Machine, certificate: &Certificate, accepts_firmware: bool) -> Option<bool> {
    let keyrings = machine.keyrings();
    let is_trusted = |name: &&str| accepts_firmware || *name != ".platform";
    let is_in_any = keyrings.holds(certificate)?;
    Some(is_in_any && keyrings.keyrings_with(certificate).iter().any(is_trusted))
}

/// Returns the descriptions of the keys in the keyrings that match none of the known certificates; `None` if
/// a keyring cannot be read.
fn other_keys(machine: &Machine, known: &[(Certificate, Option<bool>)]) -> Option<Vec<String>> {
    let keyrings = machine.keyrings();
    let mut others = Vec::new();
    for name in machine::keyrings::TRUSTED {
        let is_known = |description: &str| {
            known.iter().any(|(certificate, _)| machine::keyrings::describes(description, certificate))
        };
        let descriptions = keyrings.keyring(name).ok()?.iter();
        others.extend(descriptions.filter(|description| !is_known(description)).cloned());
    }
    Some(others)
}

/// Returns the modules in `module_blacklist=a,b` on the kernel's command line.
fn blacklist(cmdline: &str) -> Vec<String> {
    let lists = machine::policy::parameters(cmdline)
        .filter_map(|(name, value)| value.filter(|_| name == "module_blacklist").map(str::to_owned));
    let list = lists.last().unwrap_or_default();
    list.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
