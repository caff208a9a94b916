//! The thread that reads dropped packets from the kernel.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use policy_compiler::ruleset::{DropPoint, TABLE};
use tokio::sync::mpsc::{Receiver, channel};
use tracing::warn;

use super::NflogError;
use super::counters::{self, Counters};
use super::nflog::{self, Nflog, NflogSettings, Read};
use super::orders::Orders;
use super::outbox::{Message, Outbox};
use super::totals::{ReaderTotals, add};
use crate::flow_log::fold::{self, Added, Dropped, Fold, POINTS};

/// Messages that wait for the agent at most.
pub const QUEUE: usize = 4096;

/// Bytes that reading takes at most, whatever packets come: the folded flows, receipts that are noted and receipts that are
/// told of, messages that wait, and buffers. The table's counters, of which each reading holds a copy, are as many as
/// the node has isolated pods.
pub const MEMORY: usize = fold::MEMORY
    + fold::table_bytes::<DropPoint, u64>(POINTS)
    + POINTS * size_of::<(DropPoint, u64)>()
    + QUEUE * size_of::<Message>()
    + nflog::DATAGRAM
    + counters::DATAGRAM;

/// Counters are read so often, losses told, and a group that is taken is asked for again.
const TICK: Duration = Duration::from_secs(1);

/// What was dropped so long ago has left the kernel, which gathers packets for a while, or waits to be read.
const SETTLED: Duration = nflog::KERNEL_WAIT.saturating_mul(4);

/// How soon refused sightings are offered again.
const RETRY: Duration = Duration::from_millis(50);

/// Datagrams read before the clock is looked at again.
const RUN: usize = 64;

/// What a reader needs to know.
#[derive(Clone, Copy, Debug)]
pub struct ReaderSettings {
    /// What is asked of the kernel.
    pub nflog: NflogSettings,
    /// How often repeats of a flow are told.
    pub window: Duration,
}

/// A running thread `netpol-nflog`. It ends when it is told to, or this is dropped, or nobody receives its messages.
#[derive(Debug)]
pub struct Reader {
    orders: Arc<Orders>,
    totals: Arc<ReaderTotals>,
}

impl Reader {
    /// Starts reading in the network namespace of this thread. Messages end after the last one.
    ///
    /// If the group is taken by another program, that is the first message, and it is tried again every second. Fails if
    /// that would not help: no permission, no NFLOG in the kernel.
    pub fn start(settings: ReaderSettings) -> Result<(Self, Receiver<Message>), NflogError> {
        let nflog = match Nflog::open(&settings.nflog) {
            Err(error) if !error.is_temporary() => return Err(error),
            nflog => nflog,
        };
        let (sender, receiver) = channel(QUEUE);
        let totals = Arc::new(ReaderTotals::default());
        let orders = Arc::new(Orders::new()?);
        let mut worker = Worker {
            settings,
            nflog: None,
            down: None,
            counters: Counters::open()?,
            counters_fail: false,
            fold: Fold::new(settings.window),
            outbox: Outbox::new(sender, Arc::clone(&totals)),
            totals: Arc::clone(&totals),
            counted: Instant::now(),
            is_settled: false,
            received: HashMap::new(),
            orders: Arc::clone(&orders),
        };
        worker.opened(nflog);
        std::thread::Builder::new()
            .name("netpol-nflog".to_owned())
            .spawn(move || worker.run())
            .map_err(NflogError::io("starting the thread netpol-nflog"))?;
        Ok((Self { orders, totals }, receiver))
    }

    /// What it has seen so far.
    pub fn totals(&self) -> Arc<ReaderTotals> {
        Arc::clone(&self.totals)
    }

    /// Has flows from and to these addresses told and forgotten, since other pods have them from now on.
    pub fn forget(&self, addresses: &[IpAddr]) {
        self.orders.forget(addresses);
    }

    /// From now on the counters in the kernel are those of the rules whose packets are read.
    pub fn rules_are_ours(&self) {
        self.orders.rules_are_ours();
    }

