//! The queue between the agent, which never waits, and the thread that writes.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tracing::{info, warn};

use super::trouble::Trouble;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) lines: usize,
    /// Of the lines' text.
    pub(super) bytes: usize,
}

/// What the writing thread does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Write this line.
    Line(String),
    /// Tell that so many lines are missing here.
    Gap(u64),
    /// Open the file anew.
    Reopen,
    /// Wait on [`Queue::wait`]: there is nothing to do.
    Idle,
    /// Stop: nothing more will come.
    End,
}

/// How many lines have gone which way.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Queued ever.
    pub(super) accepted: AtomicU64,
    /// Never queued.
    pub(super) refused: AtomicU64,
    /// Of the accepted, those that were written.
    pub(super) written: AtomicU64,
    /// Of the accepted, those that could not be written.
    pub(super) failed: AtomicU64,
    pub(super) readers: AtomicU64,
    pub(super) dropped_readers: AtomicU64,
}

/// A bounded queue of lines. Both sides hold its lock only to move a line.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) counters: Counters,
    /// What the queue leads to, for the log.
    name: String,
    limits: Limits,
    state: Mutex<State>,
    bell: EventFd,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Lines, each with how many were lost just before it.
    lines: VecDeque<(u64, String)>,
    bytes: usize,
    overflow: Overflow,
    reopen: bool,
    /// The writing thread waits, and must be woken.
    asleep: bool,
    phase: Phase,
    /// The writing thread has ended.
    ended: bool,
}

#[derive(Debug, Default)]
struct Overflow {
    /// The queue was full and has not been half empty since.
    full: bool,
    /// Lines lost since the last that was accepted.
    gap: u64,
    trouble: Trouble,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Open,
    /// Nothing more is accepted; what there is should be written until then.
    Closed(Instant),
    /// Nothing more is to be written.
    Abandoned,
}

impl Queue {
    pub(super) fn new(name: String, limits: Limits) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self {
            counters: Counters::default(),
            name,
            limits,
            state: Mutex::default(),
            bell: EventFd::from_flags(flags)?,
            ended: Condvar::new(),
        })
    }

    /// Queues a line, or counts it lost.
    ///
    /// Once full, the queue takes nothing until it is half empty, so that there are few gaps with many lines each, not one
    /// gap before every line.
    pub(super) fn put(&self, line: String) {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Open) {
            drop(state);
            self.counters.refused.fetch_add(1, Relaxed);
            return;
        }
        let share = if state.overflow.full { 2 } else { 1 };
        if state.lines.len() >= self.limits.lines / share
            || state.bytes + line.len() > self.limits.bytes / share
        {
            state.overflow.full = true;
            state.overflow.gap += 1;
            let tell = state.overflow.trouble.met(1, Instant::now());
            drop(state);
            self.counters.refused.fetch_add(1, Relaxed);
            if tell {
                warn!(flow_log = %self.name, "whatever takes the flow log does not keep up: lines are lost");
            }
            return;
        }
        state.overflow.full = false;
        state.bytes += line.len();
        let lost_before = std::mem::take(&mut state.overflow.gap);
        state.lines.push_back((lost_before, line));
        self.counters.accepted.fetch_add(1, Relaxed);
        self.wake(state);
    }

    /// Has the file opened anew before the next line.
    pub(super) fn reopen(&self) {
        let mut state = self.lock();
        state.reopen = true;
        self.wake(state);
    }

    /// Takes no more lines. The thread should write what there is until `deadline`.
    pub(super) fn close(&self, deadline: Instant) {
        let mut state = self.lock();
        state.phase = Phase::Closed(deadline);
        self.wake(state);
    }

    /// When to stop at the latest, if the queue is closed and not abandoned.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.lock().phase {
            Phase::Closed(deadline) => Some(deadline),
            Phase::Open | Phase::Abandoned => None,
        }
    }

    /// Waits until the thread has ended, or has had its time.
    pub(super) fn wait_for_end(&self, patience: Duration) {
        drop(
            self.ended
                .wait_timeout_while(self.lock(), patience, |state| !state.ended),
        );
    }

    /// Throws away what is queued, and has the thread end as soon as it comes round.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.phase = Phase::Abandoned;
        state.lines.clear();
        state.bytes = 0;
        self.wake(state);
    }

    /// What is next for the thread. Before [`Next::Idle`] is returned, the thread is marked as one to be woken.
    pub(super) fn next(&self) -> Next {
        let mut state = self.lock();
        state.asleep = false;
        if matches!(state.phase, Phase::Abandoned) {
            return Next::End;
        }
        if std::mem::take(&mut state.reopen) {
            return Next::Reopen;
        }
        if let Some((lost_before, _)) = state.lines.front_mut()
            && *lost_before > 0
        {
            return Next::Gap(std::mem::take(lost_before));
        }
        if let Some((_, line)) = state.lines.pop_front() {
            state.bytes -= line.len();
            return Next::Line(line);
        }
        if state.overflow.gap > 0 {
            state.overflow.full = false;
            return Next::Gap(std::mem::take(&mut state.overflow.gap));
        }
        let over = state.overflow.trouble.over();
        let next = match state.phase {
            Phase::Open => {
                state.asleep = true;
                Next::Idle
            }
            Phase::Closed(_) | Phase::Abandoned => Next::End,
        };
        drop(state);
        if let Some(lost) = over {
            info!(flow_log = %self.name, lost, "whatever takes the flow log keeps up again");
        }
        next
    }

    /// How many lines wait.
    pub(super) fn len(&self) -> usize {
        self.lock().lines.len()
    }

    /// Becomes readable when there is something to do; [`Self::hush`] ends that.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Makes the bell ready to ring again.
    pub(super) fn hush(&self) {
        // It fails only if the bell has not rung.
        let _ = self.bell.read();
    }

    /// Waits until there is something to do.
    pub(super) fn wait(&self) {
        let mut bell = [PollFd::new(self.bell(), PollFlags::POLLIN)];
        while poll(&mut bell, PollTimeout::NONE) == Err(Errno::EINTR) {}
        self.hush();
    }

    /// Called by the thread as the last thing it does.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.ended.notify_all();
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            // It fails only if the bell rings already, 2^64 times.
            let _ = self.bell.write(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
