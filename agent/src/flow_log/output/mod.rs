//! Where the log's lines go: standard output, a file, or whoever connects to a unix socket.
//!
//! The agent never waits for who takes its log. [`Output::write`] puts a line into a queue of at most 4,096 lines and 8 MiB;
//! a thread of its own takes them out and writes, and if that gets stuck, lines are lost instead. Each gap is told in its
//! place, by a line that says how many are missing.
//!
//! Memory beyond the queue: 64 KiB of lines that are being written, or for a socket the newest 4,096 lines, at most 4 MiB,
//! once for all readers.

mod chunk;
mod destination;
mod error;
mod file;
mod queue;
pub mod size;
mod trouble;
mod unix;
mod writer;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

pub use destination::{Destination, DestinationError};
pub use error::OutputError;
use file::LogFile;
pub use file::Rotation;
use queue::{Limits, Queue};
use unix::{Hub, SocketFile};
use writer::{Stream, Writer};

/// What may wait to be written.
const LIMITS: Limits = Limits {
    lines: 4096,
    bytes: 8 << 20,
};

/// Bytes that lines take at most, on their way to a file; a socket's newest lines come on top.
pub const MEMORY: usize = LIMITS.bytes + LIMITS.lines.next_power_of_two() * size_of::<(u64, String)>()
    // The last line that is taken may go beyond what is written at a time, and buffers grow to twice that.
    + 4 * (64 << 10);

/// Makes the line that tells of so many missing ones.
type LostLine = dyn Fn(u64) -> String + Send + Sync;

/// Takes lines and has them written.
#[derive(Debug)]
pub struct Output {
    /// `None` if the log is off.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    queue: Arc<Queue>,
    /// Of a unix socket; removed on drop.
    _socket: Option<SocketFile>,
}

/// What became of all lines since the start. The lines that tell of missing ones are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lines written; for a socket, lines passed on to all who were connected then, nobody perhaps.
    pub written: u64,
    /// Lines lost: the queue was full, or writing failed. What one reader of a socket misses is lost for it alone, and not
    /// counted here.
    pub lost: u64,
    /// Lines that wait now.
    pub queued: u64,
    /// Readers connected to the socket now.
    pub readers: u64,
    /// Readers of the socket that were dropped since they were too slow.
    pub dropped_readers: u64,
}

/// How the log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "lines may not have been written"]
pub struct Closed {
    /// Lines that were queued and could not be written, or not in time.
    pub unwritten: u64,
}

impl Output {
    /// Opens the log and starts the thread that writes to it. `lost_line` makes the line, without its end, that tells of so
    /// many lines that are missing where it stands.
    pub fn open(
        destination: &Destination,
        rotation: Rotation,
        lost_line: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> Result<Self, OutputError> {
        Self::with_limits(destination, rotation, LIMITS, lost_line)
    }

    fn with_limits(
        destination: &Destination,
        rotation: Rotation,
        limits: Limits,
        lost_line: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> Result<Self, OutputError> {
        let name = destination.to_string();
        match destination {
            Destination::Off => Ok(Self { running: None }),
            Destination::Stdout => {
                let out = io::stdout().as_fd().try_clone_to_owned();
                let out = out.map_err(|error| OutputError::io("use", "standard output", error))?;
                Self::to_stream(File::from(out), name, limits, lost_line)
            }
            Destination::File(path) => {
                let file = LogFile::open(path.clone(), rotation)?;
                Self::start(name.clone(), limits, None, move |queue| {
                    Writer::new(name, queue, file, &lost_line).run();
                })
            }
            Destination::Unix(path) => {
                let (hub, socket) = Hub::open(path, name.clone())?;
                Self::start(name, limits, Some(socket), move |queue| {
                    hub.run(queue, &lost_line);
                })
            }
        }
    }

    fn to_stream(
        out: File,
        name: String,
        limits: Limits,
        lost_line: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> Result<Self, OutputError> {
        Self::start(name.clone(), limits, None, move |queue| {
            Writer::new(name, queue, Stream::new(out), &lost_line).run();
        })
    }

    fn start(
        name: String,
        limits: Limits,
        socket: Option<SocketFile>,
        work: impl FnOnce(&Queue) + Send + 'static,
    ) -> Result<Self, OutputError> {
        let cannot = |error| OutputError::io("start", "its thread", error);
        let queue = Arc::new(Queue::new(name, limits).map_err(cannot)?);
        let end = AtEnd(Arc::clone(&queue));
        thread::Builder::new()
            .name("netpol-flows".to_owned())
            .spawn(move || work(&end.0))
            .map_err(cannot)?;
        Ok(Self {
            running: Some(Running {
                queue,
                _socket: socket,
            }),
        })
    }

    /// Has a line written, which is given without its end. Never waits; if the queue is full the line is lost, and counted.
    pub fn write(&self, mut line: String) {
        let Some(running) = &self.running else {
            return;
        };
        // A line that held another could tell things that never were.
        if line.contains('\n') {
            line = line.replace('\n', " ");
        }
        // Only the text is counted.
        line.shrink_to_fit();
        running.queue.put(line);
    }

    /// Has the file opened anew by its name before the next line, for programs that move it away. Of no effect on other
    /// destinations. Never waits; what fails is told in the agent's own log, and the file that is open is written on.
    pub fn reopen(&self) {
        if let Some(running) = &self.running {
            running.queue.reopen();
        }
    }

    /// What became of all lines so far.
    pub fn totals(&self) -> Totals {
        let Some(running) = &self.running else {
            return Totals::default();
        };
        let counters = &running.queue.counters;
        // In this order, a line on its way in between cannot make the rest negative.
        let written = counters.written.load(Relaxed);
        let failed = counters.failed.load(Relaxed);
        let accepted = counters.accepted.load(Relaxed);
        Totals {
            written,
            lost: failed + counters.refused.load(Relaxed),
            queued: accepted.saturating_sub(written + failed),
            readers: counters.readers.load(Relaxed),
            dropped_readers: counters.dropped_readers.load(Relaxed),
        }
    }

    /// Writes what is queued, for as long as `patience` at most, and ends. Waits for that, so it is nothing for the threads
    /// of an asynchronous runtime that has other things to do. Of lines that count as unwritten, the ones whose writing had
    /// begun may arrive nevertheless.
    pub fn close(mut self, patience: Duration) -> Closed {
        let Some(Running { queue, .. }) = self.running.as_ref() else {
            return Closed { unwritten: 0 };
        };
        let counters = &queue.counters;
        let failed_before = counters.failed.load(Relaxed);
        queue.close(Instant::now() + patience);
        queue.wait_for_end(patience);
        queue.abandon();
        let done = counters.written.load(Relaxed) + failed_before;
        let unwritten = counters.accepted.load(Relaxed).saturating_sub(done);
        self.running = None;
        Closed { unwritten }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// Tells that the thread has ended, however it did.
struct AtEnd(Arc<Queue>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests;
