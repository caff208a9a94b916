//! The reader's end of the channel to the agent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use policy_compiler::ruleset::DropPoint;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::NflogError;
use super::totals::{ReaderTotals, add};
use crate::flow_log::event::LostAt;
use crate::flow_log::sighting::Sighting;

/// How long the last messages wait for room.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often that is tried.
const RETRY: Duration = Duration::from_millis(1);

/// What a reader has to say.
#[derive(Debug)]
pub enum Message {
    /// The group is bound: from now on packets are read.
    Up,
    /// Nothing is read now. It is tried again every second.
    Down(NflogError),
    /// Dropped packets.
    Sighting(Sighting),
    /// Dropped packets that no sighting tells of, at most once a second for each place.
    Lost {
        /// How many, at least one.
        count: u64,
        /// In the kernel's buffer or in the queue to the agent.
        at: LostAt,
    },
    /// What was dropped, and what of it was handed on. Every second, and last of all.
    Reading {
        /// All named counters of the table with their packets, read a moment ago.
        counters: Vec<(String, u64)>,
        /// Packets that came since the last reading.
        received: Vec<(DropPoint, u64)>,
    },
}

/// Sends without waiting, since the kernel's queue must be read on. What finds no room is kept, or counted.
#[derive(Debug)]
pub(super) struct Outbox {
    sender: Sender<Message>,
    totals: Arc<ReaderTotals>,
    /// The latest state, until it could be told.
    state: Option<Message>,
    lost_in_kernel: u64,
    lost_in_queue: u64,
    /// When sending ceases to wait, once this is the end.
    deadline: Option<Instant>,
}

impl Outbox {
    pub(super) fn new(sender: Sender<Message>, totals: Arc<ReaderTotals>) -> Self {
        Self {
            sender,
            totals,
            state: None,
            lost_in_kernel: 0,
            lost_in_queue: 0,
            deadline: None,
        }
    }

    /// Whether nobody listens any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// From now on messages wait for room, for a while.
    pub(super) fn be_patient(&mut self) {
        self.deadline = Some(Instant::now() + PATIENCE);
    }

    /// Says whether there was room.
    pub(super) fn tell(&self, sighting: Sighting) -> bool {
        self.send(Message::Sighting(sighting)).is_ok()
    }

    /// [`Message::Up`] or [`Message::Down`]; the next one takes its place if there is no room before.
    pub(super) fn tell_state(&mut self, state: Message) {
        self.state = Some(state);
        self.tell_what_waits();
    }

    /// Says whether there was room. The counters only grow, so that the next ones say all that these would have said.
    pub(super) fn tell_reading(
        &self,
        counters: Vec<(String, u64)>,
        received: Vec<(DropPoint, u64)>,
    ) -> bool {
        self.send(Message::Reading { counters, received }).is_ok()
    }

    pub(super) fn lost_in_kernel(&mut self, count: u64) {
        add(&self.totals.lost_in_kernel, count);
        self.lost_in_kernel += count;
    }

    pub(super) fn lost_in_queue(&mut self, count: u64) {
        add(&self.totals.lost_in_queue, count);
        self.lost_in_queue += count;
    }

    /// Tells the state and what was lost, as far as there is room.
    pub(super) fn tell_what_waits(&mut self) {
        if let Some(state) = self.state.take() {
            self.state = self.send(state).err();
        }
        let in_kernel = self.tell_lost(self.lost_in_kernel, LostAt::KernelBuffer);
        let in_queue = self.tell_lost(self.lost_in_queue, LostAt::AgentQueue);
        self.lost_in_kernel -= in_kernel;
        self.lost_in_queue -= in_queue;
    }

    /// Returns how many have been told.
    fn tell_lost(&self, count: u64, at: LostAt) -> u64 {
        if count > 0 && self.send(Message::Lost { count, at }).is_ok() {
            count
        } else {
            0
        }
    }

    /// Gives the message back if there is no room or nobody to take it.
    fn send(&self, mut message: Message) -> Result<(), Message> {
        loop {
            let sent = self.sender.try_send(message);
            let depth = self.sender.max_capacity() - self.sender.capacity();
            let depth = u64::try_from(depth).unwrap_or(u64::MAX);
            self.totals.queue_depth.store(depth, Ordering::Relaxed);
            message = match sent {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(message)) => return Err(message),
                Err(TrySendError::Full(message)) => message,
            };
            if self
                .deadline
                .is_none_or(|deadline| Instant::now() > deadline)
            {
                return Err(message);
            }
            std::thread::sleep(RETRY);
        }
    }
}
