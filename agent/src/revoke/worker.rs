//! The thread that speaks to the kernel: it finds connections, has them judged, and does what is decided.

mod look;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc as std_mpsc;
use std::thread;

use tokio::sync::mpsc;

use crate::conntrack::{Connection, ConntrackError, Order, Which};
use look::Kernel;

/// What may wait for the event loop.
const WAITING: usize = 2;

/// Where to look for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) which: Which,
    /// Of these only those matter that have one of these addresses at an end, or are cut.
    pub(super) ends: Option<BTreeSet<IpAddr>>,
}

impl Look {
    fn includes(&self, connection: &Connection) -> bool {
        self.ends.as_ref().is_none_or(|ends| {
            connection.is_cut()
                || ends.contains(&connection.source())
                || ends.contains(&connection.destination())
        })
    }
}

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Tell {
    /// To look for connections.
    Look(Look),
    /// What is to be done with some of those that it found last.
    Do(Vec<(Order, Connection)>),
}

/// What the thread tells.
#[derive(Debug)]
pub(super) enum Told {
    /// These addresses are the node's own: at the beginning, and when there are others.
    Own(BTreeSet<IpAddr>),
    /// Connections. It waits until it is told what to do with them. Those that it has told of last may come again.
    Found(Vec<Connection>),
    /// What came of each order, in their order.
    Did(Vec<Came>),
    /// That was all.
    Ended(Result<(), ConntrackError>),
}

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It was done.
    Done,
    /// The connection was to be cut and had no room for labels: it was deleted.
    Deleted,
    /// There is no such connection any more, or the kernel refused.
    Nothing,
}

/// The event loop's end.
#[derive(Debug)]
pub(super) struct Worker {
    tell: std_mpsc::Sender<Tell>,
    told: mpsc::Receiver<Told>,
}

impl Worker {
    /// Starts the thread, in the network namespace of this one.
    pub(super) fn start() -> io::Result<Self> {
        let (worker, orders, told) = Self::new();
        thread::Builder::new()
            .name("netpol-revoke".to_owned())
            .spawn(move || run(&orders, &told))?;
        Ok(worker)
    }

    /// The event loop's end and the thread's two.
    pub(super) fn new() -> (Self, std_mpsc::Receiver<Tell>, mpsc::Sender<Told>) {
        let (tell, orders) = std_mpsc::channel();
        let (tells, told) = mpsc::channel(WAITING);
        (Self { tell, told }, orders, tells)
    }

    /// Tells the thread something. If it has ended, the next [`told`](Self::told) says so.
    pub(super) fn tell(&self, what: Tell) {
        let _ = self.tell.send(what);
    }

    /// Waits for what it tells; `None` if it has ended. Loses nothing when dropped.
    pub(super) async fn told(&mut self) -> Option<Told> {
        self.told.recv().await
    }
}

/// The event loop has ended.
struct Over;

fn run(orders: &std_mpsc::Receiver<Tell>, told: &mpsc::Sender<Told>) {
    let mut kernel = None;
    while let Ok(order) = orders.recv() {
        // What was decided for a pass that failed comes to nothing.
        let Tell::Look(look) = order else { continue };
        let mut talk = Talk {
            orders,
            told,
            is_over: false,
        };
        let result = look_through(&mut kernel, &look, &mut talk);
        if result.is_err() {
            // What is on its way there may be half an answer.
            kernel = None;
        }
        if talk.is_over || talk.tell(Told::Ended(result)).is_err() {
            return;
        }
    }
}

/// Both ways to the event loop, during a pass.
struct Talk<'a> {
    orders: &'a std_mpsc::Receiver<Tell>,
    told: &'a mpsc::Sender<Told>,
    is_over: bool,
}

impl Talk<'_> {
    fn tell(&mut self, what: Told) -> Result<(), Over> {
        self.told.blocking_send(what).map_err(|_| {
            self.is_over = true;
            Over
        })
    }

    fn ask(&mut self, found: Vec<Connection>) -> Result<Vec<(Order, Connection)>, Over> {
        self.tell(Told::Found(found))?;
        match self.orders.recv() {
            Ok(Tell::Do(orders)) => Ok(orders),
            Ok(Tell::Look(_)) | Err(_) => {
                self.is_over = true;
                Err(Over)
            }
        }
    }
}

fn look_through(
    kernel: &mut Option<Kernel>,
    look: &Look,
    talk: &mut Talk<'_>,
) -> Result<(), ConntrackError> {
    let kernel = match kernel {
        Some(kernel) => kernel,
        None => kernel.insert(Kernel::open()?),
    };
    kernel.look(look, talk)
}
