//! POSIX extended regular expressions, like bash's `=~`, with libc's `regcomp` in the C locale.
//!
//! A Rust program uses the C locale unless it calls `setlocale`, which we do not: classes are ASCII, case
//! matters, and any byte is a character.

use std::ffi::CString;
use std::mem::MaybeUninit;

/// Longer patterns are refused.
const MAX_PATTERN: usize = 1024;
/// Patterns with more groups are refused: libc's parser recurses into them and would run out of stack.
const MAX_GROUPS: usize = 200;
/// Patterns with more `^` and `$` are refused: libc's time and memory grow with their cube.
const MAX_ANCHORS: usize = 100;
/// Patterns with more repetitions in total (`{n}` inside `{m}` multiplies) are refused, because libc expands
/// them.
const MAX_REPEAT: u64 = 4096;

/// Why a regular expression cannot be used, or a text cannot be matched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum RegexError {
    #[error("the pattern contains a NUL byte")]
    NulInPattern,
    #[error("the text contains a NUL byte")]
    NulInText,
    #[error("the pattern is longer than {MAX_PATTERN} bytes")]
    TooLong,
    #[error("the pattern has more than {MAX_GROUPS} groups")]
    TooManyGroups,
    #[error("the pattern has more than {MAX_ANCHORS} anchors")]
    TooManyAnchors,
    #[error("the pattern repeats something more than {MAX_REPEAT} times")]
    TooManyRepetitions,
    /// The message of libc.
    #[error("{0}")]
    Libc(String),
}

/// Whether `pattern` matches anywhere in `text` (unanchored).
///
/// # Errors
/// The pattern is invalid or unreasonably large, or one of the two contains a NUL. (Shell variables cannot
/// contain one.)
pub fn matches(pattern: &str, text: &str) -> Result<bool, RegexError> {
    check_size(pattern)?;
    let compiled = Compiled::new(pattern)?;
    let text = CString::new(text).map_err(|_| RegexError::NulInText)?;
    // SAFETY: the pattern is compiled, the text is NUL-terminated, and no positions of the match are
    // requested.
    let code = unsafe { libc::regexec(&compiled.0, text.as_ptr(), 0, std::ptr::null_mut(), 0) };
    match code {
        0 => Ok(true),
        libc::REG_NOMATCH => Ok(false),
        code => Err(libc_error(code, &compiled.0)),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_size(pattern: &str) -> Result<(), RegexError> {
    if pattern.len() > MAX_PATTERN {
        return Err(RegexError::TooLong);
    }
    if pattern.matches('(').count() > MAX_GROUPS {
        return Err(RegexError::TooManyGroups);
    }
    if pattern.matches(['^', '$']).count() > MAX_ANCHORS {
        return Err(RegexError::TooManyAnchors);
    }
    let mut product: u64 = 1;
    for part in pattern.split('{').skip(1) {
        let bounds = part.split('}').next().unwrap_or_default();
        let numbers = bounds.split(',').map(str::trim).filter(|bound| is_number(bound));
        // A number that does not fit is too large.
        let largest = numbers.map(|number| number.parse().unwrap_or(u64::MAX)).max();
        product = product.saturating_mul(largest.unwrap_or(1).max(1));
    }
    if product > MAX_REPEAT { Err(RegexError::TooManyRepetitions) } else { Ok(()) }
}

struct Compiled(libc::regex_t);

impl Compiled {
    fn new(pattern: &str) -> Result<Self, RegexError> {
        let pattern = CString::new(pattern).map_err(|_| RegexError::NulInPattern)?;
        let mut regex = MaybeUninit::<libc::regex_t>::zeroed();
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        // SAFETY: `regex` is writable memory of the right size, the pattern is NUL-terminated.
        let code = unsafe { libc::regcomp(regex.as_mut_ptr(), pattern.as_ptr(), flags) };
        if code != 0 {
            return Err(libc_error(code, std::ptr::null()));
        }
        // SAFETY: regcomp returned 0, so it filled the structure.
        Ok(Compiled(unsafe { regex.assume_init() }))
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        // SAFETY: the structure was filled by a successful regcomp and is freed once.
        unsafe { libc::regfree(&mut self.0) };
    }
}

/// The error with this code of libc. `regex` is the expression, or null.
fn libc_error(code: i32, regex: *const libc::regex_t) -> RegexError {
    let mut buffer = [0u8; 256];
    // SAFETY: regerror writes at most the given length and terminates the text with NUL; it accepts a null
    // regex.
    unsafe { libc::regerror(code, regex, buffer.as_mut_ptr().cast(), buffer.len()) };
    let text = std::ffi::CStr::from_bytes_until_nul(&buffer).map(|text| text.to_string_lossy().into_owned());
    let text = text.ok().filter(|text| !text.is_empty());
    RegexError::Libc(text.unwrap_or_else(|| format!("regular expression error {code}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_like_bash() {
        for (pattern, text, expected) in [
            ("^6\\.1", "6.1.0-13-amd64", true),
            ("^6\\.1", "5.6.1", false),
            ("(4\\.1[0-9]|5)\\.", "4.19.0", true),
            ("", "anything", true),
            ("[[:digit:]]+", "abc", false),
            (".*", "", true),
            ("amd64$", "6.1.0-amd64", true),
            ("a|b|", "zzz", true),
            ("^(x86|x86_64)$", "x86_64", true),
            ("ä", "ä", true),
            ("A", "a", false),
        ] {
            assert_eq!(matches(pattern, text), Ok(expected), "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn errors_of_invalid_patterns() {
        for pattern in ["(", "[", "a{2,1}", "[[:nope:]]", "\\"] {
            let error = matches(pattern, "x").expect_err(pattern);
            assert!(matches!(&error, RegexError::Libc(text) if !text.is_empty()), "{pattern}: {error}");
        }
        assert_eq!(matches("a\0b", "x"), Err(RegexError::NulInPattern));
        assert_eq!(matches("a", "x\0"), Err(RegexError::NulInText));
    }

    #[test]
    fn refuses_patterns_that_need_too_much_memory_or_time() {
        assert!(matches(&"(".repeat(100_000), "").is_err());
        for pattern in ["((a{1,255}){1,255}){1,255}", "a{1,99999999999999999999}"] {
            assert_eq!(matches(pattern, ""), Err(RegexError::TooManyRepetitions), "{pattern}");
        }
        for unit in ["a", "a|", "a*", "[a]", "\\\\", "*", "^", "$", "a{2}", ")", "[", "a+?"] {
            let _ = matches(&unit.repeat(MAX_PATTERN / unit.len()), &"a".repeat(100));
        }
        let deep = format!("{}a{}", "(".repeat(MAX_GROUPS), ")*".repeat(MAX_GROUPS));
        assert_eq!(matches(&deep, "a"), Ok(true));
        assert!(matches(&"(".repeat(MAX_GROUPS + 1), "").is_err());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(pattern in "[a(){}\\[\\]*+?|^$.\\\\0-9,]{0,24}", text in ".{0,20}") {
            let _ = matches(&pattern, &text);
        }
    }
}
