//! Durations on the command line: `50ms`, `2s`, `1m`.

use std::time::Duration;

/// Reads a whole number with a unit.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let wrong = || "must be a whole number with a unit: 50ms, 2s or 1m".to_owned();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
    .filter(|duration| *duration <= Duration::from_secs(3600))
    .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [("50ms", 50), ("0ms", 0), ("2s", 2_000), ("1m", 60_000)] {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "ms",
            "-1s",
            "1h",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615m",
            "2m ",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
