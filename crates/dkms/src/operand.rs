//! Operands by their form: which words are meant as paths.

use std::path::Path;

/// Whether a word can only be meant as a path. `foo/1.0` can be a module even if such a directory is here.
pub(crate) fn is_path(word: &str) -> bool {
    word.starts_with('/') || [".", ".."].iter().any(|d| word == *d || word.starts_with(&format!("{d}/")))
}

/// Whether a word is named like an archive: `foo/1.0.tar` is hardly a version.
pub(crate) fn is_archive(word: &str) -> bool {
    let ends = [
        ".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".tgz", ".txz", ".tbz2", ".tzst", ".rpm",
        ".deb",
    ];
    ends.iter().any(|e| word.ends_with(e))
}

/// Whether a word is meant as a path, as [`crate::request::Subject`] sorts operands.
pub(crate) fn names_a_path(word: &str) -> bool {
    let path = Path::new(word);
    path.is_file() || path.is_dir() && path.join("dkms.conf").exists() || is_path(word) || is_archive(word)
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
