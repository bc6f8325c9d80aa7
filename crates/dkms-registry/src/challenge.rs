//! The header `WWW-Authenticate`.

use std::collections::BTreeMap;

/// The kind of login that a registry requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password.
    Basic,
    /// A token from another server.
    Bearer {
        /// The address of that server.
        realm: String,
        /// The service to name in the request for a token.
        service: Option<String>,
        /// The permissions to request.
        scope: Option<String>,
    },
}

/// Parses the values of the header. If there are several kinds of login, a token is preferred.
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

/// Parses `name="value",name=value`. Between quotes, a backslash escapes quotes and backslashes.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
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
        parameters.insert(name.trim().to_ascii_lowercase(), value);
        rest = after.trim_start_matches([',', ' ']);
    }
    parameters
}

/// Splits at the closing quote: the unescaped text before it, and the rest after it.
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
    fn challenges_are_parsed() {
        let parse = |headers: &[&str]| super::parse(headers.iter().copied());
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Some(Challenge::Bearer { realm: realm.into(), service: owned(service), scope: owned(scope) })
        };
        let full =
            r#"Bearer realm="https://auth.example/token",service="a, b",scope="repository:x:pull,push""#;
        let expected = bearer("https://auth.example/token", Some("a, b"), Some("repository:x:pull,push"));
        assert_eq!(parse(&[full]), expected);
        assert_eq!(parse(&["Basic realm=\"x\"", full]), expected);
        assert_eq!(parse(&["bearer realm=abc , Service=\"q\\\"\\\\\""]), bearer("abc", Some("q\"\\"), None));
        assert_eq!(parse(&["Basic realm=\"Registry\""]), Some(Challenge::Basic));
        assert_eq!(parse(&["basic"]), Some(Challenge::Basic));
        for none in ["Bearer", "Bearer service=\"x\"", "Negotiate", "", "Bearer realm"] {
            assert_eq!(parse(&[none]), None, "{none}");
        }
        assert_eq!(parse(&["Bearer realm=\"unfinished"]), bearer("unfinished", None, None));
    }
}
