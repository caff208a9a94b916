//! Sizes on the command line: `100MiB`, `1GiB`, `500KiB`, `1000000`.

/// Reads a whole number of bytes, with a unit or without; for clap's `value_parser`.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let size = unit.and_then(|unit| number.parse::<u64>().ok()?.checked_mul(unit));
    size.ok_or_else(|| {
        "must be a whole number of bytes, or one with a unit: 1000000, 500KiB, 100MiB or 1GiB"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1000000", 1_000_000),
            ("500KiB", 512_000),
            ("100MiB", 104_857_600),
            ("1GiB", 1_073_741_824),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "1M",
            "1MB",
            "1mib",
            "1 MiB",
            "-1",
            "1.5GiB",
            "1B",
            "18446744073709551616",
            "17179869184GiB",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
