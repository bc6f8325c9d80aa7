//! The environment of a build: an explicit list of variables, not all variables of the caller of dkms.
//!
//! So the modules do not depend on the machine or the user whose shell runs dkms. dkms passes on the
//! variables that kbuild, compilers and the Makefiles of packages read; `build_variables` in framework.conf
//! adds more. All of them are part of the fingerprint, except [`NO_INPUT`].

use crate::confine::HOMES;
use crate::host::Host;
use crate::system::Settings;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Variables for a child of a build.
pub(crate) type Variables = Vec<(OsString, OsString)>;

/// The variables of the caller that builds get. A name that ends in `*` matches all names with that prefix.
/// dkms-framework.conf(5) documents the list.
const PASSED: &str = "\
    ARCH SUBARCH SRCARCH CROSS_COMPILE CROSS_COMPILE_COMPAT LLVM LLVM_IAS \
    KCFLAGS KCPPFLAGS KAFLAGS KRUSTFLAGS CFLAGS_* AFLAGS_* LDFLAGS_* RUSTFLAGS_* \
    HOSTCC HOSTCXX HOSTCFLAGS HOSTCXXFLAGS HOSTLD HOSTLDFLAGS HOSTLDLIBS HOSTAR HOSTRUST* HOSTPKG_CONFIG \
    USERCFLAGS USERLDFLAGS KBUILD_* KCONFIG_* KERNEL* KERN_* KVER* KDIR KSRC MODLIB INSTALL_MOD_* \
    V W C CF CHECK PAHOLE* AR NM OBJCOPY OBJDUMP READELF STRIP RUSTC BINDGEN PYTHON PYTHON3 PERL \
    CPATH C_INCLUDE_PATH LIBRARY_PATH LD_LIBRARY_PATH LD_PRELOAD COMPILER_PATH GCC_EXEC_PREFIX PKG_CONFIG_* \
    CCACHE_* DISTCC_* ICECC_* DEBIAN_KERNEL_USE_CCACHE SYSSRC SYSOUT NV_* IGNORE_* \
    SOURCE_DATE_EPOCH TMPDIR FAKE* DKMS_LOCKS_HELD";

/// Variables of a build that are not part of the fingerprint: times, temporary directories, the locks and job
/// slots of this dkms. `KBUILD_EXTRA_SYMBOLS` is a list of paths; the contents of the files have separate
/// lines.
const NO_INPUT: [&str; 8] = [
    "SOURCE_DATE_EPOCH",
    TIMESTAMP,
    "KBUILD_EXTRA_SYMBOLS",
    "MAKEFLAGS",
    "TMPDIR",
    "HOME",
    "PWD",
    dkms_tree::lock::HELD,
];

/// If it is set, kbuild generates reproducible BTF.
const TIMESTAMP: &str = "KBUILD_BUILD_TIMESTAMP";

/// The directories that every build searches for programs, in this order.
const STANDARD_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Directories that contain no programs for builds. Only some users have them in their PATH.
const NO_TOOLS: [&str; 3] = ["/usr/games", "/usr/local/games", "/snap/bin"];

/// The variables that every command of a build has.
pub(crate) fn inherited(host: &Host, settings: &Settings) -> Variables {
    let more = settings.framework.build_variables.as_deref().unwrap_or_default();
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::from([
        ("PATH".into(), search_path(&host.path, host.root)),
        // Messages, and the order in which scripts sort, do not depend on the language of the caller.
        ("LC_ALL".into(), "C.UTF-8".into()),
    ]);
    if host.root {
        // Home directories are hidden from builds.
        variables.insert("HOME".into(), "/nonexistent".into());
    }
    let passed =
        |name: &OsStr| is_listed(name, PASSED) || is_listed(name, more) || (!host.root && name == "HOME");
    let of_caller = host.environment.iter().filter(|(name, _)| name != "PATH" && passed(name));
    variables.extend(of_caller.cloned());
    variables.into_iter().collect()
}

