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
        /// Whether everything that the reading before counted has come by now, or never will.
        is_settled: bool,
        /// Whether the counters are those of the rules of [`Reader::rules_are_ours`](super::reader::Reader::rules_are_ours).
        is_ours: bool,
        /// Whether packets were lost of which the number is not known yet.
        is_gap_open: bool,
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
    /// Since the kernel said that some were lost no packet has come that tells how many.
    is_gap_open: bool,
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
            is_gap_open: false,
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
        self.send(Message::Sighting(sighting)).is_none()
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
        is_settled: bool,
        is_ours: bool,
    ) -> bool {
        let reading = Message::Reading {
            counters,
            received,
            is_settled,
            is_ours,
            // What is known but found no room is not known there.
            is_gap_open: self.is_gap_open || self.lost_in_kernel > 0,
        };
        self.send(reading).is_none()
    }

    pub(super) fn gap_in_kernel(&mut self) {
        self.is_gap_open = true;
    }

    pub(super) fn lost_in_kernel(&mut self, count: u64) {
        if count > 0 {
            self.is_gap_open = false;
        }
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
            self.state = self.send(state);
        }
        let in_kernel = self.tell_lost(self.lost_in_kernel, LostAt::KernelBuffer);
        let in_queue = self.tell_lost(self.lost_in_queue, LostAt::AgentQueue);
        self.lost_in_kernel -= in_kernel;
        self.lost_in_queue -= in_queue;
    }

    /// Returns how many have been told.
    fn tell_lost(&self, count: u64, at: LostAt) -> u64 {
        if count > 0 && self.send(Message::Lost { count, at }).is_none() {
            count
        } else {
            0
        }
    }

    /// Gives the message back if there is no room or nobody to take it.
    fn send(&self, mut message: Message) -> Option<Message> {
        loop {
            let sent = self.sender.try_send(message);
            let depth = self.sender.max_capacity() - self.sender.capacity();
            let depth = u64::try_from(depth).unwrap_or(u64::MAX);
            self.totals.queue_depth.store(depth, Ordering::Relaxed);
            message = match sent {
                Ok(()) => return None,
                Err(TrySendError::Closed(message)) => return Some(message),
                Err(TrySendError::Full(message)) => message,
            };
            if self
                .deadline
                .is_none_or(|deadline| Instant::now() > deadline)
            {
                return Some(message);
            }
            std::thread::sleep(RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use policy_compiler::model::Direction;
    use policy_compiler::ruleset::{DropOf, DropPoint};
    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::flow_log::sighting::Extent;

    fn sighting() -> Sighting {
        Sighting {
            point: DropPoint {
                direction: Direction::Ingress,
                of: DropOf::LinkLocal,
            },
            packet: None,
            time: SystemTime::UNIX_EPOCH,
            input: None,
            output: None,
            extent: Extent::First,
        }
    }

    fn outbox(room: usize) -> (Outbox, Receiver<Message>, Arc<ReaderTotals>) {
        let (sender, receiver) = channel(room);
        let totals = Arc::new(ReaderTotals::default());
        (Outbox::new(sender, Arc::clone(&totals)), receiver, totals)
    }

    #[test]
    fn what_finds_no_room_is_told_later() {
        let (mut outbox, mut receiver, totals) = outbox(2);
        assert!(outbox.tell(sighting()) && outbox.tell(sighting()));
        assert!(!outbox.tell(sighting()));
        assert_eq!(totals.queue_depth(), 2);
        outbox.tell_state(Message::Down(NflogError::Busy { group: 1 }));
        outbox.tell_state(Message::Up);
        outbox.lost_in_kernel(3);
        outbox.lost_in_kernel(4);
        outbox.lost_in_queue(1);
        outbox.tell_reading(Vec::new(), Vec::new(), true, true);
        for _ in 0..2 {
            assert!(matches!(receiver.try_recv(), Ok(Message::Sighting(_))));
        }
        // The older state and the counters are out of date by now.
        outbox.tell_what_waits();
        assert!(matches!(receiver.try_recv(), Ok(Message::Up)));
        let lost = |message| match message {
            Ok(Message::Lost { count, at }) => (count, at),
            other => panic!("{other:?}"),
        };
        assert_eq!(lost(receiver.try_recv()), (7, LostAt::KernelBuffer));
        outbox.tell_what_waits();
        assert_eq!(lost(receiver.try_recv()), (1, LostAt::AgentQueue));
        outbox.tell_what_waits();
        assert!(receiver.try_recv().is_err());
        assert_eq!((totals.lost_in_kernel(), totals.lost_in_queue()), (7, 1));
    }

    #[test]
    fn the_last_messages_wait_for_room() {
        let (mut outbox, mut receiver, _) = outbox(1);
        outbox.be_patient();
        let taker = std::thread::spawn(move || {
            let mut taken = 0;
            while receiver.blocking_recv().is_some() {
                taken += 1;
            }
            taken
        });
        let told = (0..100).filter(|_| outbox.tell(sighting())).count();
        drop(outbox);
        assert_eq!((told, taker.join().ok()), (100, Some(100)));
    }

    #[test]
    fn nobody_listens() {
        let (mut outbox, receiver, _) = outbox(1);
        drop(receiver);
        outbox.be_patient();
        assert!(outbox.is_closed() && !outbox.tell(sighting()));
    }
}
