//! Trees with the layout of sysfs, efivarfs and procfs.

use super::*;
use kmodule::sign::Certificate;
use std::fs;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, path: &str, data: impl AsRef<[u8]>) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
        self
    }

    fn variable(&self, name: &str, attributes: u8, data: &[u8]) -> &Self {
        let guid = match name {
            "SecureBoot" | "SetupMode" => "8be4df61-93ca-11d2-aa0d-00e098032b8c",
            "db" | "dbx" => "d719b2cb-3d3a-4596-a3bc-dad00e67656f",
            _ => "605dab50-e046-4300-abb6-3dd810dd8b23",
        };
        let data = [&[attributes, 0, 0, 0][..], data].concat();
        self.put(&format!("sys/firmware/efi/efivars/{name}-{guid}"), data)
    }

    fn inspect(&self) -> Machine {
        Machine::inspect(self.0.path())
    }
}

fn certificate() -> Certificate {
    let (_, der) = kmodule::mok::generate("Test key", 1, &mut kmodule::mok::OsRng, 0).unwrap();
    Certificate::parse(&der).unwrap()
}

/// One `EFI_SIGNATURE_LIST` with a certificate.
fn list(certificate: &Certificate) -> Vec<u8> {
    let der = certificate.der();
    let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let kind = b"\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72";
    [kind.as_slice(), &word(44 + der.len()), &word(0), &word(16 + der.len()), &[0; 16], der].concat()
}

#[test]
fn secure_boot_in_every_state() {
    let state = |variables: &[(&str, u8, u8)]| {
        let t = Tree::new();
        t.variable("BootOrder", 7, &[0]);
        for (name, attributes, value) in variables {
            t.variable(name, *attributes, &[*value]);
        }
        t.inspect().secure_boot
    };
    let off = |by_shim| SecureBoot::Off { by_shim };
    assert_eq!(state(&[]), off(false));
    assert_eq!(state(&[("SecureBoot", 6, 0), ("SetupMode", 6, 0)]), off(false));
    assert_eq!(state(&[("SecureBoot", 6, 0), ("SetupMode", 6, 1)]), SecureBoot::SetupMode);
    let on = [("SecureBoot", 6, 1), ("SetupMode", 6, 0)];
    assert_eq!(state(&on), SecureBoot::On);
    assert_eq!(state(&[on[0], on[1], ("MokSBStateRT", 6, 1)]), off(true));
    // shim's variable does not survive a reboot; a variable that survives was not written by shim.
    assert_eq!(state(&[on[0], on[1], ("MokSBStateRT", 7, 1)]), SecureBoot::On);
}

#[test]
fn what_cannot_be_seen_is_unknown() {
    let t = Tree::new();
    assert!(matches!(t.inspect().secure_boot, SecureBoot::Unknown(_)));
    assert!(
        t.inspect().sig_enforce.is_err() && t.inspect().lockdown.is_err() && t.inspect().cmdline.is_err()
    );
    fs::create_dir_all(t.0.path().join("sys/firmware")).unwrap();
    assert!(matches!(t.inspect().secure_boot, SecureBoot::Unknown(_)), "hidden from a container");
    fs::create_dir_all(t.0.path().join("sys/firmware/efi/efivars")).unwrap();
    let machine = t.inspect();
    assert!(matches!(&machine.secure_boot, SecureBoot::Unknown(why) if why.contains("not mounted")));
    assert!(machine.mok().is_err() && machine.db().is_err());
    // A directory in place of a file cannot be read, even by root.
    t.variable("SecureBoot", 6, &[1]);
    let path = "sys/firmware/efi/efivars/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f";
    fs::create_dir(t.0.path().join(path)).unwrap();
    assert!(t.inspect().db().is_err());

    let bios = Tree::new();
    bios.put("sys/firmware/acpi/x", "");
    let machine = bios.inspect();
    assert_eq!(machine.secure_boot, SecureBoot::NotEfi);
    assert!(machine.mok().unwrap().certificates.is_empty() && machine.mok_list_trusted() == Ok(false));
}

