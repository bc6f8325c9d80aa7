//! Whether the kernel would load what is about to be installed. Refused for certain: it is not installed. What may still
//! change until it is loaded, such as a key to be enrolled or a module of another package, is said, and stops nothing.

use crate::error::Result;
use crate::install::InstallError;
use crate::kernel::installed::MODULE_LIMIT;
use crate::look::verify::{Facts, Resolver};
use crate::session::Session;
use dkms_tree::state::module_stem;
use kmodule::ModuleName;
use kmodule::verdict::{Cause, File, Reason};
use std::cell::RefCell;
use std::path::Path;

/// A kernel, and the modules that come to it together.
pub(crate) struct Judge<'a> {
    facts: &'a Facts,
    resolver: Resolver<'a>,
    /// The policy that can be seen here is that of the kernel to be.
    policy_is_ours: bool,
    force: bool,
    /// Codes of what was said of the package's modules: what is true of one for its key or its list of symbols is true of
    /// all.
    said: RefCell<Vec<&'static str>>,
}

impl<'a> Judge<'a> {
    /// For the modules of one package, with their files; `force`: complain only.
    pub fn new(s: &Session<'_>, facts: &'a Facts, modules: &[&Path], force: bool) -> Self {
        // What one module offers matters only to another.
        let together = if modules.len() > 1 { modules } else { &[] };
        Self {
            facts,
            resolver: Resolver::new(facts, together.iter().copied()),
            policy_is_ours: s.host.chroot == Some(false),
            force,
            said: RefCell::default(),
        }
    }

    /// The first time that something of this kind is said.
    fn first(&self, reason: &Reason) -> bool {
        // What is true of a dependency is no news of what needs it.
        let code = match reason {
            Reason::DependencyRefused { reason, .. } => reason.code(),
            other => other.code(),
        };
        let mut said = self.said.borrow_mut();
        let first = !said.contains(&code);
        if first {
            said.push(code);
        }
        first
    }

    /// Judges one module; adds to `warnings` what stops nothing.
    ///
    /// # Errors
    /// [`InstallError::WouldNotLoad`].
    pub fn module(&self, bytes: &[u8], path: &Path, warnings: &mut Vec<String>) -> Result<()> {
        let file = File::read(bytes, MODULE_LIMIT);
        let stem = path.file_name().and_then(|name| name.to_str()).and_then(module_stem).unwrap_or_default();
        let verdict = self.resolver.judge(&file, &ModuleName::new(stem));
        let (certain, open): (Vec<Reason>, Vec<Reason>) =
            verdict.refusals.into_iter().partition(|reason| self.certain(reason, &file));
        let release = &self.facts.kernel.release;
        if verdict.doubts.contains(&Reason::NoSymvers) && self.first(&Reason::NoSymvers) {
            let help = Reason::NoSymvers.help();
            warnings.push(format!(
                "whether kernel {release} loads {} is not certain: {}\n{help}",
                path.display(),
                Reason::NoSymvers
            ));
        }
        let told = open.iter().filter(|reason| self.first(reason));
        for reason in told.chain(certain.iter().filter(|_| self.force)).take(3) {
            warnings.push(format!(
                "kernel {release} would not load {} as things stand: {reason}\n{}",
                path.display(),
                reason.help()
            ));
        }
        if certain.is_empty() || self.force {
            return Ok(());
        }
        Err(InstallError::WouldNotLoad { path: path.to_owned(), release: release.clone(), reasons: certain }
            .into())
    }

    /// Nothing that is done after this installation makes the kernel load the module.
    fn certain(&self, reason: &Reason, file: &File<'_>) -> bool {
        match reason {
            // Keys are enrolled after the first module was signed; the command line is another one next time.
            Reason::Untrusted { cause: Cause::Key { .. }, .. } | Reason::Blacklisted { .. } => false,
            Reason::Untrusted { .. } | Reason::Revoked { .. } => self.policy_is_ours,
            // The module that offers it may come later, or is replaced later.
            Reason::OwnerMissing { .. }
            | Reason::ProprietaryOwner { .. }
            | Reason::GplOnlyHidden { .. }
            | Reason::DependencyRefused { .. } => false,
            Reason::UnknownSymbol { .. } => {
                file.module().is_none_or(|m| m.modinfo.depends().all(|name| self.resolver.is_there(&name)))
            }
            _ => true,
        }
    }
}
