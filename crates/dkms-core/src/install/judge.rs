//! Judges whether the kernel would load a module that is about to be installed. A module that the kernel
//! would certainly refuse is not installed. If the reason may still change before the module is loaded, such
//! as a key that is not enrolled yet or a module of another package, there is only a warning.

use crate::error::Result;
use crate::host::Host;
use crate::install::InstallError;
use crate::kernel::installed::MODULE_LIMIT;
use crate::look::verify::{Facts, Resolver};
use dkms_tree::state::module_stem;
use kmodule::ModuleName;
use kmodule::verdict::{Cause, File, Reason};
use std::cell::RefCell;
use std::path::Path;

/// Checks whether a kernel would load the modules that are installed together.
pub(crate) struct Judge<'a> {
    facts: &'a Facts,
    resolver: Resolver<'a>,
    /// Whether the policy of the running system applies to this kernel.
    is_own_policy: bool,
    force: bool,
    /// Codes of the reasons that were reported for this package. A reason such as the key or the list of
    /// symbols applies to all its modules, so it is reported once.
    reported: RefCell<Vec<&'static str>>,
}

impl<'a> Judge<'a> {
    /// Creates the judge for one package. `modules` are its files. With `force`, there are only warnings.
    pub(crate) fn new(host: &Host, facts: &'a Facts, modules: &[&Path], force: bool) -> Self {
        // The symbols that a module exports are needed only by other modules.
        let together = if modules.len() > 1 { modules } else { &[] };
        Self {
            facts,
            resolver: Resolver::new(facts, together.iter().copied()),
            is_own_policy: host.chroot == Some(false) && host.image.is_none(),
            force,
            reported: RefCell::default(),
        }
    }

    /// Returns whether this is the first report of a reason with this code, and remembers the code.
    fn is_first_report(&self, reason: &Reason) -> bool {
        // A reason reported for a dependency is not repeated for its dependents.
        let code = match reason {
            Reason::DependencyRefused { reason, .. } => reason.code(),
            other => other.code(),
        };
        let mut reported = self.reported.borrow_mut();
        let is_first = !reported.contains(&code);
        if is_first {
            reported.push(code);
        }
        is_first
    }

    /// Checks one module, and adds problems that do not prevent its installation to `warnings`. `bytes` is
    /// its file, which may be compressed.
    ///
    /// # Errors
    /// [`InstallError::WouldNotLoad`].
    pub(crate) fn check(&self, bytes: &[u8], path: &Path, warnings: &mut Vec<String>) -> Result<()> {
        let file = File::read(bytes, MODULE_LIMIT);
        let stem = path.file_name().and_then(|name| name.to_str()).and_then(module_stem).unwrap_or_default();
        let verdict = self.resolver.judge(&file, &ModuleName::new(stem));
        let (certain, possible): (Vec<Reason>, Vec<Reason>) =
            verdict.refusals.into_iter().partition(|reason| self.is_certain(reason, &file));
        let release = &self.facts.kernel.release;
        if verdict.doubts.contains(&Reason::NoSymvers) && self.is_first_report(&Reason::NoSymvers) {
            let help = Reason::NoSymvers.help();
            warnings.push(format!(
                "whether kernel {release} loads {} is not certain: {}\n{help}",
                path.display(),
                Reason::NoSymvers
            ));
        }
        let shown = possible.iter().filter(|reason| self.is_first_report(reason));
        for reason in shown.chain(certain.iter().filter(|_| self.force)).take(3) {
            warnings.push(format!(
                "kernel {release} would not load {} at present: {reason}\n{}",
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

    /// Returns whether the kernel refuses the module regardless of later changes.
    fn is_certain(&self, reason: &Reason, file: &File<'_>) -> bool {
        match reason {
            // Keys are enrolled after the first module is signed, and the command line may differ at the next
            // boot.
            Reason::Untrusted { cause: Cause::Key { .. }, .. } | Reason::Blacklisted { .. } => false,
            Reason::Untrusted { .. } | Reason::Revoked { .. } => self.is_own_policy,
            // The module that exports the symbol may be installed or replaced later.
            Reason::OwnerMissing { .. }
            | Reason::ProprietaryOwner { .. }
            | Reason::GplOnlyHidden { .. }
            | Reason::DependencyRefused { .. } => false,
            Reason::UnknownSymbol { .. } => {
                file.module().is_none_or(|m| m.modinfo.depends().all(|name| self.resolver.will_exist(&name)))
            }
            _ => true,
        }
    }
}
