//! Reads lists of limited length from documents that are not trusted.

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The most elements of a list. No machine has this many packages, kernels or problems.
const MOST: usize = 20_000;

/// Reads a list of at most [`MOST`] elements. `null` is an empty list.
///
/// # Errors
/// The list is longer, or an element cannot be read.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(List(PhantomData))
}

/// Like [`list`], for an optional key.
///
/// # Errors
/// As for [`list`].
pub(super) fn optional_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    list(deserializer).map(Some)
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            if list.len() == MOST {
                return Err(A::Error::custom(format!("a list has more than {MOST} elements")));
            }
            list.push(element);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    #[derive(serde::Deserialize, Debug)]
    struct Document {
        #[serde(deserialize_with = "super::list")]
        list: Vec<u8>,
    }

    #[test]
    fn a_list_has_a_limit() {
        let read = |text: &str| serde_json::from_str::<Document>(text).map(|d| d.list);
        assert_eq!(read("{\"list\":[1,2]}").unwrap(), [1, 2]);
        assert!(read("{\"list\":null}").unwrap().is_empty());
        assert!(read("{\"list\":{}}").is_err());
        let long = format!("{{\"list\":[{}1]}}", "1,".repeat(super::MOST));
        assert!(read(&long).unwrap_err().to_string().contains("more than"));
    }
}
