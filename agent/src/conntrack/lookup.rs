//! Single connections, by how they were opened.

use std::io;

use nix::libc;

use super::numbers::{GET, NEW};
use super::table::READING;
use super::{Connection, ConntrackError, decode, encode};
use crate::netlink::{Channel, Header};

/// A connection that another brought about may itself have brought about one.
const GENERATIONS: u32 = 4;

/// The kernel tells of the master how it was opened, and not where NAT led it.
pub(super) fn resolve_master(
    channel: &mut Channel,
    connection: &mut Connection,
) -> Result<(), ConntrackError> {
    let mut eldest = *connection;
    for _ in 0..GENERATIONS {
        let Some(original) = eldest.master else {
            break;
        };
        let place = Connection {
            original,
            ..*connection
        };
        match look_up(channel, &place)? {
            Some(found) => {
                connection.master = Some(found.opened());
                eldest = found;
            }
            None => break,
        }
    }
    Ok(())
}

/// The connection that was opened like this, in the same zone.
pub(super) fn look_up(
    channel: &mut Channel,
    like: &Connection,
) -> Result<Option<Connection>, ConntrackError> {
    let mut found = None;
    let mut errno = None;
    let request = Header {
        kind: GET,
        family: encode::family(like.original.source),
        ..Header::default()
    };
    let is_all = channel
        .ask(
            request,
            |w| encode::by_original(w, like),
            |message| {
                if message.kind == NEW {
                    found = decode::connection(message.attributes());
                } else if let Some(answer) = message.answer() {
                    errno = Some(answer.errno);
                }
            },
        )
        .map_err(|source| ConntrackError::refused(READING, source))?;
    match errno {
        None | Some(0) if is_all => Ok(found),
        Some(libc::ENOENT) => Ok(None),
        Some(errno) if errno != 0 => Err(ConntrackError::refused(
            READING,
            io::Error::from_raw_os_error(errno),
        )),
        _ => Err(ConntrackError::NoAnswer { doing: READING }),
    }
}
