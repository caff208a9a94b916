//! The thread that speaks to the kernel: it finds connections, has them judged, and does what is decided.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc as std_mpsc;
use std::thread;

use tokio::sync::mpsc;

use crate::conntrack::{Connection, Conntrack, ConntrackError, Done, Order, Which, own_addresses};

/// So many connections are judged at a time. The list of the kernel waits meanwhile.
const CHUNK: usize = 256;

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
    /// It has begun to look; these addresses are the node's own.
    Begun(BTreeSet<IpAddr>),
    /// Connections. It waits until it is told what to do with them.
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
    /// There is no such connection any more.
    Gone,
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

/// Two of them: one is told what to do while the other is read.
struct Kernel {
    list: Conntrack,
    changes: Conntrack,
}

impl Kernel {
    fn open() -> Result<Self, ConntrackError> {
        Ok(Self {
            list: Conntrack::open()?,
            changes: Conntrack::open()?,
        })
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
        let result = pass(&mut kernel, &look, &mut talk);
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

fn pass(
    kernel: &mut Option<Kernel>,
    look: &Look,
    talk: &mut Talk<'_>,
) -> Result<(), ConntrackError> {
    let Kernel { list, changes } = match kernel {
        Some(kernel) => kernel,
        None => kernel.insert(Kernel::open()?),
    };
    let own = own_addresses().map_err(|source| ConntrackError::Io {
        doing: "reading the node's own addresses",
        source,
    })?;
    if talk.tell(Told::Begun(own)).is_err() {
        return Ok(());
    }
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut failed = None;
    list.each(&look.which, |connection| {
        // A reading cannot be broken off; nobody cares for the rest.
        if failed.is_some() || talk.is_over || !look.includes(&connection) {
            return;
        }
        chunk.push(connection);
        if chunk.len() == CHUNK {
            let found = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
            failed = hand_on(found, changes, talk).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    if !chunk.is_empty() && !talk.is_over {
        hand_on(chunk, changes, talk)?;
    }
    Ok(())
}

/// Has connections judged, and does what is said.
fn hand_on(
    found: Vec<Connection>,
    changes: &mut Conntrack,
    talk: &mut Talk<'_>,
) -> Result<(), ConntrackError> {
    let Ok(orders) = talk.ask(found) else {
        return Ok(());
    };
    if orders.is_empty() {
        return Ok(());
    }
    let mut came = vec![Came::Gone; orders.len()];
    let mut without_room = Vec::new();
    changes.apply(&orders, |place, done| match done {
        Done::Done => came[place] = Came::Done,
        Done::Gone => {}
        Done::NoRoom => without_room.push(place),
    })?;
    if !without_room.is_empty() {
        let deletions: Vec<_> = without_room
            .iter()
            .map(|place| (Order::Delete, orders[*place].1))
            .collect();
        changes.apply(&deletions, |number, done| {
            if done == Done::Done {
                came[without_room[number]] = Came::Deleted;
            }
        })?;
    }
    // If nobody listens any more, it is done all the same.
    let _ = talk.tell(Told::Did(came));
    Ok(())
}
