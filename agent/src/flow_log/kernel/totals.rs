//! What a reader has seen so far, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a reader has seen since it started. All but the depth only grow.
#[derive(Debug, Default)]
pub struct ReaderTotals {
    pub(super) received: AtomicU64,
    pub(super) foreign: AtomicU64,
    pub(super) folded: AtomicU64,
    pub(super) lost_in_kernel: AtomicU64,
    pub(super) lost_in_queue: AtomicU64,
    pub(super) queue_depth: AtomicU64,
}

impl ReaderTotals {
    /// Packets that netpol's rules dropped and the kernel handed on.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Messages in the same group that are not of netpol's rules, or cannot be read.
    pub fn foreign(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Packets received that were not told of singly.
    pub fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }

    /// Packets that overflowed the kernel's buffer.
    pub fn lost_in_kernel(&self) -> u64 {
        self.lost_in_kernel.load(Ordering::Relaxed)
    }

    /// Packets received that are told of by no sighting.
    pub fn lost_in_queue(&self) -> u64 {
        self.lost_in_queue.load(Ordering::Relaxed)
    }

    /// Messages that wait to be taken, as of the reader's last look.
    pub fn queue_depth(&self) -> u64 {
        self.queue_depth.load(Ordering::Relaxed)
    }
}

pub(super) fn add(total: &AtomicU64, count: u64) {
    if count > 0 {
        total.fetch_add(count, Ordering::Relaxed);
    }
}
