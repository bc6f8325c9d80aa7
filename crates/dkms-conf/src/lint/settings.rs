//! Checks for settings in framework.conf that do not exist, although the administrator expects an effect.

use super::names::is_foreign;
use super::scan::{Scan, scan};
use crate::directives::Dialect;
use crate::locate::closest_in;

/// The maximum number of diagnostics.
const MAX_REPORTED: usize = 20;

/// A name that is assigned but that neither dkms knows nor the file reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSetting {
    /// The index of its file in the list.
    pub file: usize,
    /// Its line, from 1.
    pub line: u32,
    /// The name as written.
    pub name: String,
    /// The setting that was probably meant.
    pub meant: Option<&'static str>,
}

/// Finds unknown settings in framework.conf and its fragments, in the order in which they are read. A
/// variable that a later assignment uses is not a setting.
pub fn unknown_settings(texts: &[&str]) -> Vec<UnknownSetting> {
    let scans: Vec<Scan<'_>> = texts.iter().map(|text| scan(text)).collect();
    if scans.iter().any(|s| s.runs_more) {
        // Other files may read every variable.
        return Vec::new();
    }
    let mut found: Vec<UnknownSetting> = Vec::new();
    for (file, (scan, text)) in scans.iter().zip(texts).enumerate() {
        for a in &scan.assignments {
            let known = Dialect::Framework.find(a.name).is_some() || is_foreign(a.name);
            let used = a.exported || scans.iter().any(|s| s.read.contains(a.name));
            if known || used || found.len() >= MAX_REPORTED || found.iter().any(|f| f.name == a.name) {
                continue;
            }
            let before = text.get(..a.start).unwrap_or_default();
            let line = u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX);
            found.push(UnknownSetting { file, line, name: a.name.to_owned(), meant: meant(a.name) });
        }
    }
    found
}

/// The setting that was probably meant. The names of settings are in lower case, so `SIGN_FILE` is a
/// misspelling as well.
fn meant(name: &str) -> Option<&'static str> {
    let folded = name.to_ascii_lowercase();
    Dialect::Framework.find(&folded).map(|d| d.name).or_else(|| closest_in(Dialect::Framework, &folded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(texts: &[&str]) -> Vec<(usize, u32, String, Option<&'static str>)> {
        unknown_settings(texts).into_iter().map(|u| (u.file, u.line, u.name, u.meant)).collect()
    }

    #[test]
    fn unknown_settings_are_found_with_what_was_meant() {
        let table = [
            ("sing_file=/x\n", "sing_file", Some("sign_file")),
            ("\n# comment\nSIGN_FILE=/x\n", "SIGN_FILE", Some("sign_file")),
            ("parallel_job=3\n", "parallel_job", Some("parallel_jobs")),
            ("colour=blue\n", "colour", None),
            ("POST_TRANSACTION='true'", "POST_TRANSACTION", Some("post_transaction")),
        ];
        for (text, name, meant) in table {
            let line = u32::try_from(text.trim_end().matches('\n').count() + 1).unwrap();
            assert_eq!(unknown(&[text]), [(0, line, name.to_owned(), meant)], "{text}");
        }
    }

    #[test]
    fn helpers_and_known_names_are_none() {
        for text in [
            "keys=/root/k\nmok_signing_key=$keys/a\nmok_certificate=\"${keys}/b\"\n",
            "continue_on_error=false\nhook_failure=fail\n",
            "export OPENSSL_CONF=/etc/pki/x.cnf\n",
            "PATH=/opt/bin:$PATH\nLC_ALL=C\n",
            "# sing_file=/x\n",
            "helper=1\n. /etc/site.conf\n",
        ] {
            assert_eq!(unknown(&[text]), [], "{text}");
        }
        // If a later file reads it, it is not a setting. Each name is reported once.
        assert_eq!(unknown(&["dir=/x\n", "sign_file=$dir/sign\n"]), []);
        assert_eq!(unknown(&["a_b=1\n", "\na_b=2\nc_d=3"]).len(), 2);
    }
}
