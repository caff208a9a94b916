//! One look at the kernel's list: what is found is handed on to be judged, and what is decided is done.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Came, Look, Talk, Told};
use crate::conntrack::{Connection, Conntrack, ConntrackError, Done, Order, own_addresses};

/// So many connections are judged at a time. The list of the kernel waits meanwhile.
const CHUNK: usize = 256;

/// Two of them: one is told what to do while the other is read.
pub(super) struct Kernel {
    list: Conntrack,
    changes: Conntrack,
}

impl Kernel {
    pub(super) fn open() -> Result<Self, ConntrackError> {
        Ok(Self {
            list: Conntrack::open()?,
            changes: Conntrack::open()?,
        })
    }

    /// What fails for one connection keeps nothing from the others; it is told in the end.
    pub(super) fn look(&mut self, look: &Look, talk: &mut Talk<'_>) -> Result<(), ConntrackError> {
        let mut own = read_own()?;
        if talk.tell(Told::Own(own.clone())).is_err() {
            return Ok(());
        }
        let Self { list, changes } = self;
        let mut failed = None;
        let mut hand_on = |found: Vec<Connection>, talk: &mut Talk<'_>| {
            let done = ordered(&found, &mut own, read_own, talk)
                .and_then(|orders| carry_out(&orders, changes, talk));
            if let Err(error) = done {
                failed.get_or_insert(error);
            }
        };
        let mut chunk = Vec::with_capacity(CHUNK);
        list.each(&look.which, |connection| {
            // A reading cannot be broken off; nobody cares for the rest.
            if talk.is_over || !look.includes(&connection) {
                return;
            }
            chunk.push(connection);
            if chunk.len() == CHUNK {
                let found = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                hand_on(found, talk);
            }
        })?;
        if !chunk.is_empty() && !talk.is_over {
            hand_on(chunk, talk);
        }
        failed.map_or(Ok(()), Err)
    }
}

fn read_own() -> Result<BTreeSet<IpAddr>, ConntrackError> {
    own_addresses().map_err(|source| ConntrackError::Io {
        doing: "reading the node's own addresses",
        source,
    })
}

/// Has connections judged. What is to be done with any was decided by addresses that were read after it was found: one that
/// the node opened from an address that it has only just got is the node's own.
pub(super) fn ordered(
    found: &[Connection],
    own: &mut BTreeSet<IpAddr>,
    mut read_own: impl FnMut() -> Result<BTreeSet<IpAddr>, ConntrackError>,
    talk: &mut Talk<'_>,
) -> Result<Vec<(Order, Connection)>, ConntrackError> {
    loop {
        let Ok(orders) = talk.ask(found.to_vec()) else {
            return Ok(Vec::new());
        };
        if orders.is_empty() {
            return Ok(orders);
        }
        let now = read_own()?;
        let is_new = |end| now.contains(&end) && !own.contains(&end);
        let is_outdated = orders.iter().any(|(_, connection)| {
            let opener = connection.judged().source;
            let ends = [opener, connection.source(), connection.destination()];
            ends.into_iter().any(is_new)
        });
        if now != *own && talk.tell(Told::Own(now.clone())).is_ok() {
            *own = now;
        }
        if !is_outdated {
            return Ok(orders);
        }
    }
}

fn carry_out(
    orders: &[(Order, Connection)],
    changes: &mut Conntrack,
    talk: &mut Talk<'_>,
) -> Result<(), ConntrackError> {
    if orders.is_empty() {
        return Ok(());
    }
    let mut came = vec![Came::Nothing; orders.len()];
    let mut without_room = Vec::new();
    let labelled = changes.apply(orders, |place, done| match done {
        Done::Done => note(&mut came, place, Came::Done),
        Done::Gone => {}
        Done::NoRoom => without_room.push(place),
    });
    let (places, deletions): (Vec<usize>, Vec<_>) = without_room
        .into_iter()
        .filter_map(|place| Some((place, (Order::Delete, orders.get(place)?.1))))
        .unzip();
    let deleted = changes.apply(&deletions, |number, done| {
        if let (Done::Done, Some(place)) = (done, places.get(number)) {
            note(&mut came, *place, Came::Deleted);
        }
    });
    // If nobody listens any more, it is done all the same.
    let _ = talk.tell(Told::Did(came));
    labelled.and(deleted)
}

fn note(all: &mut [Came], place: usize, came: Came) {
    if let Some(one) = all.get_mut(place) {
        *one = came;
    }
}
