//! The settings of `framework.conf` with types, and their problems.

use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::directives::Directives;
use crate::registry;

/// The machine's configuration. `None` means not set, so the default or an earlier file applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameworkConf {
    /// The directory of the sources.
    pub source_tree: Option<String>,
    /// The directory of packages and builds.
    pub dkms_tree: Option<String>,
    /// The directory of installed modules.
    pub install_tree: Option<String>,
    /// The directory for temporary files.
    pub tmp_location: Option<String>,
    /// Whether to print more. Any text means yes, an empty text means no.
    pub verbose: Option<bool>,
    /// Whether to install links instead of copies. Any text means yes.
    pub symlink_modules: Option<bool>,
    /// Whether to build for every installed kernel when a package is upgraded. Any text means yes.
    pub autoinstall_all_kernels: Option<bool>,
    /// Whether to load modules after an installation. Any text means yes.
    pub modprobe_on_install: Option<bool>,
    /// The number of parallel jobs; 0 means no limit.
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
    /// `true`, `false` or `not_in_chroot`. Another value is a problem, and the setting stays unset.
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
    /// The maximum size of the cache of builds in bytes; 0 means no cache. Written as `500M` or `2G`.
    pub cache_size: Option<u64>,
    /// Whether builds are confined.
    pub build_confinement: Option<Confinement>,
    /// The first and the last user ID that is reserved for builds.
    pub build_users: Option<(u32, u32)>,
    /// Registries of finished builds, in the order in which dkms searches them. Invalid names are reported as
    /// problems and left out.
    pub registry: Option<Vec<String>>,
    /// Whether builds of a registry are used.
    pub prebuilt: Option<Prebuilt>,
    /// The private keys that sign the builds pushed to a registry: files, or `pkcs11:` URIs.
    pub registry_key: Vec<String>,
    /// The certificate of the key that signs the modules of a fleet whose machines have no key.
    pub registry_signer: Option<String>,
}

/// Whether builds of a registry are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prebuilt {
    /// Builds of a registry are used if there are any; other modules are compiled.
    Prefer,
    /// Only builds of a registry are used; nothing is compiled.
    Only,
    /// Registries are not used.
    Off,
}

