use super::{MokError, OsRng, generate};

#[test]
fn invalid_names_and_dates_are_refused_before_any_work() {
    assert!(matches!(generate("", 1, &mut OsRng, 0), Err(MokError::CommonName(_))));
    assert!(matches!(generate(&"x".repeat(65), 1, &mut OsRng, 0), Err(MokError::CommonName(_))));
    assert!(matches!(generate("x", 1, &mut OsRng, u64::MAX), Err(MokError::Dates { .. })));
    assert!(matches!(generate("x", u32::MAX, &mut OsRng, 0), Err(MokError::Dates { .. })));
}
