//! Landlock: restricts writing and, if secrets cannot be hidden by mounts, reading.
//!
//! The parent creates the set of rules. Paths behind the program's own mounts exist only after these are
//! mounted, so the child adds all rules, without allocating.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetError,
};

use super::view::{Access, Place};
use crate::error::check;

/// The Landlock version of the running kernel; 0 if it has none or it is disabled.
pub fn abi() -> u32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag, the kernel accepts a null pointer and size 0, and only returns a number.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0usize, VERSION)
    };
    u32::try_from(version).unwrap_or(0)
}

const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The access rights that we restrict, as far as the kernel supports them.
const KNOWN: ABI = ABI::V5;

/// A ruleset and the rules to add to it.
#[derive(Debug)]
pub(super) struct Rules {
    set: OwnedFd,
    rules: Vec<(CString, u64)>,
}

/// `struct landlock_path_beneath_attr` of linux/landlock.h.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

impl Rules {
    /// Allows writing to `temporary` and to the `places` with write access, and reading everywhere except
    /// `unseen`. `None` if this kernel enforces nothing.
    pub(super) fn prepare(
        places: &[Place],
        temporary: &[PathBuf],
        unseen: &[&Path],
        no_network: bool,
    ) -> Result<Option<Self>, RulesetError> {
        let Some((set, handled)) = create_ruleset(no_network)? else { return Ok(None) };
        let read = AccessFs::from_read(KNOWN) & handled;
        let file = AccessFs::from_file(KNOWN) & handled;
        let mut rules: Vec<(PathBuf, BitFlags<AccessFs>)> =
            readable(Path::new("/"), unseen).into_iter().map(|path| (path, read)).collect();
        let device = file & !AccessFs::Execute;
        rules.extend(DEVICES.iter().map(|path| (PathBuf::from(path), device)));
        rules.extend(temporary.iter().map(|path| (path.clone(), handled)));
        for place in places {
            if place.access == Access::Read {
                rules.extend(readable(&place.target, unseen).into_iter().map(|path| (path, read)));
            } else {
                rules.push((place.target.clone(), handled));
            }
        }
        let rules = rules.into_iter().filter_map(|(path, access)| {
            let access = if path.is_file() || DEVICES.iter().any(|d| path == Path::new(d)) {
                access & file
            } else {
                access
            };
            Some((CString::new(path.as_os_str().as_bytes()).ok()?, access.bits()))
        });
        Ok(Some(Rules { set, rules: rules.collect() }))
    }

    /// Allows reading `read` and everything below it, and using `write`, and nothing else: no file can be
    /// executed. `None` if this kernel enforces nothing.
    pub(super) fn only(read: &[PathBuf], write: &[PathBuf]) -> Result<Option<Self>, RulesetError> {
        let Some((set, handled)) = create_ruleset(false)? else { return Ok(None) };
        let usable = handled & !AccessFs::Execute;
        let readable = AccessFs::from_read(KNOWN) & usable;
        let paths = read.iter().map(|path| (path, readable)).chain(write.iter().map(|path| (path, usable)));
        let rules = paths.filter_map(|(path, access)| {
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
            Some((CString::new(path.as_os_str().as_bytes()).ok()?, access.bits()))
        });
        Ok(Some(Rules { set, rules: rules.collect() }))
    }

    /// Adds the rules and restricts this thread. Only with no_new_privs set. A path that does
    /// not exist gets no rule, so it is not accessible.
    pub(super) fn enforce(&self) -> std::io::Result<()> {
        const PATH_BENEATH: libc::c_int = 1;
        for (path, allowed) in &self.rules {
            // SAFETY: a NUL-terminated path; the structure is complete and outlives the call; flags are 0.
            unsafe {
                let parent = libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
                if parent < 0 {
                    continue;
                }
                let rule = PathBeneath { allowed: *allowed, parent };
                let set = self.set.as_raw_fd();
                libc::syscall(libc::SYS_landlock_add_rule, set, PATH_BENEATH, &raw const rule, 0u32);
                libc::close(parent);
            }
        }
        // SAFETY: the descriptor is a Landlock ruleset that we own; flags are 0.
        check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.set.as_raw_fd(), 0u32) })
    }
}

/// Creates a ruleset without rules. Returns it with the access rights to files that this kernel restricts;
/// `None` if this kernel enforces nothing.
fn create_ruleset(no_network: bool) -> Result<Option<(OwnedFd, BitFlags<AccessFs>)>, RulesetError> {
    let all = AccessFs::from_all(KNOWN);
    let mut set = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
    if no_network {
        set = set.handle_access(AccessNet::from_all(ABI::V4))?;
    }
    let set: Option<OwnedFd> = set.create()?.into();
    let supported = AccessFs::from_all(ABI::from(i32::try_from(abi()).unwrap_or(i32::MAX)));
    Ok(set.map(|set| (set, all & supported)))
}

/// The largest directories and files below `dir` that contain nothing `unseen`. Landlock rules can only allow
/// access, not deny it.
fn readable(dir: &Path, unseen: &[&Path]) -> Vec<PathBuf> {
    if unseen.contains(&dir) {
        return Vec::new();
    }
    if !unseen.iter().any(|path| path.starts_with(dir)) {
        return vec![dir.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.filter_map(|e| Some(e.ok()?.path())).flat_map(|path| readable(&path, unseen)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unseen_is_left_out() {
        let dir = tempfile::tempdir().expect("tempdir");
        for name in ["a/b", "a/c/d", "e"] {
            std::fs::create_dir_all(dir.path().join(name)).expect("mkdir");
        }
        std::fs::write(dir.path().join("a/key"), "x").expect("write");
        let (key, d) = (dir.path().join("a/key"), dir.path().join("a/c/d"));
        let mut seen = readable(dir.path(), &[&key, &d]);
        seen.sort();
        assert_eq!(seen, [dir.path().join("a/b"), dir.path().join("e")]);
        assert_eq!(readable(dir.path(), &[]), [dir.path()]);
        assert_eq!(readable(dir.path(), &[Path::new("/elsewhere")]), [dir.path()]);
    }
}
