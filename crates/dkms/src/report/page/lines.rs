//! Merges lines that have the same text about different subjects.

/// The number of lines with the same text from which on they are merged.
const MANY: usize = 3;

/// Merges lines, given as subject and text: "a: it is old", "b: it is old" and "c: it is old" become
/// "a, b, c: it is old", in the place of the first of them.
pub(super) fn merged(lines: &[(String, String)]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    for (subject, text) in lines {
        if done.contains(&text.as_str()) {
            continue;
        }
        let same = lines.iter().filter(|(_, other)| other == text);
        let subjects: Vec<&str> = same.map(|(subject, _)| subject.as_str()).collect();
        if subjects.len() < MANY || subject.is_empty() {
            all.push(line(subject, text));
        } else {
            all.push(line(&subjects.join(", "), text));
            done.push(text);
        }
    }
    all
}

fn line(subject: &str, text: &str) -> String {
    if subject.is_empty() { text.to_owned() } else { format!("{subject}: {text}") }
}

/// Splits a line into its subject, which is the single word before the first colon, and its text.
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
        assert_eq!(merged(&lines), ["a, c, d: is old", "b: is new", "it is: so", "e: is new"]);
        assert_eq!(merged(&[]), Vec::<String>::new());
    }
}
