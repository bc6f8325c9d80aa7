//! Determines whether a kernel requires signatures.
//!
//! The rules are those of `module_sig_check` in kernel/module/signing.c. If `sig_enforce` is on, a module
//! without a valid signature is refused with EKEYREJECTED. Otherwise, if the kernel is locked down, it is
//! refused with EPERM. Otherwise it is loaded and taints the kernel.

use super::Machine;
use super::efi::SecureBoot;
use super::lockdown::Lockdown;

/// The kernel's policy for a module that has no valid signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforce {
    /// It is loaded, and taints the kernel.
    No,
    /// Refused: EKEYREJECTED.
    SigEnforce,
    /// Refused: EPERM.
    Lockdown,
    /// It cannot be determined.
    Unknown,
}

/// The policy and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The kernel's policy.
    pub enforce: Enforce,
    /// The reason, worded to follow "because".
    pub why: String,
}

/// Determines whether a kernel on this machine requires signatures.
///
/// `running` means that it is the running kernel, whose state is read. Another kernel is judged by three
/// things: its configuration (the text of a `.config` or `auto.conf`), the command line of the running
/// kernel, which it will most likely get too, and Secure Boot.
pub fn policy(machine: &Machine, config: Option<&str>, running: bool) -> Policy {
    if running { running_policy(machine, config) } else { other_policy(machine, config) }
}

impl Policy {
    fn new(enforce: Enforce, why: impl Into<String>) -> Self {
        Self { enforce, why: why.into() }
    }
}

fn running_policy(machine: &Machine, config: Option<&str>) -> Policy {
    match &machine.sig_enforce {
        Ok(Some(true)) => {
            return Policy::new(Enforce::SigEnforce, "the running kernel has module.sig_enforce on");
        }
        Ok(None) => return Policy::new(Enforce::No, "the running kernel is built without module signatures"),
        Ok(Some(false)) => {}
        // If the kernel does not show its state, its configuration may still determine it.
        Err(why) => return or_unknown(other_policy(machine, config), why),
    }
    match &machine.lockdown {
        Ok(Lockdown::None) => {
            Policy::new(Enforce::No, "the running kernel neither enforces signatures nor is it locked down")
        }
        Ok(level) => {
            Policy::new(Enforce::Lockdown, format!("the running kernel is locked down ({})", level.word()))
        }
        Err(why) => or_unknown(other_policy(machine, config), why),
    }
}

/// Returns `guess`, or `why` as the reason if that is unknown too.
fn or_unknown(guess: Policy, why: &str) -> Policy {
    match guess.enforce {
        Enforce::Unknown => Policy::new(Enforce::Unknown, why),
        _ => guess,
    }
}

