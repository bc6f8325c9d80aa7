//! Makes text safe to print. Names, files and the output of programs can contain anything, such as a sequence
//! that changes the title of a terminal or hides the line above it.

use dkms_conf::is_unprintable;
use std::borrow::Cow;

/// Returns the text with an escape such as `\u001b` for every unprintable character except the line feed. In
/// a JSON document, such characters are always in strings, so the result means the same.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |character| is_unprintable(character) && character != '\n')
}

/// Like [`printable`], but escapes line feeds as well.
pub(crate) fn on_one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unprintable)
}

/// Returns the text without the PINs in addresses of keys in tokens (`pin-value` of RFC 7512).
pub(crate) fn without_pins(text: &str) -> Cow<'_, str> {
    const NAME: &str = "pin-value=";
    if !text.contains(NAME) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(NAME);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end =
            part.find(|next: char| next.is_whitespace() || "&;?'\"\\,)".contains(next)).unwrap_or(part.len());
        out.push_str(NAME);
        out.push_str("...");
        out.push_str(part.get(end..).unwrap_or_default());
    }
    Cow::Owned(out)
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_hidden(character) {
            // Unprintable characters are below U+10000, so four digits are enough.
            out.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_is_written_out() {
        for (text, shown) in [
            ("plain, ж 中 😀", "plain, ж 中 😀"),
            ("\x1b]0;title\x07x", "\\u001b]0;title\\u0007x"),
            ("a\u{9b}2J\x7f", "a\\u009b2J\\u007f"),
            ("a\u{202e}b\u{2066}\u{2028}", "a\\u202eb\\u2066\\u2028"),
            ("one\ntwo\r\n", "one\ntwo\\u000d\n"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(on_one_line("a\nb"), "a\\u000ab");
    }

    #[test]
    fn pins_in_addresses_are_left_out() {
        for (text, shown) in [
            ("a key", "a key"),
            ("pkcs11:object=k?pin-value=1234 and", "pkcs11:object=k?pin-value=... and"),
            ("{\"key\":\"pkcs11:a?pin-value=1234&b=c\"}", "{\"key\":\"pkcs11:a?pin-value=...&b=c\"}"),
            ("pin-value=12 pin-value=34", "pin-value=... pin-value=..."),
        ] {
            assert_eq!(without_pins(text), shown);
        }
    }

    #[test]
    fn no_character_gets_through_and_every_document_means_the_same() {
        let all: String = ('\0'..='\u{3000}').collect();
        assert!(!printable(&all).chars().any(|c| is_unprintable(c) && c != '\n'));
        let document = serde_json::json!({ &all: [&all] });
        for text in [document.to_string(), format!("{document:#}")] {
            let read: serde_json::Value = serde_json::from_str(&printable(&text)).unwrap();
            assert_eq!(read, document);
        }
        assert_eq!(printable(&printable(&all)), printable(&all));
    }
}
