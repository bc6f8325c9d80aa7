//! The keys that a kernel trusts: for the running kernel from its keyrings, for another one from what the
//! firmware and shim will pass to it.

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

/// The keys of one kernel, and its policy for a module that none of them signed.
#[derive(Debug)]
pub struct Trust {
    running: bool,
    policy: Policy,
    description: String,
    /// Whether the kernel checks signatures.
    checks_signatures: bool,
    /// Certificates in files, in db and in MokListRT, and whether the kernel has each one (`None`: unknown).
    known: Vec<(Certificate, Option<bool>)>,
    revoked: Vec<Certificate>,
    /// The descriptions of keys in the running kernel's keyrings whose certificates are in none of those
    /// places.
    unseen: Option<Vec<String>>,
    /// Whether the lists of firmware and shim could be read.
    complete: bool,
    /// The signer that the kernel's own modules name.
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
    md5: bool,
}

impl Trust {
    /// Gathers what this machine shows about a kernel. `own_signer` is the issuer that the kernel's own
    /// modules name.
    #[must_use]
    pub fn gather(
        system: &System,
        kernel: &Kernel,
        config: Option<&KernelConfig>,
        own_signer: Option<String>,
    ) -> Self {
        let machine = Machine::of(&system.host);
        let running = system.host.runs(&kernel.release);
        let policy = machine::policy(&machine, config.map(KernelConfig::text), running);
        let complete = machine.mok().is_ok() && machine.db().is_ok();
        let known = known(system, &machine, config, running);
        let lists = [machine::Variable::MokListXrt, machine::Variable::Dbx];
        let lists: Vec<_> = lists.into_iter().filter_map(|v| machine.list(v).ok()).collect();
        let forbidden = |c: &Certificate| {
            lists.iter().any(|l| l.forbids(c)) || running && machine.keyrings().forbids(c) == Some(true)
        };
        let revoked = known.iter().map(|(c, _)| c).filter(|c| forbidden(c)).cloned().collect();
        let unseen = if running { unseen(&machine, &known) } else { None };
        let cmdline = machine.cmdline.as_deref().unwrap_or_default();
        Self {
            description: describe_policy(&policy),
            checks_signatures: config.is_none_or(|c| c.enabled("CONFIG_MODULE_SIG")),
            blacklist: blacklist(cmdline),
            digests: Digests {
                config: config.cloned(),
                loaded: dkms_sys::fs::read_text("/proc/crypto", dkms_sys::fs::Limit::INDEX)
                    .ok()
                    .filter(|_| running),
                modules: system.layout.kernel_modules(&kernel.release),
                md5: !kmodule::verdict::since(&kernel.release, 6, 7),
            },
            running,
            policy,
            known,
            revoked,
            unseen,
            complete,
            own_signer,
        }
    }

    /// Returns a description of the kernel's policy for modules that it does not trust.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.description
    }

    /// The signature rules for [`kmodule::verdict::KernelView::signatures`].
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

    /// The modules that the kernel's command line blacklists.
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
        if self.revoked.iter().any(|c| signed.names(c)) {
            return Key::Revoked;
        }
        let named = || self.known.iter().filter(|(c, _)| signed.names(c));
        // A kernel trusts the signer of its own modules.
        let own = self.own_signer.as_ref().is_some_and(|own| *own == signed.issuer_cn());
        if let Some((certificate, _)) = named().next().filter(|_| own && !self.running) {
            return Key::Trusted(certificate);
        }
        if let Some((certificate, _)) = named().find(|(_, has)| *has == Some(true)) {
            return Key::Trusted(certificate);
        }
        if named().any(|(_, has)| has.is_none()) {
            return Key::Unknown;
        }
        let certain = named().next().is_some();
        if certain {
            return Key::Absent;
        }
        self.without_certificate(signed)
    }

    fn supports(&self, hash: Hash) -> Option<bool> {
        self.digests.has(hash.config_name())
    }
}

