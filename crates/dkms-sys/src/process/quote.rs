//! Quoting for a shell.

use std::ffi::OsStr;

/// Quotes a word for a shell: bare if possible, otherwise in single quotes. Control characters and bytes that
/// are not text become `$'\xNN'`, so that the result can be printed anywhere.
pub fn quote(word: impl AsRef<OsStr>) -> String {
    use std::os::unix::ffi::OsStrExt;
    let bytes = word.as_ref().as_bytes();
    let harmless = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_^".contains(c);
    match std::str::from_utf8(bytes) {
        Ok("") => "''".to_owned(),
        Ok(text) if text.chars().all(harmless) => text.to_owned(),
        Ok(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', "'\\''")),
        _ => escaped(bytes),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut out = String::from("$'");
    for byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\'' | b'\\' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            0x20..=0x7e => out.push(char::from(*byte)),
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn examples() {
        for (word, quoted) in [
            ("make", "make"),
            ("-j4", "-j4"),
            ("M=/var/lib/x y", "'M=/var/lib/x y'"),
            ("", "''"),
            ("it's", "'it'\\''s'"),
            ("$HOME", "'$HOME'"),
            ("a\nb", "$'a\\nb'"),
            ("\u{1b}[2J", "$'\\x1b[2J'"),
            ("~", "'~'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
        #[test]
        fn bash_reads_back_the_same_word(bytes in proptest::collection::vec(1u8..=255, 0..24)) {
            let word = OsStr::from_bytes(&bytes);
            let script = format!("LC_ALL=C; printf %s {}", quote(word));
            if let Ok(output) = std::process::Command::new("bash").arg("-c").arg(script).output() {
                proptest::prop_assert_eq!(output.stdout, bytes);
            }
        }
    }
}
