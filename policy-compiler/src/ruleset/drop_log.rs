//! How the kernel tells of dropped packets.

use super::DropPoint;

/// How dropped packets are logged: what each `limit … log` statement before a drop says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropLog {
    /// The netlink group (NFLOG) that packets are sent to. Whoever listens to it gets them.
    pub group: u16,
    /// Packets a second that are logged at one drop, that is for each pod and direction: a pod that floods another
    /// cannot keep the log from telling of a third. At least 1; the kernel refuses a table with 0.
    pub rate: u32,
    /// Packets that are logged at once after a quiet time, before `rate` holds. At least 1, as `rate`.
    pub burst: u32,
    /// Bytes of each packet that are handed on, from the beginning of its network header.
    pub snaplen: u32,
    /// Of the agent that made the table, so that it knows what its own rules dropped from what an earlier agent's did.
    pub run: Option<u32>,
}

impl DropLog {
    /// The prefix of the packets of a drop: the [`DropPoint`], and the run, if there is one.
    pub fn prefix(&self, point: DropPoint) -> String {
        match self.run {
            Some(run) => format!("{point}/{run:08x}"),
            None => point.to_string(),
        }
    }

    /// What [`DropLog::prefix`] was made of.
    pub fn read_prefix(prefix: &str) -> Option<(DropPoint, Option<u32>)> {
        if let Ok(point) = prefix.parse() {
            return Some((point, None));
        }
        let (point, run) = prefix.rsplit_once('/')?;
        let run = u32::from_str_radix(run, 16).ok()?;
        Some((point.parse().ok()?, Some(run)))
    }
}

impl Default for DropLog {
    /// Group 9808, 100 packets a second after the first 500, 128 bytes of each: enough for the headers.
    fn default() -> Self {
        Self {
            group: 9808,
            rate: 100,
            burst: 500,
            snaplen: 128,
            run: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Direction;
    use crate::ruleset::DropOf;

    #[test]
    fn prefixes_tell_runs_apart() {
        let point = DropPoint {
            direction: Direction::Egress,
            of: DropOf::Contested,
        };
        for run in [None, Some(0), Some(0xc0_ffee), Some(u32::MAX)] {
            let log = DropLog {
                run,
                ..DropLog::default()
            };
            let prefix = log.prefix(point);
            assert_eq!(
                DropLog::read_prefix(&prefix),
                Some((point, run)),
                "{prefix}"
            );
        }
        for other in [
            "",
            "netpol/egress/contested/",
            "netpol/egress/contested/x",
            "other/00000001",
        ] {
            assert_eq!(DropLog::read_prefix(other), None, "{other}");
        }
    }
}
