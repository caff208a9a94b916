//! Times as text.

use std::time::SystemTime;

use jiff::Timestamp;

/// RFC 3339 in UTC with nanoseconds: `2026-03-01T12:00:00.000000000Z`. What lies before 1970 is written as its beginning,
/// what lies after 9999 as its end: protobuf knows no other years.
pub fn rfc3339(time: SystemTime) -> String {
    let time = time.max(SystemTime::UNIX_EPOCH);
    let timestamp = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    format!("{timestamp:.9}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_in_utc_with_nanoseconds() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (1_000_000_000, 0, "2001-09-09T01:46:40.000000000Z"),
            (2_147_483_647, 999_999_999, "2038-01-19T03:14:07.999999999Z"),
            (4_107_542_400, 500_000_000, "2100-03-01T00:00:00.500000000Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            assert_eq!(rfc3339(time), text);
        }
        let year = Duration::from_secs(365 * 24 * 3600);
        assert_eq!(
            rfc3339(SystemTime::UNIX_EPOCH - year),
            "1970-01-01T00:00:00.000000000Z"
        );
        let far = rfc3339(SystemTime::UNIX_EPOCH + year * 20_000);
        assert!(far.starts_with("9999-12-") && far.len() == 30, "{far}");
    }
}