    /// Asks the thread to end: it gives the group back, reads what has come until then, tells all that is folded, then the
    /// counters. Take its messages until they end; without room for them it waits two seconds, and what finds none then
    /// is lost.
    pub fn stop(&self) {
        self.orders.stop();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Worker {
    settings: ReaderSettings,
    /// `None` while the group is another's.
    nflog: Option<Nflog>,
    /// Why it is; it is told once.
    down: Option<String>,
    counters: Counters,
    counters_fail: bool,
    fold: Fold,
    outbox: Outbox,
    totals: Arc<ReaderTotals>,
    /// When the counters were read, and whether all that was dropped before has been read since.
    counted: Instant,
    is_settled: bool,
    /// Packets since the last reading.
    received: HashMap<DropPoint, u64>,
    orders: Arc<Orders>,
}

impl Worker {
    fn run(mut self) {
        let mut next_tick = Instant::now();
        while !self.orders.is_to_stop() && !self.outbox.is_closed() {
            let now = Instant::now();
            if now >= next_tick {
                self.tick();
                next_tick = now + TICK;
            }
            self.fold.expire(now, |sighting| self.outbox.tell(sighting));
            self.wait(now, next_tick);
            // Taken before packets are: what is waiting now was dropped before.
            let moved = self.orders.moved();
            self.read(RUN);
            if !moved.is_empty() {
                let tell = |sighting| self.outbox.tell(sighting);
                self.fold.forget_peers(&moved, Instant::now(), tell);
            }
        }
        self.finish();
    }

    fn tick(&mut self) {
        if self.nflog.is_none() {
            self.opened(Nflog::open(&self.settings.nflog));
        }
        self.outbox.tell_what_waits();
        self.tell_counters();
    }

    fn opened(&mut self, nflog: Result<Nflog, NflogError>) {
        match nflog {
            Ok(nflog) => {
                (self.nflog, self.down) = (Some(nflog), None);
                self.outbox.tell_state(Message::Up);
            }
            Err(error) => self.went_down(error),
        }
    }

    fn went_down(&mut self, error: NflogError) {
        self.nflog = None;
        let reason = error.to_string();
        if self.down.as_ref() != Some(&reason) {
            self.outbox.tell_state(Message::Down(error));
            self.down = Some(reason);
        }
    }

    fn tell_counters(&mut self) {
        // Asked before the counters are: in between the table may be replaced.
        let is_ours = self.orders.are_rules_ours();
        let read = self.counters.read(TABLE).and_then(|mut counters| {
            counters.extend(self.counters.read_ports()?);
            Ok(counters)
        });
        match read {
            Ok(counters) => {
                let received = self.received.iter().map(|(point, count)| (*point, *count));
                let is_settled = self.is_settled || self.nflog.is_none();
                if self
                    .outbox
                    .tell_reading(counters, received.collect(), is_settled, is_ours)
                {
                    self.received.clear();
                }
                (self.counted, self.is_settled) = (Instant::now(), false);
                self.counters_fail = false;
            }
            Err(error) => {
                if !self.counters_fail {
                    warn!("cannot say how many drops are not logged: {error}");
                }
                self.counters_fail = true;
            }
        }
    }

    /// Until there is something to read, to tell or to end.
    fn wait(&self, now: Instant, next_tick: Instant) {
        let mut until = next_tick;
        if let Some(due) = self.fold.next_due() {
            until = until.min(due.max(now + RETRY));
        }
        let mut wakers = vec![PollFd::new(self.orders.as_fd(), PollFlags::POLLIN)];
        let socket = self.nflog.as_ref().map(AsFd::as_fd);
        wakers.extend(socket.map(|socket| PollFd::new(socket, PollFlags::POLLIN)));
        // Rounded up: a poll that ends too early would be followed by another.
        let timeout = until.saturating_duration_since(now) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        // A signal wakes it like anything else.
        let _ = poll(&mut wakers, timeout);
    }

    /// Reads at most so many datagrams.
    fn read(&mut self, datagrams: usize) {
        let Some(nflog) = &mut self.nflog else {
            return;
        };
        let now = Instant::now();
        for _ in 0..datagrams {
            let (mut received, mut folded, mut lost) = (0, 0, 0);
            let read = nflog.read(|dropped: Dropped| {
                received += 1;
                if self.received.len() < POINTS || self.received.contains_key(&dropped.point) {
                    *self.received.entry(dropped.point).or_default() += 1;
                }
                let tell = |sighting| self.outbox.tell(sighting);
                match self.fold.add(&dropped, now, tell) {
                    Added::Told => {}
                    Added::Folded => folded += 1,
                    Added::Lost => lost += 1,
                }
            });
            add(&self.totals.received, received);
            add(&self.totals.folded, folded);
            self.outbox.lost_in_queue(lost);
            match read {
                Ok(Read::Datagram(counts)) => {
                    add(&self.totals.foreign, counts.foreign);
                    self.outbox.lost_in_kernel(counts.lost);
                }
                Ok(Read::Gap) => self.outbox.gap_in_kernel(),
                Ok(Read::Empty) => {
                    self.is_settled |= now.duration_since(self.counted) >= SETTLED;
                    return;
                }
                Err(error) => {
                    self.went_down(error);
                    return;
                }
            }
        }
    }

    fn finish(mut self) {
        self.outbox.be_patient();
        if let Some(nflog) = &mut self.nflog
            && let Err(error) = nflog.unbind()
        {
            warn!("{error}; the last dropped packets are not logged");
        }
        // Nothing comes after what is there now, which the kernel's buffer bounds.
        self.read(usize::MAX);
        self.nflog = None;
        let refused = self.fold.drain(|sighting| self.outbox.tell(sighting));
        self.outbox.lost_in_queue(refused);
        self.outbox.tell_what_waits();
        self.tell_counters();
    }
}
