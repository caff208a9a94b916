//! The socket that batches go out by.

mod question;
mod repair;

use nix::libc;

use super::NetlinkError;
use super::ear::Ear;
use crate::netlink::{Answer, Channel, DUMP};

pub(super) use repair::SinceRead;

/// Bytes that a batch may have. It is a bound, no memory: 150,000 pods in ten sets each are some 40 MB.
const SEND_BUFFER: usize = 512 << 20;
/// Bytes for answers: some thousand refusals.
const RECEIVE_BUFFER: usize = 1 << 20;
/// The kernel may ask for a batch again, as when a module of nftables is loaded for it.
const ATTEMPTS: u32 = 5;

/// A socket to netfilter in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Transport {
    channel: Channel,
    ear: Ear,
    /// Bytes that go out at once.
    limit: usize,
}

/// What the kernel said of a batch.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The last command was acknowledged, so answers are complete.
    is_complete: bool,
    /// The first command that was refused, by its number.
    pub(super) refused: Option<(u32, Answer)>,
    /// How many more were.
    pub(super) others: usize,
    /// The number of the last commit to nftables before, and after, if they are told.
    pub(super) generations: (Option<u32>, Option<u32>),
}

impl Transport {
    /// Opens one.
    pub(super) fn open() -> Result<Self, NetlinkError> {
        let open = || {
            let channel = Channel::open(DUMP)?;
            let limit = channel.reserve_sending(SEND_BUFFER)?;
            channel.reserve_receiving(RECEIVE_BUFFER)?;
            let ear = Ear::open(channel.port())?;
            Ok(Self {
                channel,
                ear,
                limit,
            })
        };
        open()
            .map_err(|source| NetlinkError::socket("opening a netlink socket to netfilter", source))
    }

    /// The number of the socket.
    pub(super) fn port(&self) -> u32 {
        self.channel.port()
    }

    /// Sends a batch whose last command has the number `last`, and reads what became of it. Fails if that is not known.
    pub(super) fn commit(&mut self, bytes: &[u8], last: u32) -> Result<Report, NetlinkError> {
        self.ear.end();
        self.check_size(bytes)?;
        let before = self.generation()?;
        self.commit_after(before, bytes, last)
    }

    fn check_size(&self, batch: &[u8]) -> Result<(), NetlinkError> {
        let (bytes, limit) = (batch.len(), self.limit);
        if bytes > limit {
            return Err(NetlinkError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    /// Commits where the last commit to nftables had the number `before`, as far as is known.
    fn commit_after(
        &mut self,
        before: Option<u32>,
        bytes: &[u8],
        last: u32,
    ) -> Result<Report, NetlinkError> {
        let size = bytes.len();
        for _ in 1..ATTEMPTS {
            let report = self.try_commit(bytes, last)?;
            if !report.must_be_repeated() {
                return self.judge(report, before, size);
            }
        }
        let report = self.try_commit(bytes, last)?;
        self.judge(report, before, size)
    }

    fn try_commit(&mut self, bytes: &[u8], last: u32) -> Result<Report, NetlinkError> {
        let mut report = Report::default();
        let sent = self.channel.exchange(bytes, |message| {
            if let Some(answer) = message.answer() {
                report.take(message.number, answer, message.number == last);
            }
        });
        let is_all = sent.map_err(|error| match error.raw_os_error() {
            Some(libc::ENOMEM | libc::ENOBUFS) => NetlinkError::OutOfMemory { bytes: bytes.len() },
            _ => NetlinkError::socket("sending to netfilter", error),
        })?;
        // An answer for the batch as a whole comes behind that for the last command, and may be what was lost.
        report.is_complete &= is_all;
        Ok(report)
    }

    /// Answers that are not complete mean success of nothing; they may mean a refusal.
    fn judge(
        &mut self,
        mut report: Report,
        before: Option<u32>,
        bytes: usize,
    ) -> Result<Report, NetlinkError> {
        match &report.refused {
            Some((_, answer)) if answer.errno == libc::EPERM => Err(NetlinkError::NotPermitted),
            Some((_, answer)) if answer.errno == libc::ENOMEM => {
                Err(NetlinkError::OutOfMemory { bytes })
            }
            Some(_) => Ok(report),
            None if report.is_complete => {
                report.generations = (before, self.generation()?);
                Ok(report)
            }
            None => {
                let after = self.generation()?;
                let is_unchanged = before.is_some() && before == after;
                Err(NetlinkError::NoAnswer { is_unchanged })
            }
        }
    }
}

impl Report {
    fn take(&mut self, number: u32, answer: Answer, is_last: bool) {
        self.is_complete |= is_last;
        if answer.errno == 0 {
            return;
        }
        match &self.refused {
            Some(_) => self.others += 1,
            None => self.refused = Some((number, answer)),
        }
    }

    fn must_be_repeated(&self) -> bool {
        let again = [libc::EINTR, libc::EAGAIN, libc::ERESTART];
        let refused = self.refused.as_ref();
        refused.is_some_and(|(_, answer)| again.contains(&answer.errno))
    }
}