fn other_policy(machine: &Machine, config: Option<&str>) -> Policy {
    let cmdline = machine.cmdline.as_deref();
    let is_requested = cmdline.is_ok_and(|line| module_parameter(line, "module.sig_enforce"));
    let Some(config) = config.map(Config) else {
        return if is_requested {
            Policy::new(Enforce::SigEnforce, "the kernel's command line has module.sig_enforce")
        } else {
            Policy::new(Enforce::Unknown, "the kernel's configuration does not exist")
        };
    };
    if !config.on("CONFIG_MODULE_SIG") {
        return Policy::new(Enforce::No, "the kernel is built without module signatures (CONFIG_MODULE_SIG)");
    }
    if config.on("CONFIG_MODULE_SIG_FORCE") {
        return Policy::new(
            Enforce::SigEnforce,
            "the kernel is built to require signatures (CONFIG_MODULE_SIG_FORCE)",
        );
    }
    if is_requested {
        return Policy::new(Enforce::SigEnforce, "the kernel's command line has module.sig_enforce");
    }
    let secure = &machine.secure_boot;
    // security/integrity/ima/ima_efi.c enables sig_enforce.
    let ima = config.on("CONFIG_IMA_ARCH_POLICY");
    if ima && *secure == SecureBoot::On {
        return Policy::new(
            Enforce::SigEnforce,
            "Secure Boot is on, and the kernel then requires signatures",
        );
    }
    let has_lockdown = has_lockdown(&config, cmdline.unwrap_or_default());
    if has_lockdown {
        let forced =
            ["CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY", "CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY"];
        if let Some(name) = forced.into_iter().find(|name| config.on(name)) {
            return Policy::new(Enforce::Lockdown, format!("the kernel is built with lockdown on ({name})"));
        }
        if let Some(level) =
            cmdline.ok().and_then(|line| last(line, "lockdown")).filter(|l| enables_lockdown(l))
        {
            return Policy::new(Enforce::Lockdown, format!("the kernel's command line has lockdown={level}"));
        }
    }
    let efi = has_lockdown && config.on("CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT");
    match secure {
        SecureBoot::On if efi => {
            Policy::new(Enforce::Lockdown, "Secure Boot is on, and the kernel then enables lockdown")
        }
        SecureBoot::Unknown(why) if efi || ima => {
            Policy::new(Enforce::Unknown, format!("that depends on Secure Boot: {why}"))
        }
        _ => match &machine.cmdline {
            Ok(_) => Policy::new(Enforce::No, "no setting makes the kernel require signatures"),
            Err(why) => Policy::new(Enforce::Unknown, why.clone()),
        },
    }
}

/// Returns whether the lockdown module is built in and active.
fn has_lockdown(config: &Config<'_>, cmdline: &str) -> bool {
    if !config.on("CONFIG_SECURITY_LOCKDOWN_LSM") {
        return false;
    }
    let listed = |list: &str| list.split(',').any(|name| name == "lockdown");
    config.on("CONFIG_SECURITY_LOCKDOWN_LSM_EARLY")
        || match last(cmdline, "lsm") {
            Some(list) => listed(list),
            None => config.value("CONFIG_LSM").is_some_and(listed),
        }
}

fn enables_lockdown(level: &str) -> bool {
    Lockdown::from_word(level).is_some_and(|l| l != Lockdown::None)
}

/// The parameters of the kernel's command line, up to the `--` after which init's own parameters begin.
/// Dashes and underscores in names are equivalent (kernel/params.c).
pub fn parameters(cmdline: &str) -> impl Iterator<Item = (String, Option<&str>)> {
    cmdline.split_ascii_whitespace().take_while(|word| *word != "--").map(|word| match word.split_once('=') {
        Some((name, value)) => (name.replace('-', "_"), Some(value.trim_matches('"'))),
        None => (word.replace('-', "_"), None),
    })
}

/// The last value of a parameter.
fn last<'a>(cmdline: &'a str, name: &str) -> Option<&'a str> {
    parameters(cmdline).filter(|(n, _)| n == name).filter_map(|(_, value)| value).last()
}

/// A parameter that can be enabled and not disabled again (`bool_enable_only`), parsed like `kstrtobool`.
fn module_parameter(cmdline: &str, name: &str) -> bool {
    let on = |value: Option<&str>| match value {
        None => true,
        Some(value) => {
            matches!(
                value.as_bytes(),
                [b'y' | b'Y' | b't' | b'T' | b'1', ..] | [b'o' | b'O', b'n' | b'N', ..]
            )
        }
    };
    parameters(cmdline).any(|(n, value)| n == name && on(value))
}

/// The text of a kernel's configuration.
struct Config<'a>(&'a str);

impl Config<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        let has_name =
            |text: &'_ str| text.starts_with(name) && text.as_bytes().get(name.len()) == Some(&b'=');
        let line = self.0.lines().find(|text| has_name(text))?;
        Some(line.get(name.len() + 1..)?.trim_end().trim_matches('"'))
    }

    fn on(&self, name: &str) -> bool {
        self.value(name) == Some("y")
    }
}
