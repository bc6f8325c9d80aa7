//! The names that interrupted commands leave behind.

/// Parses `.NAME.RANDOM`, the temporary file of an atomic write. Returns NAME.
pub(super) fn atomic(name: &str) -> Option<&str> {
    let (original, random) = name.strip_prefix('.')?.rsplit_once('.')?;
    let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    (!original.is_empty() && random.len() == 16 && random.bytes().all(is_hex)).then_some(original)
}

/// Parses `.NAME.dkms-WORD`, a file that a change of a kernel's modules moved aside. Returns NAME and WORD.
pub(super) fn aside(name: &str) -> Option<(&str, &str)> {
    let (original, word) = name.strip_prefix('.')?.rsplit_once(".dkms-")?;
    let is_known = matches!(word, "new" | "old" | "moving" | "link" | "text");
    (!original.is_empty() && is_known).then_some((original, word))
}

/// Parses `.NAME.adding` or `.NAME.removed`. Returns NAME and the word.
pub(super) fn registering(name: &str) -> Option<(&str, &str)> {
    let (original, word) = name.strip_prefix('.')?.rsplit_once('.')?;
    (!original.is_empty() && matches!(word, "adding" | "removed")).then_some((original, word))
}

/// Parses `kernel-K-A`. Returns K and A. An architecture contains no dash.
pub(super) fn active_link(name: &str) -> Option<(&str, &str)> {
    let (release, arch) = name.strip_prefix("kernel-")?.rsplit_once('-')?;
    (dkms_tree::state::looks_like_release(release) && !arch.is_empty()).then_some((release, arch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_dkms_are_recognized() {
        assert_eq!(atomic("..manifest.json.0123456789abcdef"), Some(".manifest.json"));
        assert_eq!(atomic(".mok.pub.00112233aabbccdd"), Some("mok.pub"));
        for foreign in [".swp.0123", ".x.0123456789ABCDEF", "x.0123456789abcdef", "..0123456789abcdef", ".x"]
        {
            assert_eq!(atomic(foreign), None, "{foreign}");
        }
        assert_eq!(aside(".a.ko.dkms-old"), Some(("a.ko", "old")));
        assert_eq!(aside("..manifest.json.dkms-text"), Some((".manifest.json", "text")));
        assert_eq!((aside(".a.ko.dkms-what"), aside("a.ko.dkms-old")), (None, None));
        assert_eq!(registering(".1.0.adding"), Some(("1.0", "adding")));
        assert_eq!(registering(".1.0.other"), None);
        assert_eq!(active_link("kernel-6.1.0-9-amd64-x86_64"), Some(("6.1.0-9-amd64", "x86_64")));
        assert_eq!(active_link("kernel-x"), None);
    }
}
