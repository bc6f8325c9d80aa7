//! Sizes as people read them.

/// A number of bytes with a unit.
pub(crate) fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let scaled = |power: i32| bytes as f64 / 1024f64.powi(power);
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=999_999 => format!("{:.0} KiB", scaled(1)),
        1_000_000..=999_999_999 => format!("{:.1} MiB", scaled(2)),
        _ => format!("{:.1} GiB", scaled(3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_fitting_unit() {
        assert_eq!(bytes(9_999), "9999 bytes");
        assert_eq!(bytes(20_480), "20 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }
}