impl Prebuilt {
    const WORDS: [(&'static str, Self); 3] =
        [("prefer", Self::Prefer), ("only", Self::Only), ("off", Self::Off)];

    /// Parses a word in framework.conf or on the command line.
    pub fn from_word(word: &str) -> Option<Self> {
        value_of_word(word, &Self::WORDS)
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

impl Confinement {
    const WORDS: [(&'static str, Self); 3] =
        [("require", Self::Require), ("auto", Self::Auto), ("off", Self::Off)];
}

impl FrameworkConf {
    /// Converts the options to types. Relative trees, invalid numbers and unknown words are problems, and
    /// those options are left unset.
    pub fn from_directives(directives: &Directives) -> (FrameworkConf, Vec<Diagnostic>) {
        let mut options = Options { directives, problems: Vec::new() };
        let conf = FrameworkConf {
            source_tree: options.path("source_tree"),
            dkms_tree: options.path("dkms_tree"),
            install_tree: options.path("install_tree"),
            tmp_location: options.path("tmp_location"),
            verbose: options.switch("verbose"),
            symlink_modules: options.switch("symlink_modules"),
            autoinstall_all_kernels: options.switch("autoinstall_all_kernels"),
            modprobe_on_install: options.switch("modprobe_on_install"),
            parallel_jobs: options.number("parallel_jobs"),
            compress_gzip_opts: options.text("compress_gzip_opts"),
            compress_xz_opts: options.text("compress_xz_opts"),
            compress_zstd_opts: options.text("compress_zstd_opts"),
            build_environment: options.text("build_environment"),
            build_variables: options.text("build_variables"),
            post_transaction: options.text("post_transaction"),
            sign_file: options.text("sign_file"),
            mok_signing_key: options.text("mok_signing_key"),
            mok_certificate: options.text("mok_certificate"),
            mok_signing_key_2: options.text("mok_signing_key_2"),
            mok_certificate_2: options.text("mok_certificate_2"),
            try_sign_modules: options.signing(),
            lock_timeout: options.number("lock_timeout"),
            min_free_memory: options.number("min_free_memory"),
            required_modules: options.text("required_modules"),
            hook_failure: options.word("hook_failure", &[("warn", false), ("fail", true)]),
            fallback: options.word("fallback", &[("yes", true), ("no", false)]),
            hold_kernel: options.word("hold_kernel", &[("yes", true), ("no", false)]),
            depmod: options.word("depmod", &[("auto", false), ("program", true)]),
            btf: options.word("btf", &[("auto", true), ("off", false)]),
            cache_size: options.size("cache_size"),
            build_confinement: options.word("build_confinement", &Confinement::WORDS),
            build_users: options.user_ids("build_users"),
            registry: options.registries("registry"),
            prebuilt: options.word("prebuilt", &Prebuilt::WORDS),
            registry_key: options.keys("registry_key"),
            registry_signer: options.path("registry_signer"),
        };
        (conf, options.problems)
    }
}

/// Reads single options. An empty value counts as not set, except for texts and switches.
struct Options<'a> {
    directives: &'a Directives,
    problems: Vec<Diagnostic>,
}

impl<'a> Options<'a> {
    fn text(&self, name: &str) -> Option<String> {
        self.directives.get(name, 0).map(str::to_owned)
    }

    fn switch(&self, name: &str) -> Option<bool> {
        self.directives.get(name, 0).map(|value| !value.is_empty())
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.directives.get(name, 0).filter(|value| !value.is_empty())
    }

    fn problem(&mut self, name: &str, message: String, help: impl Into<String>) {
        self.problems.push(Diagnostic::error(Code::Setting, message, help).about(name, None));
    }

    /// Returns `parsed`. If it is `None`, adds the problem that the value is `wrong`.
    fn checked<T>(
        &mut self,
        name: &str,
        parsed: Option<T>,
        wrong: &str,
        help: impl Into<String>,
    ) -> Option<T> {
        if parsed.is_none() {
            let message = format!("{name} is '{}', which is {wrong}", self.value(name)?);
            self.problem(name, message, help);
        }
        parsed
    }

    /// Names of registries, separated by blanks or line breaks. An empty value means that there are none.
    fn registries(&mut self, name: &str) -> Option<Vec<String>> {
        let value = self.directives.get(name, 0)?;
        let mut names = Vec::new();
        for registry in value.split_whitespace() {
            match registry::check(registry) {
                Ok(()) => names.push(registry.to_owned()),
                Err(reason) => {
                    self.problem(name, format!("{name} names '{registry}': {reason}"), registry::HELP);
                }
            }
        }
        Some(names)
    }

    /// Absolute paths and URIs of tokens, separated by blanks.
    fn keys(&mut self, name: &str) -> Vec<String> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let (keys, wrong): (Vec<&str>, Vec<&str>) =
            value.split_whitespace().partition(|key| key.starts_with('/') || key.starts_with("pkcs11:"));
        for key in wrong {
            let message =
                format!("{name} names '{key}', which is neither an absolute path nor a pkcs11: URI");
            self.problem(name, message, "begin the path with '/'");
        }
        keys.into_iter().map(str::to_owned).collect()
    }

    fn path(&mut self, name: &str) -> Option<String> {
        let value = self.value(name)?;
        let path = value.starts_with('/').then(|| value.to_owned());
        self.checked(name, path, "not an absolute path", "begin the path with '/'")
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Option<T> {
        let value = self.value(name)?;
        let digits = value.bytes().all(|b| b.is_ascii_digit());
        let help = format!("a whole number, such as {name}=4");
        self.checked(name, value.parse().ok().filter(|_| digits), "not a valid number for this option", help)
    }

    /// Bytes: a whole number, with `K`, `M`, `G` or `T` for the powers of 1024. `KiB` and `MB` mean the same,
    /// in upper or lower case.
    fn size(&mut self, name: &str) -> Option<u64> {
        let value = self.value(name)?;
        let help = format!("a whole number of bytes, or one with K, M, G or T, such as {name}=2G");
        self.checked(name, parse_size(value), "not a size", help)
    }

    /// `FIRST-LAST`: neither system users (below 1000) nor special IDs (65534 is nobody, 65535 is not a valid
    /// ID).
    fn user_ids(&mut self, name: &str) -> Option<(u32, u32)> {
        let value = self.value(name)?;
        let ids = value.split_once('-').and_then(|(first, last)| Some((id(first)?, id(last)?)));
        let valid = |(first, last): &(u32, u32)| {
            *first >= 1000 && first <= last && *last < u32::MAX && !(*first <= 65535 && *last >= 65534)
        };
        let wrong = "not a valid range of user IDs for builds";
        let help = "FIRST-LAST, at least 1000 and without 65534 and 65535, such as build_users=64200-64455";
        self.checked(name, ids.filter(valid), wrong, help)
    }

    fn signing(&mut self) -> Option<String> {
        let words = ["true", "false", "not_in_chroot"].map(|word| (word, word));
        self.word("try_sign_modules", &words).map(str::to_owned)
    }

    /// One of several words.
    fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.value(name)?;
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = match names.as_slice() {
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
            [] => String::new(),
        };
        self.checked(name, value_of_word(value, words), "an unknown word", help)
    }
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

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

fn value_of_word<T: Copy>(word: &str, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
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
