//! "Did you mean": finds the known word that is nearest to a misspelt word.

/// The word in `known` that is nearest to `word`, if at most `limit` letters must be inserted, deleted,
/// replaced or exchanged with their neighbour.
pub fn nearest<'a>(word: &str, limit: usize, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = word.chars().count();
    let near = known
        .into_iter()
        // This limits the work, because a word can have any length.
        .filter(|candidate| candidate.chars().count().abs_diff(letters) <= limit)
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate));
    near.filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_count() {
        assert_eq!(nearest("stauts", 1, ["start", "status"]), Some("status"));
        assert_eq!(nearest("stauts", 0, ["start", "status"]), None);
        assert_eq!(nearest("x", 1, ["status"]), None);
    }
}
