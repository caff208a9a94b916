//! Repairs, which are for the table as it was when it was read.

use super::super::NetlinkError;
use super::super::batch::{NO_COMMAND, bind, nothing};
use super::{Report, Transport};

/// How often a repair is tried that somebody else's commit comes before, of whatever table. Mostly it goes in between.
const RACES: u32 = 20;

/// What has become of a table that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum SinceRead {
    /// Nobody has changed it. The last commit to nftables, of another table or before, has this number; some kernels do not
    /// tell it.
    Unchanged(Option<u32>),
    /// Somebody has, or may have.
    Changed,
}

impl Transport {
    /// Hears from now on who changes the table.
    pub(in super::super) fn begin_reading(&mut self) -> Result<(), NetlinkError> {
        self.ear.begin()
    }

    /// What has become of the table since this was asked last, or since reading began.
    pub(in super::super) fn since_read(&mut self) -> Result<SinceRead, NetlinkError> {
        let generation = self.generation()?;
        // A commit gets its number first and is announced last, and only then may the next be: who waited for its turn has
        // nothing to wait for any more.
        self.try_commit(&nothing(), NO_COMMAND)?;
        Ok(if self.ear.has_heard()? {
            SinceRead::Changed
        } else {
            SinceRead::Unchanged(generation)
        })
    }

    /// The table is read, and needs no repair.
    pub(in super::super) fn end_reading(&mut self) {
        self.ear.end();
    }

    /// Commits a batch, unless somebody has changed the table since reading began.
    pub(in super::super) fn repair(
        &mut self,
        bytes: &mut [u8],
        last: u32,
    ) -> Result<Report, NetlinkError> {
        let report = self.try_repair(bytes, last);
        self.ear.end();
        report
    }

    fn try_repair(&mut self, bytes: &mut [u8], last: u32) -> Result<Report, NetlinkError> {
        self.check_size(bytes)?;
        for _ in 0..RACES {
            let SinceRead::Unchanged(generation) = self.since_read()? else {
                return Err(NetlinkError::Overtaken);
            };
            bind(bytes, generation.unwrap_or_default());
            let report = self.try_commit(bytes, last)?;
            if !report.must_be_repeated() {
                return self.judge(report, generation, bytes.len());
            }
        }
        // All those commits were of other tables. One of this table that comes between is at least noticed.
        bind(bytes, 0);
        let before = self.generation()?;
        let report = self.commit_after(before, bytes, last);
        if self.ear.has_heard()? {
            return Err(NetlinkError::Overtaken);
        }
        report
    }
}
