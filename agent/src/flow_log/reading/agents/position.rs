//! How far a log has been read, so that it can be gone on with.

use k8s_openapi::jiff::Timestamp;

/// A place in a log, by the times at which the node received its lines. Whoever asks for lines since a time gets those of
/// the whole second, and so some of them again.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// The last line's.
    last: Option<Timestamp>,
    /// How many lines in a row had it.
    same: usize,
    /// So many lines of the last one's time come again, with all before them.
    again: Option<usize>,
}

impl Position {
    /// The time to ask for; `None` if nothing has been read.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.last.map(whole_second)
    }

    /// The log is read anew, from [`Self::since`].
    pub(super) fn begin_again(&mut self) {
        self.again = self.last.is_some().then_some(self.same);
    }

    /// Takes the next line's time, and says whether it is one that has not been read before.
    pub(super) fn advance(&mut self, time: Timestamp) -> bool {
        if let (Some(last), Some(again)) = (self.last, self.again) {
            match again {
                _ if time < last => return false,
                1.. if time == last => {
                    self.again = Some(again - 1);
                    return false;
                }
                _ => self.again = None,
            }
        }
        self.same = if self.last == Some(time) {
            self.same + 1
        } else {
            1
        };
        self.last = Some(time);
        true
    }
}

/// The second that a time is in: the API server takes no parts of one.
pub(super) fn whole_second(time: Timestamp) -> Timestamp {
    // A number of seconds that some time has is within bounds.
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// What the node wrote before a line, and the line; `None` if it is no JSON object, as what the agent says on standard
/// error, which is in the same log.
pub(super) fn split(line: &[u8]) -> Option<(Timestamp, &[u8])> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (time, rest) = (&line[..space], &line[space + 1..]);
    let time = std::str::from_utf8(time).ok()?.parse().ok()?;
    rest.starts_with(b"{").then_some((time, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T10:00:{text}Z").parse().expect("a time")
    }

    /// Which of these are new.
    fn new<'a>(position: &mut Position, times: &[&'a str]) -> Vec<&'a str> {
        let mut times = times.to_vec();
        times.retain(|time| position.advance(at(time)));
        times
    }

    #[test]
    fn nothing_is_told_twice() {
        let mut position = Position::default();
        assert_eq!(position.since(), None);
        // What is asked for the first time is new, also after a connection that brought nothing.
        position.begin_again();
        let first = ["07.2", "07.9", "08.1", "08.5", "08.5"];
        assert_eq!(new(&mut position, &first), first);
        assert_eq!(position.since(), Some(at("08")));
        position.begin_again();
        let again = ["08.1", "08.5", "08.5", "08.5", "08.6", "08.6"];
        assert_eq!(new(&mut position, &again), ["08.5", "08.6", "08.6"]);
        position.begin_again();
        assert_eq!(new(&mut position, &["08.5", "08.6", "08.6"]), [""; 0]);
        assert_eq!(new(&mut position, &["08.6"]), ["08.6"]);
    }

    #[test]
    fn a_log_that_begins_anew_is_read_whole() {
        let mut position = Position::default();
        assert_eq!(new(&mut position, &["08.5", "08.5"]), ["08.5", "08.5"]);
        // The container was replaced, and its log with it.
        position.begin_again();
        assert_eq!(new(&mut position, &["11.0", "11.0"]), ["11.0", "11.0"]);
        // A clock that is put back loses nothing while the connection holds.
        assert_eq!(new(&mut position, &["10.0"]), ["10.0"]);
    }

    #[test]
    fn seconds_are_rounded_down() {
        assert_eq!(whole_second(at("08.999999999")), at("08"));
    }

    #[test]
    fn lines_with_their_times() {
        let json = br#"{"flow":{}}"#;
        let line = |text: &str| [text.as_bytes(), json].concat();
        for text in [
            "2026-11-21T10:00:08.500000000Z ",
            "2026-11-21T11:00:08.5+01:00 ",
        ] {
            assert_eq!(split(&line(text)), Some((at("08.5"), &json[..])), "{text}");
        }
        for text in [
            "",
            " ",
            "10:00:08 ",
            "2026-11-21T10:00:08Z",
            // The agent's own words, whatever they quote.
            "2026-11-21T10:00:08Z 2026-11-21T10:00:08Z  WARN netpol: ",
        ] {
            assert_eq!(split(&line(text)), None, "{text}");
        }
        assert_eq!(split(b"\xff\xfe {}"), None);
    }
}