#[test]
fn lists_of_certificates() {
    let (ours, other) = (certificate(), certificate());
    let t = Tree::new();
    t.variable("MokListRT", 6, &list(&other)).variable("MokListRT1", 6, &list(&ours));
    t.variable("MokNew", 7, &list(&ours)).variable("db", 0x27, &[1, 2, 3]);
    let machine = t.inspect();
    assert!(machine.mok().unwrap().contains(&ours) && machine.mok().unwrap().contains(&other));
    assert!(machine.list(Variable::MokNew).unwrap().contains(&ours));
    assert!(machine.list(Variable::MokDel).unwrap().certificates.is_empty());
    assert!(machine.db().unwrap_err().contains("damaged"));
    // The kernel reads the copy in memory, which has no attributes.
    t.put("sys/firmware/efi/mok-variables/MokListRT", list(&ours));
    assert!(!t.inspect().mok().unwrap().contains(&other) && t.inspect().mok().unwrap().contains(&ours));
    assert_eq!(t.inspect().mok_list_trusted(), Ok(false));
    t.put("sys/firmware/efi/mok-variables/MokListTrustedRT", [1]);
    assert_eq!(t.inspect().mok_list_trusted(), Ok(true));
}

#[test]
fn keyrings_hold_what_their_descriptions_say() {
    let (ours, other) = (certificate(), certificate());
    let id: String = ours.subject_key_id().unwrap().iter().map(|b| format!("{b:02x}")).collect();
    let tail = &id[id.len() - 8..];
    let keys = format!(
        "0bb8cba9 I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: empty\n\
         1667ce01 I--Q---     1 perm 1f3f0000     0 65534 keyring   _uid_ses.0: 1\n\
         broken line\n\
         2c0a1b2c I------     1 perm 1f0b0000     0     0 keyring   .machine: 1\n\
         2c0a1b2d I------     1 perm 1f030000     0     0 asymmetri Test key: {id}: X509.rsa {tail} []\n\
         2c0a1b2e I------     1 perm 1f0b0000     0     0 keyring   .platform: 1\n"
    );
    let members = |serial: i32| match serial {
        0x2c0a_1b2c => Ok(vec![0x2c0a_1b2d]),
        0x2c0a_1b2e => Ok(vec![]),
        _ => Err("not asked for".to_owned()),
    };
    let seen = TrustedKeys::from_text(Ok(keys.clone()), members);
    assert_eq!(seen.keyrings_with(&ours), [".machine"]);
    assert_eq!((seen.holds(&ours), seen.holds(&other)), (Some(true), Some(false)));
    assert_eq!(seen.forbids(&ours), None, "there is no blacklist to be seen");
    let unreadable = TrustedKeys::from_text(Ok(keys), |_| Err("forbidden".into()));
    assert_eq!(unreadable.holds(&ours), None);
    assert!(unreadable.unreadable().unwrap().contains("forbidden"));
    // An unprivileged user sees no keyrings, which does not mean that no keyrings exist.
    assert_eq!(TrustedKeys::from_text(Ok(String::new()), members).holds(&ours), None);
    assert_eq!(TrustedKeys::from_text(Err("no".into()), members).holds(&ours), None);
}

#[test]
fn blacklisted_by_the_digest_of_what_was_signed() {
    use sha2::Digest;
    let ours = certificate();
    let tbs: String = sha2::Sha256::digest(ours.tbs()).iter().map(|b| format!("{b:02x}")).collect();
    let keys = format!(
        "00000001 I------     1 perm 0f0b0000     0     0 keyring   .blacklist: 1\n\
         00000002 I------     1 perm 0b0b0000     0     0 blacklist tbs:{tbs}\n"
    );
    let seen = TrustedKeys::from_text(Ok(keys), |_| Ok(vec![]));
    assert_eq!((seen.forbids(&ours), seen.forbids(&certificate())), (Some(true), Some(false)));
}

const SIGNED: &str =
    "CONFIG_MODULE_SIG=y\nCONFIG_SECURITY_LOCKDOWN_LSM=y\nCONFIG_SECURITY_LOCKDOWN_LSM_EARLY=y\n";

fn machine(cmdline: &str, sig_enforce: &str, lockdown: &str, secure_boot: Option<bool>) -> (Tree, Machine) {
    let t = Tree::new();
    t.put("proc/cmdline", cmdline).put("sys/firmware/acpi/x", "").put("sys/module/x", "");
    if !sig_enforce.is_empty() {
        t.put("sys/module/module/parameters/sig_enforce", sig_enforce);
    }
    if !lockdown.is_empty() {
        t.put("sys/kernel/security/lockdown", lockdown);
    }
    if let Some(on) = secure_boot {
        t.variable("SecureBoot", 6, &[on.into()]).variable("SetupMode", 6, &[0]);
    }
    let machine = t.inspect();
    (t, machine)
}