/// Returns whether a list of names contains this one.
fn is_listed(name: &OsStr, list: &str) -> bool {
    let name = name.as_bytes();
    list.split_whitespace().any(|listed| match listed.strip_suffix('*') {
        Some(start) => !start.is_empty() && name.starts_with(start.as_bytes()),
        None => name == listed.as_bytes(),
    })
}

/// The search path of a build: the standard directories in a fixed order, preceded or followed by the other
/// directories of the caller, such as `/opt/gcc-14/bin`. So two callers whose paths differ only in the order
/// of the standard directories have the same builds.
fn search_path(path: &OsStr, root: bool) -> OsString {
    let standard = |dir: &Path| STANDARD_PATH.iter().any(|s| Path::new(s) == dir);
    let useless = |dir: &Path| {
        !dir.is_absolute()
            || NO_TOOLS.iter().any(|n| Path::new(n) == dir)
            // They are hidden from builds.
            || (root && HOMES.iter().any(|home| dir.starts_with(home)))
            || !dkms_sys::fs::is_dir(dir)
    };
    let (mut before, mut after): (Vec<PathBuf>, Vec<PathBuf>) = (Vec::new(), Vec::new());
    let mut after_standard = false;
    for dir in std::env::split_paths(path) {
        if standard(&dir) {
            after_standard = true;
        } else if !useless(&dir) && !before.contains(&dir) && !after.contains(&dir) {
            if after_standard { after.push(dir) } else { before.push(dir) }
        }
    }
    let all = before.into_iter().chain(STANDARD_PATH.iter().map(PathBuf::from)).chain(after);
    std::env::join_paths(all).unwrap_or_else(|_| STANDARD_PATH.join(":").into())
}

/// The lines of a fingerprint for an environment: `env=NAME` and the value, for each variable that is an
/// input. These lines may be published, so the values of variables that are not on dkms's own lists are
/// replaced by a digest.
pub(crate) fn lines(inherited: &Variables, added: &Variables) -> Vec<(String, String)> {
    let all: BTreeMap<&OsStr, &OsStr> =
        inherited.iter().chain(added).map(|(name, value)| (name.as_os_str(), value.as_os_str())).collect();
    let counted = all.into_iter().filter(|(name, _)| !NO_INPUT.iter().any(|n| OsStr::new(n) == *name));
    counted
        .map(|(name, value)| {
            let own = ["PATH", "LC_ALL", "CC", "LD", "KERNEL_CC", "KERNEL_LD"];
            let of_dkms = ["kernelver", "arch", "module", "module_version"];
            let shown = is_listed(name, PASSED) || own.iter().chain(&of_dkms).any(|n| name == OsStr::new(n));
            let text = value.to_str().filter(|value| shown && value.len() <= 1024);
            let digest = || format!("sha256:{}", crate::digest::bytes(value.as_bytes()));
            (format!("env={}", name.to_string_lossy()), text.map_or_else(digest, str::to_owned))
        })
        .collect()
}

/// The variables that every command of a build gets from the caller and from dkms. `dir` contains the source
/// before patches are applied.
pub(crate) fn for_build(host: &Host, settings: &Settings, dir: &Path) -> Variables {
    let mut variables = inherited(host, settings);
    let set = variables.iter().any(|(name, value)| name == TIMESTAMP && !value.is_empty());
    if !set {
        let seconds = host.source_date_epoch().unwrap_or_else(|| newest_time(dir));
        variables.retain(|(name, _)| name != TIMESTAMP);
        variables.push((TIMESTAMP.into(), crate::time::utc(seconds).into()));
    }
    variables
}

/// Variables that name proxy servers.
const PROXIES: [&str; 10] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// The caller's proxies, for a build that may use the network. They are not part of the fingerprint, because
/// such a build is not stored in the cache.
pub(crate) fn proxies(host: &Host) -> Variables {
    let is_proxy = |name: &OsStr| PROXIES.iter().any(|proxy| name == *proxy);
    host.environment.iter().filter(|(name, _)| is_proxy(name)).cloned().collect()
}

