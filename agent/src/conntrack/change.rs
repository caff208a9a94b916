//! The kernel's list, changed.

use std::io;

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

    /// Carries out orders, and tells what came of each, by its place. If it fails, those that were not told of may have been
    /// carried out or not.
    pub fn apply(
        &mut self,
        orders: &[(Order, Connection)],
        mut each: impl FnMut(usize, Done),
    ) -> Result<(), ConntrackError> {
        let mut first = 0;
        for batch in orders.chunks(BATCH) {
            self.apply_batch(batch, |place, done| each(first + place, done))?;
            first += batch.len();
        }
        Ok(())
    }

    fn apply_batch(
        &mut self,
        batch: &[(Order, Connection)],
        mut each: impl FnMut(usize, Done),
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
        let mut refused = None;
        let is_all = self
            .channel
            .exchange(&bytes, |message| {
                let Some(answer) = message.answer() else {
                    return;
                };
                let done = match answer.errno {
                    0 => Done::Done,
                    libc::ENOENT => Done::Gone,
                    libc::ENOSPC => Done::NoRoom,
                    errno => {
                        refused = Some(errno);
                        return;
                    }
                };
                answered += 1;
                each(message.number as usize, done);
            })
            .map_err(|source| ConntrackError::refused(CHANGING, source))?;
        match refused {
            Some(errno) => Err(ConntrackError::refused(
                CHANGING,
                io::Error::from_raw_os_error(errno),
            )),
            None if is_all && answered == batch.len() => Ok(()),
            None => Err(ConntrackError::NoAnswer { doing: CHANGING }),
        }
    }
}
