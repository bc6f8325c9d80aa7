//! `framework.conf` with types, and its problems.

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::directives::Directives;
use crate::registry;

/// The machine's configuration. `None` means not set, so the default or an earlier file applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameworkConf {
    /// Where the sources are.
    pub source_tree: Option<String>,
    /// Where dkms keeps what it built.
    pub dkms_tree: Option<String>,
    /// Where modules are installed.
    pub install_tree: Option<String>,
    /// Where temporary files go.
    pub tmp_location: Option<String>,
    /// Print more. Any text means yes, an empty one no.
    pub verbose: Option<bool>,
    /// Install links instead of copies. Any text means yes.
    pub symlink_modules: Option<bool>,
    /// Build for every installed kernel when a package is upgraded. Any text means yes.
    pub autoinstall_all_kernels: Option<bool>,
    /// Load modules after an installation. Any text means yes.
    pub modprobe_on_install: Option<bool>,
    /// Number of parallel jobs; 0 means no limit.
    pub parallel_jobs: Option<u32>,
    /// Options for gzip.
    pub compress_gzip_opts: Option<String>,
    /// Options for xz.
    pub compress_xz_opts: Option<String>,
    /// Options for zstd.
    pub compress_zstd_opts: Option<String>,
    /// A file with variables for make's environment.
    pub build_environment: Option<String>,
    /// Names of variables of the caller that builds get in addition to the usual ones.
    pub build_variables: Option<String>,
    /// A command that runs once after modules have changed.
    pub post_transaction: Option<String>,
    /// The kernel's sign-file program.
    pub sign_file: Option<String>,
    /// The private key, or a `pkcs11:` URI.
    pub mok_signing_key: Option<String>,
    /// The key's certificate.
    pub mok_certificate: Option<String>,
    /// The private key of a second signer of each module.
    pub mok_signing_key_2: Option<String>,
    /// The certificate of that key.
    pub mok_certificate_2: Option<String>,
    /// `true`, `false` or `not_in_chroot`; another value is a problem and left unset.
    pub try_sign_modules: Option<String>,
    /// Seconds to wait for another dkms; 0 means not to wait, unset means no limit.
    pub lock_timeout: Option<u64>,
    /// Available memory in MiB that is needed to start another build in parallel.
    pub min_free_memory: Option<u64>,
    /// Packages or modules, separated by blanks, that a kernel needs to be `ready`.
    pub required_modules: Option<String>,
    /// Whether a failing module fails the installation of a kernel. Written as `warn` or `fail`.
    pub hook_failure: Option<bool>,
    /// Whether autoinstall installs an older version of a package if the newest does not build. Written as
    /// `yes` or `no`.
    pub fallback: Option<bool>,
    /// Whether kernels that lack required modules are kept from being started by default. Written as `yes` or
    /// `no`.
    pub hold_kernel: Option<bool>,
    /// Whether depmod always writes the index. Written as `auto` or `program`; with `auto`, dkms writes it if
    /// the result is identical.
    pub depmod: Option<bool>,
    /// Whether dkms adds BTF to modules if kbuild cannot. Written as `auto` or `off`.
    pub btf: Option<bool>,
    /// The most bytes of the cache of builds; 0 means there is none. Written like `500M` or `2G`.
    pub cache_size: Option<u64>,
    /// Whether builds are confined.
    pub build_confinement: Option<Confinement>,
    /// The first and the last user ID that is reserved for builds.
    pub build_users: Option<(u32, u32)>,
    /// Registries of finished builds, in the order in which they are asked. Invalid names are problems and
    /// left out.
    pub registry: Option<Vec<String>>,
    /// Whether builds of a registry are used.
    pub prebuilt: Option<Prebuilt>,
    /// The private keys that sign what is pushed to a registry: files, or `pkcs11:` URIs.
    pub registry_key: Vec<String>,
    /// The certificate of the key that signs the modules of a fleet whose machines have no key.
    pub registry_signer: Option<String>,
}

/// Whether builds of a registry are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prebuilt {
    /// What a registry has is used, the rest is compiled.
    Prefer,
    /// Nothing is compiled.
    Only,
    /// No registry is asked.
    Off,
}

