//! Reads the variables of the firmware and of shim through efivarfs. If efivarfs is not mounted or not
//! readable, or if a list is too long for one variable, it reads the copies that shim left for the kernel
//! (`mok-variables`).
//!
//! efivarfs has a file `NAME-GUID` for each variable, with four bytes of attributes before the data (kernel
//! Documentation/filesystems/efivarfs.rst). `mok-variables` has a file `NAME` with only the data
//! (drivers/firmware/efi/mokvar-table.c), readable by root only.

use super::fact::Fact;
use dkms_sys::fs::Limit;
use kmodule::efi_siglist::SignatureLists;
use std::path::{Path, PathBuf};

/// `EFI_GLOBAL_VARIABLE`
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// `EFI_IMAGE_SECURITY_DATABASE_GUID`
const SECURITY: &str = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
/// shim's GUID
const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";
/// `EFI_VARIABLE_NON_VOLATILE`
const NON_VOLATILE: u32 = 1;
/// The maximum number of variables that shim may have split a list into; far more than firmware has room for.
const PARTS: u32 = 64;

/// Whether the firmware and shim check the signatures of the programs that they start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecureBoot {
    /// Secure Boot is on.
    On,
    /// Secure Boot is disabled in the firmware or in shim.
    Off {
        /// Disabled in shim only (`mokutil --disable-validation`). The firmware still checks shim.
        by_shim: bool,
    },
    /// The firmware waits for keys to be installed, and checks nothing.
    SetupMode,
    /// The machine was not started by EFI firmware.
    NotEfi,
    /// It cannot be determined, for this reason.
    Unknown(String),
}

/// A variable that holds lists of certificates and digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Trusted by the firmware.
    Db,
    /// Forbidden by the firmware.
    Dbx,
    /// Machine owner keys, as shim shows them to the running system.
    MokListRt,
    /// Forbidden by the machine's owner.
    MokListXrt,
    /// Certificates that MokManager will enrol at the next boot.
    MokNew,
    /// Certificates that MokManager will delete at the next boot.
    MokDel,
}

impl Variable {
    /// All variables, in the order of their numbers.
    pub const ALL: [Variable; 6] =
        [Self::Db, Self::Dbx, Self::MokListRt, Self::MokListXrt, Self::MokNew, Self::MokDel];

    /// The name of the variable, as the firmware and mokutil write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Db => "db",
            Self::Dbx => "dbx",
            Self::MokListRt => "MokListRT",
            Self::MokListXrt => "MokListXRT",
            Self::MokNew => "MokNew",
            Self::MokDel => "MokDel",
        }
    }

    fn guid(self) -> &'static str {
        match self {
            Self::Db | Self::Dbx => SECURITY,
            _ => SHIM,
        }
    }

    /// Returns whether shim also leaves a copy in memory. The kernel prefers that copy.
    fn has_copy(self) -> bool {
        matches!(self, Self::MokListRt | Self::MokListXrt)
    }
}

/// Returns whether this machine was started by EFI firmware.
///
/// # Errors
/// It cannot be determined: sysfs is missing, or a container hides it.
pub fn booted(root: &Path) -> Fact<bool> {
    let firmware = root.join("sys/firmware");
    if firmware.join("efi").is_dir() {
        return Ok(true);
    }
    match dkms_sys::fs::is_empty_dir(&firmware) {
        Ok(false) => Ok(false),
        Ok(true) => Err(format!("{} is empty: hidden from this container", firmware.display())),
        Err(e) => Err(e.to_string()),
    }
}

/// The state of Secure Boot, determined as in the kernel's EFI stub
/// (drivers/firmware/efi/libstub/secureboot.c): on in the firmware, not in setup mode, and not disabled in
/// shim.
pub fn secure_boot(root: &Path) -> SecureBoot {
    match booted(root) {
        Ok(true) => {}
        Ok(false) => return SecureBoot::NotEfi,
        Err(why) => return SecureBoot::Unknown(why),
    }
    let flag = |name: &str, guid: &str| read(root, name, guid).map(|v| v.map(|(_, data)| data == [1]));
    let read_state = || -> Fact<SecureBoot> {
        let on = flag("SecureBoot", GLOBAL)?;
        if flag("SetupMode", GLOBAL)? == Some(true) {
            return Ok(SecureBoot::SetupMode);
        }
        if on != Some(true) {
            return Ok(SecureBoot::Off { by_shim: false });
        }
        // Anyone with access to the variables can create a variable that survives a reboot; shim's own
        // variable does not survive a reboot.
        let shim = read(root, "MokSBStateRT", SHIM)?;
        let by_shim = shim.is_some_and(|(attributes, data)| attributes & NON_VOLATILE == 0 && data == [1]);
        Ok(if by_shim { SecureBoot::Off { by_shim } } else { SecureBoot::On })
    };
    read_state().unwrap_or_else(SecureBoot::Unknown)
}

/// Reads the attributes and data of a variable; `None` if it does not exist.
fn read(root: &Path, name: &str, guid: &str) -> Fact<Option<(u32, Vec<u8>)>> {
    let dir = root.join("sys/firmware/efi/efivars");
    let path = dir.join(format!("{name}-{guid}"));
    match dkms_sys::fs::read_bounded(&path, Limit::INDEX) {
        Ok(bytes) => match bytes.split_at_checked(4) {
            Some((attributes, data)) => {
                let attributes = attributes.try_into().map_or(0, u32::from_le_bytes);
                Ok(Some((attributes, data.to_vec())))
            }
            None => Err(format!("{} is too short for a variable", path.display())),
        },
        Err(e) if e.is_not_found() => match dkms_sys::fs::is_empty_dir(&dir) {
            Ok(false) => Ok(None),
            Ok(true) => Err(format!("efivarfs is not mounted on {}", dir.display())),
            Err(e) => Err(e.to_string()),
        },
        Err(e) => Err(e.to_string()),
    }
}

fn copies(root: &Path) -> PathBuf {
    root.join("sys/firmware/efi/mok-variables")
}

/// Reads a list of certificates and digests.
pub(super) fn list(root: &Path, variable: Variable) -> Fact<SignatureLists> {
    if booted(root) == Ok(false) {
        return Ok(SignatureLists::default());
    }
    let name = variable.name();
    let parse = |data: &[u8]| SignatureLists::parse(data).map_err(|e| format!("{name} is damaged: {e}"));
    if variable.has_copy() {
        if let Ok(data) = dkms_sys::fs::read_bounded(copies(root).join(name), Limit::INDEX) {
            return parse(&data);
        }
    }
    let mut list = match read(root, name, variable.guid())? {
        Some((_, data)) => parse(&data)?,
        None => SignatureLists::default(),
    };
    // A list that does not fit in one variable continues in MokListRT1, MokListRT2 ...
    if variable.has_copy() {
        for part in 1..=PARTS {
            match read(root, &format!("{name}{part}"), variable.guid())? {
                Some((_, data)) => list.append(parse(&data)?),
                None => break,
            }
        }
    }
    Ok(list)
}

/// Returns whether the kernel loads machine owner keys into `.machine`. shim requests that by creating this
/// variable (security/integrity/platform_certs/machine_keyring.c).
pub(super) fn mok_list_trusted(root: &Path) -> Fact<bool> {
    if booted(root) == Ok(false) {
        return Ok(false);
    }
    let copies = copies(root);
    if dkms_sys::fs::is_empty_dir(&copies).is_ok_and(|empty| !empty) {
        return Ok(copies.join("MokListTrustedRT").exists());
    }
    Ok(read(root, "MokListTrustedRT", SHIM)?.is_some_and(|(_, data)| data == [1]))
}