/// The modification time of the newest file below a directory, in seconds since 1970. Ignores files that
/// cannot be examined.
fn newest_time(dir: &Path) -> u64 {
    let names = dkms_sys::fs::list_dir(dir).unwrap_or_default();
    let times = names.into_iter().map(|name| {
        let path = dir.join(name);
        match dkms_sys::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => newest_time(&path),
            Ok(meta) => u64::try_from(std::os::unix::fs::MetadataExt::mtime(&meta)).unwrap_or_default(),
            Err(_) => 0,
        }
    });
    times.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn only_listed_variables_are_passed() {
        for name in ["KCFLAGS", "KBUILD_VERBOSE", "ARCH", "LLVM", "HOSTCC", "CROSS_COMPILE", "NV_VERBOSE"] {
            assert!(is_listed(OsStr::new(name), PASSED), "{name}");
        }
        for name in ["FOO", "HOSTNAME", "USER", "LANG", "ARCHX", "KCFLAG", "SSH_AUTH_SOCK", "", "*"] {
            assert!(!is_listed(OsStr::new(name), PASSED), "{name}");
        }
        assert!(is_listed(OsStr::new("MY_FLAG"), " MY_* x"));
        assert!(!is_listed(OsStr::new("MY_FLAG"), "*"), "a star alone matches nothing");
    }

    #[test]
    fn the_manual_page_lists_the_passed_variables() {
        let page = include_str!("../../../../packaging/man/dkms-framework.conf.5");
        let (_, section) = page.split_once(".Sh ENVIRONMENT").unwrap();
        let (_, listed) = section.split_once(".It from the caller").unwrap();
        let (listed, _) = listed.split_once(".It from framework.conf").unwrap();
        let words = |line: &str| line.split([' ', ',']).map(str::to_owned).collect::<Vec<_>>();
        let lines = listed.lines().filter_map(|line| line.strip_prefix(".Ev "));
        let mut documented: Vec<String> =
            lines.flat_map(words).filter(|word| !word.is_empty() && word != ".").collect();
        let mut passed: Vec<String> = PASSED.split_whitespace().map(str::to_owned).collect();
        documented.sort();
        passed.sort();
        assert_eq!(documented, passed);
    }

    #[test]
    fn the_order_of_standard_directories_does_not_matter() {
        let standard = STANDARD_PATH.join(":");
        let path = |text: &str| search_path(OsStr::new(text), true).into_string().unwrap();
        for same in ["", "/bin:/usr/bin", "/sbin:/usr/games:/usr/local/bin:/root/bin:relative:/nowhere/bin"] {
            assert_eq!(path(same), standard, "{same}");
        }
        assert_eq!(path("/etc:/usr/bin:/etc:/bin:/dev"), format!("/etc:{standard}:/dev"));
    }

    #[test]
    fn times_and_locks_are_not_part_of_the_fingerprint() {
        let empty = pairs(&[]);
        let expected = lines(&pairs(&[("ARCH", "x86"), ("B", "2")]), &empty);
        assert_eq!(expected, lines(&pairs(&[("B", "2"), ("ARCH", "arm")]), &pairs(&[("ARCH", "x86")])));
        let timed = pairs(&[("ARCH", "x86"), ("SOURCE_DATE_EPOCH", "3"), ("B", "2")]);
        assert_eq!(expected, lines(&timed, &empty));
        assert_eq!(expected.first(), Some(&("env=ARCH".to_owned(), "x86".to_owned())));
        assert!(expected.iter().any(|(name, value)| name == "env=B" && value.starts_with("sha256:")));
        assert_ne!(expected, lines(&pairs(&[("ARCH", "x86")]), &empty));
    }
}
