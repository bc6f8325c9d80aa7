//! The header `WWW-Authenticate`.

use std::collections::BTreeMap;

/// What a registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password.
    Basic,
    /// A token from another server.
    Bearer {
        /// Where to get it.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

/// Reads the header's values. A token is preferred.
pub(crate) fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            let mut values = parameters(rest);
            if let Some(realm) = values.remove("realm") {
                let (service, scope) = (values.remove("service"), values.remove("scope"));
                return Some(Challenge::Bearer { realm, service, scope });
            }
        } else if scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
    }
    basic
}

/// `name="value",name=value`; in quotes, a backslash is in front of quotes and backslashes.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start_matches([',', ' ']);
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                let (value, after) = after.split_at(end);
                (value.trim().to_owned(), after)
            }
        };
        found.insert(name.trim().to_ascii_lowercase(), value);
        rest = after.trim_start_matches([',', ' ']);
    }
    found
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_understood() {
        let of = |headers: &[&str]| parse(headers.iter().copied());
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Some(Challenge::Bearer { realm: realm.into(), service: owned(service), scope: owned(scope) })
        };
        let full =
            r#"Bearer realm="https://auth.example/token",service="a, b",scope="repository:x:pull,push""#;
        let expected = bearer("https://auth.example/token", Some("a, b"), Some("repository:x:pull,push"));
        assert_eq!(of(&[full]), expected);
        assert_eq!(of(&["Basic realm=\"x\"", full]), expected);
        assert_eq!(of(&["bearer realm=abc , Service=\"q\\\"\\\\\""]), bearer("abc", Some("q\"\\"), None));
        assert_eq!(of(&["Basic realm=\"Registry\""]), Some(Challenge::Basic));
        assert_eq!(of(&["basic"]), Some(Challenge::Basic));
        for none in ["Bearer", "Bearer service=\"x\"", "Negotiate", "", "Bearer realm"] {
            assert_eq!(of(&[none]), None, "{none}");
        }
        assert_eq!(of(&["Bearer realm=\"unfinished"]), bearer("unfinished", None, None));
    }
}
