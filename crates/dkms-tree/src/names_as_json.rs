//! Writes and reads file names in JSON. Names are bytes, but JSON strings are Unicode.
//!
//! A name that is valid UTF-8 is written as an unchanged string. Any other name is written as
//! `{"escaped":"/a/b%FF/c"}`: each byte that is not part of valid UTF-8, and each `%`, becomes `%XX`. So
//! every name has exactly one form, and older records, which contain only strings, keep their meaning.
//!
//! For fields of type `PathBuf` and `OsString`: `#[serde(with = "names_as_json")]`.

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const KEY: &str = "escaped";

/// Writes a name.
///
/// # Errors
/// The errors of the serialiser.
pub fn serialize<S: Serializer>(name: &impl AsRef<OsStr>, serializer: S) -> Result<S::Ok, S::Error> {
    let name = name.as_ref();
    if let Some(text) = name.to_str() {
        return serializer.serialize_str(text);
    }
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(KEY, &escape(name.as_bytes()))?;
    map.end()
}

/// Reads a name.
///
/// # Errors
/// The value is neither a string nor an escaped name.
pub fn deserialize<'de, D: Deserializer<'de>, T: From<OsString>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Names).map(|name| T::from(name.into_owned().into_os_string()))
}

/// Reads a name, without copying it if the input contains it unescaped.
///
/// # Errors
/// As for [`deserialize`].
pub(crate) fn borrowed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, Path>, D::Error> {
    deserializer.deserialize_any(Names)
}

/// For `Option<PathBuf>`; `null` means `None`.
pub mod optional {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::borrow::Cow;
    use std::path::{Path, PathBuf};

    /// Writes a name, or `null`.
    ///
    /// # Errors
    /// The errors of the serialiser.
    pub fn serialize<S: Serializer>(name: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        match name {
            Some(name) => super::serialize(name, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a name, or `null`.
    ///
    /// # Errors
    /// The value is neither a name nor `null`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow, deserialize_with = "super::borrowed")] Cow<'a, Path>);
        Ok(Option::<Name<'_>>::deserialize(deserializer)?.map(|name| name.0.into_owned()))
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Cow<'de, Path>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a file name: a string, or an object with the string \"{KEY}\"")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(Path::new(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let wrong = || de::Error::custom(format!("a name that is an object has the one field \"{KEY}\""));
        if map.next_key::<Cow<'_, str>>()?.as_deref() != Some(KEY) {
            return Err(wrong());
        }
        let text: Cow<'_, str> = map.next_value()?;
        if map.next_key::<de::IgnoredAny>()?.is_some() {
            return Err(wrong());
        }
        let bytes = unescape(&text)
            .ok_or_else(|| de::Error::custom("two hexadecimal digits are expected after '%'"))?;
        Ok(Cow::Owned(PathBuf::from(OsString::from_vec(bytes))))
    }
}

fn escape(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        #[serde(with = "super")]
        path: PathBuf,
        #[serde(with = "super::optional")]
        more: Option<PathBuf>,
        #[serde(with = "super")]
        text: OsString,
    }

    #[derive(Debug, Deserialize)]
    struct Borrowed<'a> {
        #[serde(borrow, deserialize_with = "super::borrowed")]
        path: Cow<'a, Path>,
    }

    fn name(bytes: &[u8]) -> OsString {
        OsString::from_vec(bytes.to_vec())
    }

    #[test]
    fn only_names_that_are_not_text_are_escaped() {
        for (bytes, json) in [
            (&b"/a/b"[..], r#""/a/b""#),
            (b"/50%/\xc3\xa4\n", r#""/50%/ä\n""#),
            (b"", r#""""#),
            (b"/b\xff/c", r#"{"escaped":"/b%FF/c"}"#),
            (b"\xff50%41", r#"{"escaped":"%FF50%2541"}"#),
            // Truncated in the middle of a character, and a surrogate.
            (b"\xe2\x82", r#"{"escaped":"%E2%82"}"#),
            (b"\xed\xa0\x80\xc3\xa4", r#"{"escaped":"%ED%A0%80ä"}"#),
        ] {
            let record =
                Record { path: name(bytes).into(), more: Some(name(bytes).into()), text: name(bytes) };
            let written = serde_json::to_string(&record).unwrap();
            assert_eq!(written, format!(r#"{{"path":{json},"more":{json},"text":{json}}}"#));
            assert_eq!(serde_json::from_str::<Record>(&written).unwrap(), record);
            let again = serde_json::from_str::<Borrowed<'_>>(&written);
            assert_eq!(again.map(|b| b.path.into_owned()).unwrap(), Path::new(&name(bytes)));
        }
        let none: Record = serde_json::from_str(r#"{"path":"a","more":null,"text":""}"#).unwrap();
        assert_eq!(none.more, None);
    }

    #[test]
    fn invalid_names_are_refused() {
        for json in [
            r#"{"escaped":"%"}"#,
            r#"{"escaped":"%f"}"#,
            r#"{"escaped":"%+f"}"#,
            r#"{"escaped":"%ä"}"#,
            r#"{"escaped":7}"#,
            r#"{"escaped":"a","b":1}"#,
            r#"{"Escaped":"a"}"#,
            "{}",
            "[47]",
            "7",
            "null",
        ] {
            assert!(
                serde_json::from_str::<Borrowed<'_>>(&format!(r#"{{"path":{json}}}"#)).is_err(),
                "{json}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn every_name_is_read_as_it_was_written(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            proptest::prop_assert_eq!(unescape(&escape(&bytes)), Some(bytes));
        }
    }
}
