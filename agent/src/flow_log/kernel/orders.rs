//! What the agent has its reader do, even while that waits.

use std::collections::HashSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::NflogError;

/// Addresses that may wait to be forgotten.
const MOVED: usize = 4096;

/// Given by the agent, looked at by the reader.
#[derive(Debug)]
pub(super) struct Orders {
    is_to_stop: AtomicBool,
    /// The table in the kernel is of the run whose packets are read.
    is_ours: AtomicBool,
    moved: Mutex<HashSet<IpAddr>>,
    bell: EventFd,
}

impl Orders {
    pub(super) fn new() -> Result<Self, NflogError> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|error| NflogError::io("making an eventfd")(error.into()))?;
        Ok(Self {
            is_to_stop: AtomicBool::new(false),
            is_ours: AtomicBool::new(false),
            moved: Mutex::default(),
            bell,
        })
    }

    pub(super) fn stop(&self) {
        self.is_to_stop.store(true, Ordering::Release);
        self.ring();
    }

    pub(super) fn is_to_stop(&self) -> bool {
        self.is_to_stop.load(Ordering::Acquire)
    }

    pub(super) fn rules_are_ours(&self) {
        self.is_ours.store(true, Ordering::Release);
    }

    pub(super) fn are_rules_ours(&self) -> bool {
        self.is_ours.load(Ordering::Acquire)
    }

    pub(super) fn forget(&self, addresses: &[IpAddr]) {
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        // Beyond that many at once some repeats are told as those of the next owner.
        if moved.len() < MOVED {
            moved.extend(addresses);
        }
        drop(moved);
        self.ring();
    }

    /// The addresses to forget, once, and the bell is silent until it is rung again.
    pub(super) fn moved(&self) -> HashSet<IpAddr> {
        // It fails only if nobody has rung.
        let _ = self.bell.read();
        std::mem::take(&mut self.moved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ring(&self) {
        // It can only fail if it has been rung very often, and then the reader wakes, too.
        let _ = self.bell.write(1);
    }
}

impl AsFd for Orders {
    /// Becomes readable when there is something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
