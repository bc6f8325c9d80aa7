//! Lists in which many lines say the same about different things.

/// So many subjects with the same text become one line.
const MANY: usize = 3;

/// Joins the lines with the same text: "a: it is old" and "b: it is old" become "a, b: it is old", if there
/// are many of them. Each keeps the place of its first line.
pub(super) fn joined(lines: &[(String, String)]) -> Vec<String> {
    let subjects = |text: &str| {
        let same = lines.iter().filter(|(_, other)| other == text);
        same.map(|(subject, _)| subject.as_str()).collect::<Vec<_>>()
    };
    let mut all: Vec<String> = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    for (subject, text) in lines {
        if done.contains(&text.as_str()) {
            continue;
        }
        let same = subjects(text);
        if same.len() < MANY || subject.is_empty() {
            all.push(line(subject, text));
        } else {
            all.push(line(&same.join(", "), text));
            done.push(text);
        }
    }
    all
}

fn line(subject: &str, text: &str) -> String {
    if subject.is_empty() { text.to_owned() } else { format!("{subject}: {text}") }
}

/// A line and what it is about, which is before the first colon if that is one word.
pub(super) fn split(line: &str) -> (String, String) {
    match line.split_once(": ").filter(|(subject, _)| !subject.contains(' ')) {
        Some((subject, text)) => (subject.to_owned(), text.to_owned()),
        None => (String::new(), line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines_with_the_same_text_are_one() {
        let lines = ["a: is old", "b: is new", "c: is old", "it is: so", "d: is old", "e: is new"].map(split);
        assert_eq!(joined(&lines), ["a, c, d: is old", "b: is new", "it is: so", "e: is new"]);
        assert_eq!(joined(&[]), Vec::<String>::new());
    }
}