#[test]
fn the_running_kernel_is_looked_at() {
    let enforcement = |sig: &str, lockdown: &str| {
        policy(&machine("quiet", sig, lockdown, Some(true)).1, None, true).enforce
    };
    assert_eq!(enforcement("Y\n", "[none] integrity confidentiality\n"), Enforce::SigEnforce);
    assert_eq!(
        enforcement("Y\n", "none [integrity] confidentiality\n"),
        Enforce::SigEnforce,
        "sig_enforce is checked first"
    );
    assert_eq!(enforcement("N\n", "none [integrity] confidentiality\n"), Enforce::Lockdown);
    assert_eq!(enforcement("N\n", "none integrity [confidentiality]\n"), Enforce::Lockdown);
    assert_eq!(enforcement("N\n", "[none] integrity confidentiality\n"), Enforce::No);
    assert_eq!(enforcement("", ""), Enforce::No, "it knows no signatures");
    assert_eq!(enforcement("N\n", "?\n"), Enforce::Unknown);
    assert_eq!(enforcement("N\n", ""), Enforce::Unknown, "securityfs is not mounted");
    let (t, _) = machine("quiet", "N\n", "", None);
    t.put("sys/kernel/security/lsm", "capability,yama");
    assert_eq!(policy(&t.inspect(), None, true).enforce, Enforce::No, "mounted, and no lockdown in it");
}

#[test]
fn another_kernel_is_judged_by_its_configuration() {
    let enforcement = |cmdline: &str, more: &str, secure_boot: Option<bool>| {
        let (_tree, machine) = machine(cmdline, "N\n", "[none] integrity confidentiality\n", secure_boot);
        policy(&machine, Some(&format!("{SIGNED}{more}")), false).enforce
    };
    assert_eq!(enforcement("", "", Some(true)), Enforce::No);
    assert_eq!(enforcement("", "CONFIG_MODULE_SIG_FORCE=y\n", None), Enforce::SigEnforce);
    for on in ["module.sig_enforce", "module.sig-enforce=1", "a module.sig_enforce=0 module.sig_enforce=on"] {
        assert_eq!(enforcement(on, "", None), Enforce::SigEnforce, "{on}");
    }
    for off in ["module.sig_enforce=0", "module.sig_enforce=off", "sig_enforce", "-- module.sig_enforce"] {
        assert_eq!(enforcement(off, "", None), Enforce::No, "{off}");
    }
    assert_eq!(enforcement("", "CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY=y\n", None), Enforce::Lockdown);
    assert_eq!(enforcement("lockdown=integrity", "", None), Enforce::Lockdown);
    assert_eq!(enforcement("lockdown=integrity lockdown=none", "", None), Enforce::No);
    for debian in ["CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT=y\n", "CONFIG_IMA_ARCH_POLICY=y\n"] {
        assert_ne!(enforcement("", debian, Some(true)), Enforce::No);
        assert_eq!(enforcement("", debian, Some(false)), Enforce::No);
        assert_eq!(enforcement("", debian, None), Enforce::No);
    }
    let (_tree, machine) = machine("lockdown=integrity", "N\n", "", None);
    let asked = |config: Option<&str>| policy(&machine, config, false).enforce;
    assert_eq!(asked(None), Enforce::Unknown);
    assert_eq!(asked(Some("# CONFIG_MODULE_SIG is not set\n")), Enforce::No);
    let late = "CONFIG_MODULE_SIG=y\nCONFIG_SECURITY_LOCKDOWN_LSM=y\nCONFIG_LSM=";
    assert_eq!(asked(Some(&format!("{late}\"yama\"\n"))), Enforce::No, "lockdown is not active there");
    assert_eq!(asked(Some(&format!("{late}\"yama,lockdown\"\n"))), Enforce::Lockdown);
}

#[test]
fn this_machine_is_looked_at_without_complaint() {
    let machine = Machine::inspect(Path::new("/"));
    let ours = certificate();
    assert_ne!(machine.keyrings().holds(&ours), Some(true));
    for variable in Variable::ALL {
        let _ = machine.list(variable).map(|lists| assert!(!lists.contains(&ours)));
    }
}
