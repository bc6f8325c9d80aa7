use super::{MokError, OsRng, civil_from_days, generate, time};

#[test]
fn dates_are_written_as_certificates_want_them() {
    let cases: [(u64, &[u8]); 7] = [
        (0, b"\x17\x0d700101000000Z"),
        (951_782_400, b"\x17\x0d000229000000Z"),
        (1_700_000_000, b"\x17\x0d231114221320Z"),
        (2_524_607_999, b"\x17\x0d491231235959Z"),
        (2_524_608_000, b"\x18\x0f20500101000000Z"),
        (4_107_542_399, b"\x18\x0f21000228235959Z"),
        (253_402_300_799, b"\x18\x0f99991231235959Z"),
    ];
    for (seconds, expected) in cases {
        assert_eq!(time(seconds).as_deref(), Some(expected), "{seconds}");
    }
    assert_eq!(time(253_402_300_800), None);
    assert_eq!(time(u64::MAX), None);
    assert_eq!(civil_from_days(11_016), (2000, 2, 29));
}

#[test]
fn impossible_wishes_are_refused_before_any_work() {
    assert!(matches!(generate("", 1, &mut OsRng, 0), Err(MokError::CommonName(_))));
    assert!(matches!(generate(&"x".repeat(65), 1, &mut OsRng, 0), Err(MokError::CommonName(_))));
    assert!(matches!(generate("x", 1, &mut OsRng, u64::MAX), Err(MokError::Dates { .. })));
    assert!(matches!(generate("x", u32::MAX, &mut OsRng, 0), Err(MokError::Dates { .. })));
}
