//! "Did you mean": the known word that is nearest to a misspelt one.

/// The word of some known ones that is nearest to a given one, if at most `limit` letters differ.
pub fn nearest<'a>(word: &str, limit: usize, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|candidate| (distance(word, candidate, limit), candidate));
    near.filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters have to be inserted, deleted, replaced or exchanged with their neighbour to get from one
/// word to the other (the optimal string alignment distance).
fn distance(from: &str, to: &str, limit: usize) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    // A word can be of any length; this bounds the work.
    if from.len().abs_diff(to.len()) > limit {
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

    #[test]
    fn distances() {
        let table = [
            ("", "", 0),
            ("a", "", 1),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abcd", "badc", 2),
            ("x", "xyz", 2),
            ("sing_file", "sign_file", 1),
        ];
        for (from, to, expected) in table {
            assert_eq!(distance(from, to, 5), expected, "{from} {to}");
            assert_eq!(distance(to, from, 5), expected, "{to} {from}");
        }
    }

    #[test]
    fn only_near_words_count() {
        assert_eq!(nearest("stauts", 1, ["start", "status"]), Some("status"));
        assert_eq!(nearest("stauts", 0, ["start", "status"]), None);
        assert_eq!(nearest("x", 1, ["status"]), None);
    }
}
