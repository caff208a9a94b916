//! Repairs, which are for the table as it was when it was read.

use super::super::NetlinkError;
use super::super::batch::{NO_COMMAND, bind, nothing};
use super::{Report, Transport};

/// How often a repair is tried that somebody else's commit comes before, of whatever table. Mostly it goes in between.
const RACES: u32 = 20;

impl Transport {
    /// Hears from now on who changes the table.
    pub(in super::super) fn begin_reading(&mut self) -> Result<(), NetlinkError> {
        self.ear.begin()
    }

    /// The number of the last commit to nftables, if nobody has changed the table since it was asked last, or since
    /// reading began. Some kernels do not tell the number.
    pub(in super::super) fn unchanged(&mut self) -> Result<Option<Option<u32>>, NetlinkError> {
        let generation = self.generation()?;
        // A commit gets its number first and is announced last, and only then may the next be: who waited for its turn has
        // nothing to wait for any more.
        self.try_commit(&nothing(), NO_COMMAND)?;
        Ok((!self.ear.has_heard()?).then_some(generation))
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
            let Some(generation) = self.unchanged()? else {
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
        match self.ear.has_heard()? {
            true => Err(NetlinkError::Overtaken),
            false => report,
        }
    }
}