impl Trust {
    /// The key of a signer whose certificate is not available.
    fn without_certificate(&self, signed: &Signed<'_>) -> Key<'_> {
        let issuer = signed.issuer_cn();
        if self.own_signer.as_ref().is_some_and(|own| *own == issuer && !issuer.is_empty()) {
            return Key::Unseen;
        }
        if !self.running {
            return if self.complete { Key::Absent } else { Key::Unknown };
        }
        let Some(unseen) = &self.unseen else { return Key::Unknown };
        if issuer.is_empty() {
            let id: String = signed.serial().iter().map(|byte| format!("{byte:02x}")).collect();
            let found = unseen.iter().any(|description| description.contains(&format!(": {id}")));
            return if found { Key::Unseen } else { Key::Absent };
        }
        // The issuer may have issued other certificates, and a keyring shows only their subjects.
        let could = unseen.iter().any(|description| description.contains(&issuer));
        if could { Key::Unknown } else { Key::Absent }
    }
}

impl Digests {
    /// Returns whether the digest is built in, loaded, or loaded on first use.
    fn has(&self, name: &str) -> Option<bool> {
        if name == "md5" && !self.md5 {
            return Some(false);
        }
        if self.loaded.as_ref().is_some_and(|text| text.lines().any(|l| value(l, "name") == Some(name))) {
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
            Some("m") => Some(on_demand(&self.modules, name)),
            _ => Some(false),
        }
    }
}

/// Returns whether depmod's index has a module for a digest. The module's file and the files of its
/// dependencies must exist.
fn on_demand(modules: &Path, digest: &str) -> bool {
    let text = |name: &str| {
        dkms_sys::fs::read_text(modules.join(name), dkms_sys::fs::Limit::INDEX).unwrap_or_default()
    };
    let (aliases, files) = (text("modules.alias"), text("modules.dep"));
    let is_indexed = |module: &str| {
        files.lines().filter_map(|line| line.split_once(':')).any(|(file, needed)| {
            let stem = file.rsplit('/').next().and_then(module_stem);
            stem.is_some_and(|stem| ModuleName::new(stem) == ModuleName::new(module))
                && needed.split_whitespace().chain([file]).all(|file| modules.join(file).exists())
        })
    };
    let alias = format!("alias crypto-{digest} ");
    aliases.lines().filter_map(|line| line.strip_prefix(&alias)).any(is_indexed)
}

/// A line `name   : value` of `/proc/crypto`.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = line.split_once(':')?;
    (name.trim() == key).then(|| value.trim())
}

/// The certificates of firmware and shim, and our own, with whether the kernel has each one.
fn known(
    system: &System,
    machine: &Machine,
    config: Option<&KernelConfig>,
    running: bool,
) -> Vec<(Certificate, Option<bool>)> {
    let platform = counts_platform(&system.host);
    let enabled = |name: &str| config.is_some_and(|c| c.enabled(name));
    // Without the distributions' patch, shim's keys are trusted if shim requests it and the kernel has a
    // keyring for them.
    let takes_mok =
        platform || enabled("CONFIG_INTEGRITY_MACHINE_KEYRING") && machine.mok_list_trusted() == Ok(true);
    let mut found: Vec<(Certificate, Option<bool>)> = Vec::new();
    for (list, taken) in [(machine.mok(), takes_mok), (machine.db(), platform)] {
        for certificate in list.iter().flat_map(|l| l.parsed()) {
            let has = match (running, held(machine, &certificate, platform)) {
                (true, Some(held)) => Some(held),
                // The running kernel does not accept this kind of key, but another kernel may.
                (false, Some(false)) => None,
                _ => taken.then_some(true),
            };
            found.push((certificate, has));
        }
    }
    let complete = machine.mok().is_ok() && machine.db().is_ok();
    if let Some(own) = own_certificate(system).filter(|own| !found.iter().any(|(c, _)| c.der() == own.der()))
    {
        let has = match (running, held(machine, &own, platform)) {
            (true, Some(held)) => Some(held),
            // The running kernel was built with it. The other kernel may have been built with it too.
            (false, Some(true)) => None,
            _ => complete.then_some(false),
        };
        found.push((own, has));
    }
    found
}

/// The certificate that dkms signs with, if it can be read.
fn own_certificate(system: &System) -> Option<Certificate> {
    let pair = signing::key_pair(system, &system.settings.framework, None).ok()?;
    Certificate::parse(&dkms_sys::fs::read_bounded(pair.certificate, dkms_sys::fs::Limit::CONFIG).ok()?).ok()
}

/// Returns whether the distribution's kernels also accept the firmware's keys for modules. The mainline
/// kernel does not.
fn counts_platform(host: &Host) -> bool {
    let family = host.distribution.as_ref().map(|d| d.family());
    !matches!(family, None | Some(Family::Arch | Family::Gentoo))
}

/// Returns whether a keyring that is trusted for modules has the certificate.
fn held(machine: &Machine, certificate: &Certificate, platform: bool) -> Option<bool> {
    let rings = machine.keyrings();
    match rings.holds(certificate) {
        Some(true) => {
            let counting =
                rings.keyrings_with(certificate).iter().any(|ring| platform || *ring != ".platform");
            Some(counting)
        }
        other => other,
    }
}

/// The descriptions in the keyrings that match none of our certificates.
fn unseen(machine: &Machine, known: &[(Certificate, Option<bool>)]) -> Option<Vec<String>> {
    let rings = machine.keyrings();
    let mut found = Vec::new();
    for name in machine::keyrings::TRUSTED {
        for description in rings.keyring(name).ok()? {
            if !known.iter().any(|(c, _)| machine::keyrings::describes(description, c)) {
                found.push(description.clone());
            }
        }
    }
    Some(found)
}

/// The value of `module_blacklist=a,b` on the kernel's command line.
fn blacklist(cmdline: &str) -> Vec<String> {
    let named = |(name, value): (String, Option<&str>)| {
        (name == "module_blacklist").then(|| value.map(str::to_owned))?
    };
    let list = machine::policy::parameters(cmdline).filter_map(named).last().unwrap_or_default();
    list.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
