//! Matches file name patterns as the shell does.

/// File name matching as the shell does it: `*`, `?`, `[...]`, backslash.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut pi, mut ti) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match p.get(pi) {
            Some('*') => {
                star = Some((pi + 1, ti));
                pi += 1;
                continue;
            }
            None if ti == t.len() => return true,
            None => None,
            Some(_) => t.get(ti).and_then(|c| match_one(p.get(pi..).unwrap_or_default(), *c)),
        };
        match (step, star) {
            (Some(used), _) => {
                pi += used;
                ti += 1;
            }
            (None, Some((after, from))) if from < t.len() => {
                star = Some((after, from + 1));
                pi = after;
                ti = from + 1;
            }
            _ => return false,
        }
    }
}

/// The number of pattern characters that match one character; `None` if they do not match.
fn match_one(p: &[char], c: char) -> Option<usize> {
    match p {
        ['?', ..] => Some(1),
        ['\\', x, ..] => (*x == c).then_some(2),
        ['[', rest @ ..] => {
            let negated = matches!(rest.first(), Some('!' | '^'));
            let body = rest.get(usize::from(negated)..)?;
            // A closing bracket right at the beginning is a member of the set.
            let close = body.iter().skip(1).position(|x| *x == ']');
            let Some(close) = close.map(|n| n + 1) else { return ('[' == c).then_some(1) };
            let members = body.get(..close)?;
            let mut hit = false;
            let mut i = 0;
            while let Some(x) = members.get(i) {
                match (members.get(i + 1), members.get(i + 2)) {
                    (Some('-'), Some(y)) => {
                        hit |= (*x..=*y).contains(&c);
                        i += 3;
                    }
                    _ => {
                        hit |= *x == c;
                        i += 1;
                    }
                }
            }
            (hit != negated).then_some(1 + usize::from(negated) + close + 1)
        }
        [x, ..] => (*x == c).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn globs_match_as_in_the_shell() {
        let table = [
            ("6.1.0-56-amd64", "6.1.0-56-amd64", true),
            ("6.1*", "6.1.0-56-amd64", true),
            ("6.1*amd64", "6.1.0-56-amd64", true),
            ("6.1?0*", "6.1.0-56", true),
            ("6.[12].*", "6.2.0", true),
            ("6.[!12].*", "6.2.0", false),
            ("6.[0-9].*", "6.2.0", true),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[", "[", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
