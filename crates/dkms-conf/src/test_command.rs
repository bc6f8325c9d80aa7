//! `[ … ]` and `test`, by the number of their arguments, as in POSIX.

use crate::ast::Comparison;

/// The result for the expanded arguments, without the closing bracket. `None` if the form is not supported.
pub(crate) fn test(arguments: &[String]) -> Option<bool> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        [] => Some(false),
        [one] => Some(!one.is_empty()),
        ["!", one] => Some(one.is_empty()),
        [operator, operand] => unary(operator, operand),
        [left, operator, right] if is_binary(operator) => binary(left, operator, right),
        ["!", operator, operand] => unary(operator, operand).map(|b| !b),
        ["!", left, operator, right] if is_binary(operator) => binary(left, operator, right).map(|b| !b),
        _ => None,
    }
}

fn unary(operator: &str, operand: &str) -> Option<bool> {
    match operator {
        "-n" => Some(!operand.is_empty()),
        "-z" => Some(operand.is_empty()),
        _ => None,
    }
}

fn is_binary(operator: &str) -> bool {
    matches!(operator, "=" | "==" | "!=") || Comparison::named(operator).is_some()
}

fn binary(left: &str, operator: &str, right: &str) -> Option<bool> {
    match operator {
        "=" | "==" => Some(left == right),
        "!=" => Some(left != right),
        _ => Some(Comparison::named(operator)?.holds(number(left)?, number(right)?)),
    }
}

/// A decimal number that every shell reads in the same way.
pub(crate) fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits == "0" || !digits.starts_with('0');
    let short = !digits.is_empty() && digits.len() <= 15;
    if plain && short && digits.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_number_of_arguments() {
        for (arguments, result) in [
            (&[][..], Some(false)),
            (&["-z"], Some(true)),
            (&["", ""], None),
            (&["!", "x"], Some(false)),
            (&["-z", ""], Some(true)),
            (&["-n", ""], Some(false)),
            (&["-f", "x"], None),
            (&["a", "=", "a"], Some(true)),
            (&["!", "=", "a"], Some(false)),
            (&["a", "!=", "a"], Some(false)),
            (&["!", "-z", "a"], Some(true)),
            (&["10", "-gt", "9"], Some(true)),
            (&["010", "-gt", "9"], None),
            (&["x", "-gt", "9"], None),
            (&["a", "-o", "b"], None),
            (&["!", "a", "=", "b"], Some(true)),
            (&["a", "=", "a", "-a", "b"], None),
        ] {
            let owned: Vec<String> = arguments.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(test(&owned), result, "{arguments:?}");
        }
    }
}
