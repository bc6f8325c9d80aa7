//! "Did you mean": the known word that is nearest to a misspelt one.

/// The nearest of some words, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong, and one of short words.
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be inserted, deleted, replaced or exchanged with their neighbour to get from one
/// word to the other (the optimal string alignment distance).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    // Words of any length can be given; none that is known is this long.
    if from.len().abs_diff(to.len()) > 3 {
        return usize::MAX;
    }
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                let exchanged: usize = before[j - 1];
                least = least.min(exchanged + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::ACTIONS;

    #[test]
    fn misspelt_actions_are_recognised() {
        let table = [
            ("instal", Some("install")),
            ("isntall", Some("install")),
            ("installl", Some("install")),
            ("unistall", Some("uninstall")),
            ("Status", Some("status")),
            ("stauts", Some("status")),
            ("autoinstal", Some("autoinstall")),
            ("auto-install", Some("autoinstall")),
            ("ad", Some("add")),
            ("kernel-postinst", Some("kernel_postinst")),
            ("generate-mok", Some("generate_mok")),
            ("mkdbe", Some("mkdeb")),
            ("frobnicate", None),
            ("nvidia", None),
            ("zfs", None),
            ("", None),
        ];
        for (word, expected) in table {
            assert_eq!(nearest(word, ACTIONS.iter().map(|row| row.word)), expected, "{word}");
        }
    }

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abcd", "badc", 2),
            ("x", "xyz", 2),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }
}
