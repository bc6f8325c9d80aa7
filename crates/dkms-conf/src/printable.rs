//! Characters that must be escaped on a terminal and are not allowed in names.

/// Whether a character controls a terminal or changes how the surrounding text is displayed: C0, DEL and C1;
/// marks for the direction of text; line and paragraph separators.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::is_unprintable;

    #[test]
    fn controls_and_marks_of_direction_are_unprintable_and_letters_are_not() {
        for c in [
            '\0', '\n', '\t', '\x1b', '\x7f', '\u{80}', '\u{9b}', '\u{9f}', '\u{61c}', '\u{202a}', '\u{2069}',
        ] {
            assert!(is_unprintable(c), "{c:?}");
        }
        for c in [' ', '~', '\u{a0}', 'é', 'ж', 'ع', '中', '😀', '\u{200d}', '\u{2027}', '\u{202f}'] {
            assert!(!is_unprintable(c), "{c:?}");
        }
    }
}