impl Prebuilt {
    /// The words in framework.conf and on the command line.
    pub const WORDS: [&'static str; 3] = ["prefer", "only", "off"];

    /// What a word means.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "prefer" => Some(Self::Prefer),
            "only" => Some(Self::Only),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// Whether builds are confined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confinement {
    /// Fully; other builds are refused.
    Require,
    /// As far as this machine supports it; missing parts are reported.
    #[default]
    Auto,
    /// Not at all.
    Off,
}

impl FrameworkConf {
    /// Converts the options to types. Relative trees, invalid numbers and unknown words are problems, and
    /// those options are left unset.
    pub fn from_directives(directives: &Directives) -> (FrameworkConf, Vec<Diagnostic>) {
        let mut problems = Vec::new();
        let text = |name: &str| directives.get(name, 0).map(str::to_owned);
        let switch = |name: &str| directives.get(name, 0).map(|v| !v.is_empty());
        let conf = FrameworkConf {
            source_tree: path(directives, "source_tree", &mut problems),
            dkms_tree: path(directives, "dkms_tree", &mut problems),
            install_tree: path(directives, "install_tree", &mut problems),
            tmp_location: path(directives, "tmp_location", &mut problems),
            verbose: switch("verbose"),
            symlink_modules: switch("symlink_modules"),
            autoinstall_all_kernels: switch("autoinstall_all_kernels"),
            modprobe_on_install: switch("modprobe_on_install"),
            parallel_jobs: number(directives, "parallel_jobs", &mut problems),
            compress_gzip_opts: text("compress_gzip_opts"),
            compress_xz_opts: text("compress_xz_opts"),
            compress_zstd_opts: text("compress_zstd_opts"),
            build_environment: text("build_environment"),
            build_variables: text("build_variables"),
            post_transaction: text("post_transaction"),
            sign_file: text("sign_file"),
            mok_signing_key: text("mok_signing_key"),
            mok_certificate: text("mok_certificate"),
            mok_signing_key_2: text("mok_signing_key_2"),
            mok_certificate_2: text("mok_certificate_2"),
            try_sign_modules: word(
                directives,
                "try_sign_modules",
                &["true", "false", "not_in_chroot"],
                &mut problems,
            ),
            lock_timeout: number(directives, "lock_timeout", &mut problems),
            min_free_memory: number(directives, "min_free_memory", &mut problems),
            required_modules: text("required_modules"),
            hook_failure: word(directives, "hook_failure", &["warn", "fail"], &mut problems)
                .map(|w| w == "fail"),
            fallback: word(directives, "fallback", &["yes", "no"], &mut problems).map(|w| w == "yes"),
            hold_kernel: word(directives, "hold_kernel", &["yes", "no"], &mut problems).map(|w| w == "yes"),
            depmod: word(directives, "depmod", &["auto", "program"], &mut problems)
                .map(|word| word == "program"),
            btf: word(directives, "btf", &["auto", "off"], &mut problems).map(|word| word == "auto"),
            cache_size: size(directives, "cache_size", &mut problems),
            build_confinement: word(
                directives,
                "build_confinement",
                &["require", "auto", "off"],
                &mut problems,
            )
            .map(|word| match word.as_str() {
                "require" => Confinement::Require,
                "off" => Confinement::Off,
                _ => Confinement::Auto,
            }),
            build_users: user_ids(directives, &mut problems),
            registry: registries(directives, &mut problems),
            prebuilt: word(directives, "prebuilt", &Prebuilt::WORDS, &mut problems)
                .and_then(|word| Prebuilt::from_word(&word)),
            registry_key: keys(directives, &mut problems),
            registry_signer: path(directives, "registry_signer", &mut problems),
        };
        (conf, problems)
    }
}

/// The registries that framework.conf names, separated by blanks or line breaks. An empty value means none.
fn registries(directives: &Directives, problems: &mut Vec<Diagnostic>) -> Option<Vec<String>> {
    let value = directives.get("registry", 0)?;
    let mut names = Vec::new();
    for name in value.split_whitespace() {
        match registry::check(name) {
            Ok(()) => names.push(name.to_owned()),
            Err(reason) => {
                let message = format!("registry names '{name}': {reason}");
                problems
                    .push(Diagnostic::error(Code::Setting, message, registry::HELP).about("registry", None));
            }
        }
    }
    Some(names)
}

/// Absolute paths and URIs of tokens, separated by blanks.
fn keys(directives: &Directives, problems: &mut Vec<Diagnostic>) -> Vec<String> {
    let value = directives.get("registry_key", 0).unwrap_or_default();
    let (keys, wrong): (Vec<&str>, Vec<&str>) =
        value.split_whitespace().partition(|key| key.starts_with('/') || key.starts_with("pkcs11:"));
    for key in wrong {
        let message =
            format!("registry_key names '{key}', which is neither an absolute path nor a pkcs11: URI");
        problems.push(
            Diagnostic::error(Code::Setting, message, "begin the path with '/'").about("registry_key", None),
        );
    }
    keys.into_iter().map(str::to_owned).collect()
}

/// An absolute path; an empty one counts as not set.
fn path(directives: &Directives, name: &str, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let value = directives.get(name, 0).filter(|v| !v.is_empty())?;
    if value.starts_with('/') {
        return Some(value.to_owned());
    }
    let message = format!("{name} is '{value}', which is not an absolute path");
    problems.push(Diagnostic::error(Code::Setting, message, "begin the path with '/'").about(name, None));
    None
}

fn number<T: std::str::FromStr>(
    directives: &Directives,
    name: &str,
    problems: &mut Vec<Diagnostic>,
) -> Option<T> {
    let value = directives.get(name, 0).filter(|v| !v.is_empty())?;
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let parsed = value.parse().ok().filter(|_| digits);
    if parsed.is_none() {
        let message = format!("{name} is '{value}', which is not a valid number for this option");
        problems.push(
            Diagnostic::error(Code::Setting, message, format!("a whole number, such as {name}=4"))
                .about(name, None),
        );
    }
    parsed
}

/// Bytes: a whole number, with `K`, `M`, `G` or `T` for the powers of 1024. `KiB`, `MB` and the like mean the
/// same, in any case.
fn size(directives: &Directives, name: &str, problems: &mut Vec<Diagnostic>) -> Option<u64> {
    let value = directives.get(name, 0).filter(|v| !v.is_empty())?;
    let parsed = parse_size(value);
    if parsed.is_none() {
        let message = format!("{name} is '{value}', which is not a size");
        let help = format!("a whole number of bytes, or one with K, M, G or T, such as {name}=2G");
        problems.push(Diagnostic::error(Code::Setting, message, help).about(name, None));
    }
    parsed
}

fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let power = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1024u64.pow(power))
}

