//! The kernel's list, changed.

use nix::libc;

use super::encode;
use super::numbers::{DELETE, NEW};
use super::{Connection, Conntrack, ConntrackError};
use crate::netlink::{ACKNOWLEDGE, Header, written};

/// What can be done to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Gives it the label of those that were cut.
    Cut,
    /// Takes that label away.
    Restore,
    /// Forgets it: the next packet is as if it were the first.
    Delete,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was done.
    Done,
    /// There is no such connection any more.
    Gone,
    /// It has no room for labels: it began when no rule set any.
    NoRoom,
}

/// Orders that go out at once. Their answers have to fit into the socket, of which each takes about a kilobyte.
const BATCH: usize = 64;

const CHANGING: &str = "changing the list of connections";

impl Conntrack {
    /// Marks a connection as cut.
    pub fn cut(&mut self, connection: &Connection) -> Result<Done, ConntrackError> {
        self.order(Order::Cut, connection)
    }

    /// Takes the mark away.
    pub fn restore(&mut self, connection: &Connection) -> Result<Done, ConntrackError> {
        self.order(Order::Restore, connection)
    }

    /// Forgets a connection.
    pub fn delete(&mut self, connection: &Connection) -> Result<Done, ConntrackError> {
        self.order(Order::Delete, connection)
    }

    fn order(&mut self, order: Order, connection: &Connection) -> Result<Done, ConntrackError> {
        let mut outcome = Done::Gone;
        self.apply(&[(order, *connection)], |_, done| outcome = done)?;
        Ok(outcome)
    }

    /// Carries out orders, and tells what came of each, by its place. One that the kernel refuses keeps nothing from the others:
    /// of these it is told all the same. If it fails otherwise, those that were not told of may have been carried out or not.
    pub fn apply(
        &mut self,
        orders: &[(Order, Connection)],
        mut each: impl FnMut(usize, Done),
    ) -> Result<(), ConntrackError> {
        let mut refused = None;
        for (first, batch) in (0..).step_by(BATCH).zip(orders.chunks(BATCH)) {
            self.apply_batch(batch, |place, errno| match Done::of(errno) {
                Some(done) => each(first + place, done),
                None => refused = refused.or(Some((first + place, errno))),
            })?;
        }
        match refused.and_then(|(place, errno)| Some((orders.get(place)?, errno))) {
            Some(((_, connection), errno)) => Err(ConntrackError::unchanged(connection, errno)),
            None => Ok(()),
        }
    }

    fn apply_batch(
        &mut self,
        batch: &[(Order, Connection)],
        mut each: impl FnMut(usize, i32),
    ) -> Result<(), ConntrackError> {
        let bytes = written(|w| {
            for (number, (order, connection)) in (0..).zip(batch) {
                let kind = match order {
                    Order::Cut | Order::Restore => NEW,
                    Order::Delete => DELETE,
                };
                let header = Header {
                    kind,
                    flags: ACKNOWLEDGE,
                    number,
                    family: encode::family(connection.original.source),
                    ..Header::default()
                };
                w.message(header, |w| match order {
                    Order::Delete => encode::exactly_which_one(w, connection),
                    Order::Cut | Order::Restore => {
                        encode::which_one(w, connection);
                        encode::cut_label(w, *order == Order::Cut);
                    }
                });
            }
        });
        let bytes = bytes.unwrap_or_default();
        let mut answered = 0;
        let is_all = self
            .channel
            .exchange(&bytes, |message| {
                if let Some(answer) = message.answer() {
                    answered += 1;
                    each(message.number as usize, answer.errno);
                }
            })
            .map_err(|source| ConntrackError::refused(CHANGING, source))?;
        if is_all && answered == batch.len() {
            Ok(())
        } else {
            Err(ConntrackError::NoAnswer { doing: CHANGING })
        }
    }
}

impl Done {
    /// What an answer means; nothing if it is a refusal.
    fn of(errno: i32) -> Option<Self> {
        match errno {
            0 => Some(Self::Done),
            libc::ENOENT => Some(Self::Gone),
            libc::ENOSPC => Some(Self::NoRoom),
            _ => None,
        }
    }
}
