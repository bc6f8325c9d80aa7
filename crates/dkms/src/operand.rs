//! Decides by their form which operands are paths.

use std::path::{Path, PathBuf};

/// Whether a word can only be a path. `foo/1.0` can be a module even if there is a directory of this name.
pub(crate) fn is_path(word: &str) -> bool {
    word.starts_with('/')
        || [".", ".."].iter().any(|dir| word == *dir || word.starts_with(&format!("{dir}/")))
}

/// Whether a word has the suffix of an archive: `foo/1.0.tar` is hardly a version.
pub(crate) fn is_archive(word: &str) -> bool {
    let suffixes = [
        ".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".tgz", ".txz", ".tbz2", ".tzst", ".rpm",
        ".deb",
    ];
    suffixes.iter().any(|suffix| word.ends_with(suffix))
}

/// Whether [`crate::request::Subject`] takes a word as a path.
pub(crate) fn names_a_path(word: &str) -> bool {
    let path = Path::new(word);
    path.is_file() || path.is_dir() && path.join("dkms.conf").exists() || is_path(word) || is_archive(word)
}

/// The absolute path. It stays relative if the current directory does not exist.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names_are_told_apart() {
        for word in ["./x", "/x", "..", "../y"] {
            assert!(is_path(word), "{word}");
        }
        for word in ["foo/1.0", "foo", "..foo/1"] {
            assert!(!is_path(word), "{word}");
        }
        for word in ["a.dkms.tar.gz", "m.rpm", "m.deb"] {
            assert!(is_archive(word), "{word}");
        }
        assert!(!is_archive("foo/1.0"));
    }
}
