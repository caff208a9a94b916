//! The log for whoever connects to a unix socket.
//!
//! One thread serves all readers and never waits for one. The newest lines are held once, in a [`ring::Ring`]; a reader is
//! a place in it. Whom the ring has overtaken is told how many lines are missing and is dropped.

mod reader;
mod ring;
mod socket;

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{debug, info, warn};

use super::LostLine;
use super::error::OutputError;
use super::queue::{Limits, Next, Queue};
use super::trouble::Trouble;
use reader::Reader;
use ring::Ring;
pub(super) use socket::SocketFile;

/// Readers at a time; others are turned away.
const READERS: usize = 64;

/// How far the slowest reader may fall behind, besides what the kernel holds for it.
const RING: Limits = Limits {
    lines: 4096,
    bytes: 4 << 20,
};

/// Lines taken from the queue before the readers' turn, so that who keeps up is not overtaken by a burst.
const ROUND: usize = 256;

/// Connections taken at once.
const ACCEPTED: usize = 256;

/// How long no connection is taken after that has failed, for want of descriptors perhaps.
const PAUSE: Duration = Duration::from_secs(1);

/// All readers, and the socket where more of them come.
#[derive(Debug)]
pub(super) struct Hub {
    name: String,
    listener: UnixListener,
    readers: Vec<Reader>,
    ring: Ring,
    /// Nobody is let in before.
    paused: Option<Instant>,
    crowded: Trouble,
}

/// Why the queue was left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pumped {
    More,
    Idle,
    End,
}

impl Hub {
    /// Listens at a path; the socket is there until the [`SocketFile`] is dropped.
    pub(super) fn open(path: &Path, name: String) -> Result<(Self, SocketFile), OutputError> {
        let (listener, file) = socket::listen_at(path)?;
        let hub = Self {
            name,
            listener,
            readers: Vec::new(),
            ring: Ring::new(RING),
            paused: None,
            crowded: Trouble::default(),
        };
        Ok((hub, file))
    }

    /// Passes on lines until the queue has ended and all readers have everything, or the queue's deadline has come.
    pub(super) fn run(mut self, queue: &Queue, lost_line: &LostLine) {
        loop {
            let pumped = self.pump(queue, lost_line);
            let now = Instant::now();
            self.send(queue, lost_line, now);
            let deadline = queue.deadline().filter(|_| pumped == Pumped::End);
            let behind = self
                .readers
                .iter()
                .any(|reader| reader.is_behind(&self.ring));
            if pumped == Pumped::End && (!behind || deadline.is_none_or(|end| now >= end)) {
                return;
            }
            self.wait(queue, pumped, deadline, now);
        }
    }

    /// Moves lines from the queue to the ring.
    fn pump(&mut self, queue: &Queue, lost_line: &LostLine) -> Pumped {
        // Lines that were queued before those who are connected were let in. Who connects before a line is queued gets
        // it, so nothing newer is passed on until it has been looked who has come.
        let mut known = 0;
        for _ in 0..ROUND {
            match queue.next() {
                Next::Line(line) => {
                    if known == 0 {
                        known = queue.len() + 1;
                        self.accept();
                    }
                    known -= 1;
                    queue.counters.written.fetch_add(1, Relaxed);
                    self.push(line, 1);
                }
                Next::Gap(missing) => self.push(lost_line(missing), missing),
                Next::Reopen => {}
                Next::Idle => return Pumped::Idle,
                Next::End => return Pumped::End,
            }
        }
        Pumped::More
    }

    fn push(&mut self, line: String, stands_for: u64) {
        if !self.readers.is_empty() {
            self.ring.push(line, stands_for);
        }
    }

    fn send(&mut self, queue: &Queue, lost_line: &LostLine, now: Instant) {
        let ring = &self.ring;
        self.readers.retain_mut(|reader| {
            let was_in_time = reader.place().is_some();
            let stays = reader.send(ring, lost_line, now);
            if was_in_time && reader.place().is_none() {
                queue.counters.dropped_readers.fetch_add(1, Relaxed);
                debug!(flow_log = %self.name, "a reader is too slow and is dropped");
            }
            stays
        });
        let slowest = self
            .readers
            .iter()
            .filter_map(Reader::place)
            .min_by_key(|place| std::cmp::Reverse(ring.told_since(*place)));
        self.ring.forget_before(slowest.unwrap_or(self.ring.end()));
        let count = self.readers.len();
        queue.counters.readers.store(count as u64, Relaxed);
        if count < READERS && self.crowded.over().is_some() {
            info!(flow_log = %self.name, "there is room for readers again");
        }
    }

    /// Waits for lines, readers who are ready, readers who go, readers who come, or the time of something.
    fn wait(&mut self, queue: &Queue, pumped: Pumped, end: Option<Instant>, now: Instant) {
        if self.paused.is_some_and(|until| now >= until) {
            self.paused = None;
        }
        let deadlines = self.readers.iter().filter_map(Reader::deadline);
        let timeout = match (pumped, deadlines.chain(self.paused).chain(end).min()) {
            (Pumped::More, _) => PollTimeout::ZERO,
            (_, None) => PollTimeout::NONE,
            // A millisecond more, since less than one would be none.
            (_, Some(time)) => {
                let wait = time.saturating_duration_since(now) + Duration::from_millis(1);
                PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
            }
        };
        let listening = match self.paused {
            None => PollFlags::POLLIN,
            Some(_) => PollFlags::empty(),
        };
        let mut polled = vec![
            PollFd::new(queue.bell(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), listening),
        ];
        polled.extend(self.readers.iter().map(|reader| {
            // Without any event asked for, the kernel still tells that a reader has gone.
            let room = if reader.blocked {
                PollFlags::POLLOUT
            } else {
                PollFlags::empty()
            };
            PollFd::new(reader.stream.as_fd(), room)
        }));
        // It fails if a signal comes, and then nothing is ready.
        if poll(&mut polled, timeout).is_err() {
            return;
        }
        let ready: Vec<_> = polled
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()))
            .collect();
        if ready[0].contains(PollFlags::POLLIN) {
            queue.hush();
        }
        let mut ready_readers = ready[2..].iter();
        self.readers.retain_mut(|reader| {
            let ready = ready_readers.next().copied().unwrap_or(PollFlags::empty());
            if ready.contains(PollFlags::POLLOUT) {
                reader.blocked = false;
            }
            !ready.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
        });
        if ready[1].contains(PollFlags::POLLIN) && pumped != Pumped::End {
            self.accept();
        }
    }

    /// Lets in who waits outside.
    fn accept(&mut self) {
        if self.paused.is_some() {
            return;
        }
        for _ in 0..ACCEPTED {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                    ) =>
                {
                    continue;
                }
                Err(error) => {
                    debug!(flow_log = %self.name, %error, "no reader can be let in for a moment");
                    self.paused = Some(Instant::now() + PAUSE);
                    return;
                }
            };
            // A line of text for who is turned away could be taken for one of the log.
            if self.readers.len() >= READERS {
                if self.crowded.met(0, Instant::now()) {
                    warn!(flow_log = %self.name, readers = READERS, "further readers of the flow log are turned away");
                }
            } else if let Ok(reader) = Reader::new(stream, self.ring.end()) {
                self.readers.push(reader);
            }
        }
    }
}

#[cfg(test)]
mod tests;
