//! The thread that writes to a file or to standard output.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{info, warn};

use super::LostLine;
use super::chunk::{Chunk, Outcome};
use super::queue::{Next, Queue};
use super::trouble::Trouble;

/// Bytes after which lines are written, though more of them wait.
const CHUNK: usize = 64 << 10;

/// Where whole lines are written to.
pub(super) trait Sink {
    /// Writes whole lines. What arrived of a line that did not arrive whole must not run into the next.
    fn write(&mut self, lines: &[u8]) -> Result<(), Broken>;

    /// Opens by name what is open, since another file may have that name by now.
    fn reopen(&mut self);
}

/// Not everything could be written.
#[derive(Debug)]
pub(super) struct Broken {
    /// How many bytes were.
    pub(super) arrived: usize,
    pub(super) error: io::Error,
}

/// Writes everything, however long that takes.
pub(super) fn write_through(mut to: &File, bytes: &[u8]) -> Result<(), Broken> {
    let mut arrived = 0;
    while arrived < bytes.len() {
        let error = match to.write(&bytes[arrived..]) {
            Ok(0) => ErrorKind::WriteZero.into(),
            Ok(count) => {
                arrived += count;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // Whoever shares it with us has made it so.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut room = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                // If this fails, the next attempt to write says why.
                let _ = poll(&mut room, PollTimeout::NONE);
                continue;
            }
            Err(error) => error,
        };
        return Err(Broken { arrived, error });
    }
    Ok(())
}

/// A stream that cannot be opened anew: standard output.
#[derive(Debug)]
pub(super) struct Stream {
    out: File,
    /// The last that was written is a part of a line.
    torn: bool,
}

impl Stream {
    pub(super) fn new(out: File) -> Self {
        Self { out, torn: false }
    }
}

impl Sink for Stream {
    fn write(&mut self, lines: &[u8]) -> Result<(), Broken> {
        if self.torn {
            write_through(&self.out, b"\n")?;
            self.torn = false;
        }
        write_through(&self.out, lines).inspect_err(|broken| {
            self.torn = lines[..broken.arrived].last().is_some_and(|b| *b != b'\n');
        })
    }

    fn reopen(&mut self) {}
}

/// Takes lines from a queue and writes them, until the queue ends.
pub(super) struct Writer<'a, S> {
    name: String,
    queue: &'a Queue,
    sink: S,
    lost_line: &'a LostLine,
    chunk: Chunk,
    /// Missing lines that are still to be told of.
    gap: u64,
    trouble: Trouble,
}

impl<'a, S: Sink> Writer<'a, S> {
    pub(super) fn new(name: String, queue: &'a Queue, sink: S, lost_line: &'a LostLine) -> Self {
        Self {
            name,
            queue,
            sink,
            lost_line,
            chunk: Chunk::default(),
            gap: 0,
            trouble: Trouble::default(),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            match self.queue.next() {
                Next::Line(line) => {
                    self.tell_gap();
                    self.chunk.line(&line);
                    if self.chunk.bytes().len() >= CHUNK {
                        self.flush();
                    }
                }
                Next::Gap(missing) => {
                    self.gap += missing;
                    self.tell_gap();
                }
                Next::Reopen => {
                    self.flush();
                    self.sink.reopen();
                }
                Next::Idle => {
                    self.flush();
                    self.queue.wait();
                }
                Next::End => {
                    // What could not be told so far, because nothing could be written, is tried once more.
                    self.flush();
                    self.tell_gap();
                    self.flush();
                    return;
                }
            }
        }
    }

    fn tell_gap(&mut self) {
        if self.gap > 0 {
            self.chunk.gap(&(self.lost_line)(self.gap), self.gap);
            self.gap = 0;
        }
    }

    fn flush(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let result = self.sink.write(self.chunk.bytes());
        let arrived = match &result {
            Ok(()) => self.chunk.bytes().len(),
            Err(broken) => broken.arrived,
        };
        let Outcome {
            written,
            lost,
            untold,
        } = self.chunk.settle(arrived);
        let counters = &self.queue.counters;
        counters.written.fetch_add(written, Relaxed);
        counters.failed.fetch_add(lost, Relaxed);
        self.gap += untold;
        match result {
            Ok(()) => {
                if let Some(lost) = self.trouble.over() {
                    info!(flow_log = %self.name, lost, "the flow log can be written to again");
                }
            }
            Err(Broken { error, .. }) => {
                if self.trouble.met(lost, Instant::now()) {
                    warn!(flow_log = %self.name, %error, "the flow log cannot be written to: lines are lost until it can");
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