/// `FIRST-LAST`: neither system users (below 1000) nor special IDs (65534 is nobody, 65535 is not a valid
/// ID).
fn user_ids(directives: &Directives, problems: &mut Vec<Diagnostic>) -> Option<(u32, u32)> {
    let value = directives.get("build_users", 0).filter(|v| !v.is_empty())?;
    let ids = value.split_once('-').and_then(|(first, last)| Some((id(first)?, id(last)?)));
    let valid = |(first, last): &(u32, u32)| {
        *first >= 1000 && first <= last && *last < u32::MAX && !(*first <= 65535 && *last >= 65534)
    };
    let ids = ids.filter(valid);
    if ids.is_none() {
        let message = format!("build_users is '{value}', which is not a valid range of user IDs for builds");
        let help = "FIRST-LAST, at least 1000 and without 65534 and 65535, such as build_users=64200-64455";
        problems.push(Diagnostic::error(Code::Setting, message, help).about("build_users", None));
    }
    ids
}

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// One of several words.
fn word(
    directives: &Directives,
    name: &str,
    words: &[&str],
    problems: &mut Vec<Diagnostic>,
) -> Option<String> {
    let value = directives.get(name, 0).filter(|v| !v.is_empty())?;
    if words.contains(&value) {
        return Some(value.to_owned());
    }
    let message = format!("{name} is '{value}', which is an unknown word");
    let help = match words {
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
        [] => String::new(),
    };
    problems.push(Diagnostic::error(Code::Setting, message, help).about(name, None));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(pairs: &[(&str, &str)]) -> (FrameworkConf, Vec<Diagnostic>) {
        let mut d = Directives::new();
        for (name, value) in pairs {
            d.set(*name, 0, *value);
        }
        FrameworkConf::from_directives(&d)
    }

    #[test]
    fn unset_is_none_and_empty_switches_off() {
        assert_eq!(conf(&[]), (FrameworkConf::default(), vec![]));
        let (c, p) = conf(&[("verbose", ""), ("symlink_modules", "no"), ("dkms_tree", "")]);
        assert_eq!((c.verbose, c.symlink_modules, c.dkms_tree), (Some(false), Some(true), None));
        assert_eq!(p, vec![]);
    }

    #[test]
    fn registries_in_order() {
        let (c, p) = conf(&[("registry", "r.example/dkms\n http://localhost:5000/a/b ")]);
        assert_eq!(
            c.registry.as_deref(),
            Some(&["r.example/dkms".to_owned(), "http://localhost:5000/a/b".to_owned()][..])
        );
        assert_eq!(p, vec![]);
        assert_eq!(conf(&[("registry", "")]).0.registry, Some(vec![]));
        let (c, p) = conf(&[("registry", "r.example/dkms ftp://x/y")]);
        assert_eq!(c.registry.map(|r| r.len()), Some(1));
        assert_eq!(p.iter().map(|p| p.directive.as_str()).collect::<Vec<_>>(), ["registry"]);
        let (c, _) = conf(&[("prebuilt", "only"), ("registry_key", "/a.key /b.key pkcs11:token=t;object=k")]);
        assert_eq!((c.prebuilt, c.registry_key.len()), (Some(Prebuilt::Only), 3));
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("500M", 500 << 20),
            ("2G", 2 << 30),
            ("1 GiB", 1 << 30),
            ("10kb", 10 << 10),
            ("1t", 1 << 40),
        ] {
            let (c, p) = conf(&[("cache_size", text)]);
            assert_eq!((c.cache_size, p.len()), (Some(bytes), 0), "{text}");
        }
        for text in ["-1", "G", "1.5G", "2X", "1G G", "18446744073709551615K", "0x10"] {
            let (c, p) = conf(&[("cache_size", text)]);
            assert_eq!((c.cache_size, p.len()), (None, 1), "{text}");
        }
    }

    #[test]
    fn numbers_trees_and_words() {
        let (c, p) = conf(&[
            ("parallel_jobs", "0"),
            ("lock_timeout", "600"),
            ("dkms_tree", "/d"),
            ("try_sign_modules", "not_in_chroot"),
            ("build_confinement", "require"),
            ("build_users", "70000-70063"),
        ]);
        assert_eq!((c.build_confinement, c.build_users), (Some(Confinement::Require), Some((70000, 70063))));
        assert_eq!((c.parallel_jobs, c.lock_timeout), (Some(0), Some(600)));
        assert_eq!(
            (c.dkms_tree.as_deref(), c.try_sign_modules.as_deref()),
            (Some("/d"), Some("not_in_chroot"))
        );
        assert_eq!(p, vec![]);
        for (name, value) in [
            ("parallel_jobs", "-1"),
            ("parallel_jobs", "+1"),
            ("parallel_jobs", "4294967296"),
            ("lock_timeout", "ten"),
            ("min_free_memory", "1G"),
            ("install_tree", "lib"),
            ("try_sign_modules", "yes"),
            ("hook_failure", "never"),
            ("fallback", "maybe"),
            ("depmod", "never"),
            ("btf", "yes"),
            ("build_confinement", "yes"),
            ("build_users", "64200"),
            ("build_users", "0-10"),
            ("build_users", "999-2000"),
            ("build_users", "64300-64200"),
            ("build_users", "+64200-64300"),
            ("build_users", "64200-65600"),
            ("build_users", "64200-4294967295"),
            ("prebuilt", "yes"),
            ("registry_key", "key.pem"),
            ("registry_signer", "fleet.der"),
        ] {
            let (c, p) = conf(&[(name, value)]);
            assert_eq!(c, FrameworkConf::default(), "{name}");
            assert_eq!(p.iter().map(|p| p.directive.as_str()).collect::<Vec<_>>(), [name]);
        }
    }
}
