//! Makes one table of the parts that are in several files, at compile time.

/// The number of rows in the parts.
pub(super) const fn total<T>(parts: &[&[T]]) -> usize {
    let (mut rows, mut part) = (0, 0);
    while part < parts.len() {
        rows += parts[part].len();
        part += 1;
    }
    rows
}

/// The rows of the parts, in their order. `N` is their [`total`]; `filler` is in none of the rows.
pub(super) const fn join<T: Copy, const N: usize>(filler: T, parts: &[&[T]]) -> [T; N] {
    let mut rows = [filler; N];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut row = 0;
        while row < parts[part].len() {
            rows[at] = parts[part][row];
            (at, row) = (at + 1, row + 1);
        }
        part += 1;
    }
    rows
}
