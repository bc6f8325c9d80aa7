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

/// Whether `pattern` matches anywhere in `text` (unanchored).
///
/// An invalid pattern, a pattern with a NUL, or an unreasonably large one is an error with the reason. A text
/// with a NUL is an error too, because shell variables cannot contain one.
pub fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    check_size(pattern)?;
    let compiled = Compiled::new(pattern)?;
    let text = CString::new(text).map_err(|_| "the text contains a NUL byte".to_owned())?;
    // SAFETY: the pattern was compiled, the text is NUL-terminated, no match positions are asked for.
    let code = unsafe { libc::regexec(&compiled.0, text.as_ptr(), 0, std::ptr::null_mut(), 0) };
    match code {
        0 => Ok(true),
        libc::REG_NOMATCH => Ok(false),
        code => Err(compiled.message(code)),
    }
}

fn check_size(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("the pattern is longer than {MAX_PATTERN} bytes"));
    }
    if pattern.matches('(').count() > MAX_GROUPS {
        return Err(format!("the pattern has more than {MAX_GROUPS} groups"));
    }
    if pattern.matches(['^', '$']).count() > MAX_ANCHORS {
        return Err(format!("the pattern has more than {MAX_ANCHORS} anchors"));
    }
    let mut product: u64 = 1;
    for part in pattern.split('{').skip(1) {
        let bounds = part.split('}').next().unwrap_or_default();
        let largest = bounds.split(',').filter_map(|n| n.trim().parse::<u64>().ok()).max().unwrap_or(1);
        product = product.saturating_mul(largest.max(1));
    }
    if product > MAX_REPEAT {
        return Err(format!("the pattern repeats something more than {MAX_REPEAT} times"));
    }
    Ok(())
}

struct Compiled(libc::regex_t);

impl Compiled {
    fn new(pattern: &str) -> Result<Self, String> {
        let pattern = CString::new(pattern).map_err(|_| "the pattern contains a NUL byte".to_owned())?;
        let mut regex = MaybeUninit::<libc::regex_t>::zeroed();
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        // SAFETY: `regex` is writable memory of the right size, the pattern is NUL-terminated.
        let code = unsafe { libc::regcomp(regex.as_mut_ptr(), pattern.as_ptr(), flags) };
        if code != 0 {
            return Err(describe(code, std::ptr::null()));
        }
        // SAFETY: regcomp returned 0, so it filled the structure.
        Ok(Compiled(unsafe { regex.assume_init() }))
    }

    fn message(&self, code: i32) -> String {
        describe(code, &self.0)
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        // SAFETY: the structure was filled by a successful regcomp and is freed once.
        unsafe { libc::regfree(&mut self.0) };
    }
}

fn describe(code: i32, regex: *const libc::regex_t) -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer is as long as stated; regerror ends the text with NUL; it accepts a null regex.
    unsafe { libc::regerror(code, regex, buffer.as_mut_ptr().cast(), buffer.len()) };
    let text = std::ffi::CStr::from_bytes_until_nul(&buffer).map(|t| t.to_string_lossy().into_owned());
    text.ok().filter(|t| !t.is_empty()).unwrap_or_else(|| format!("regular expression error {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_bash_does() {
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
    fn wrong_patterns_say_why() {
        for pattern in ["(", "[", "a{2,1}", "[[:nope:]]", "\\"] {
            let message = matches(pattern, "x").expect_err(pattern);
            assert!(!message.is_empty(), "{pattern}");
        }
        assert!(matches("a\0b", "x").is_err());
        assert!(matches("a", "x\0").is_err());
    }

    #[test]
    fn refuses_what_would_exhaust_the_machine() {
        assert!(matches(&"(".repeat(100_000), "").is_err());
        assert!(matches("((a{1,255}){1,255}){1,255}", "").is_err());
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
