//! What the kernel dumps, byte by byte.

use std::collections::BTreeMap;
use std::io;

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

/// `NFT_MSG_GETRULE`
pub(crate) const RULES: u8 = 7;
/// `NFT_MSG_GETSET`
const SETS: u8 = 10;
/// `NFT_MSG_GETSETELEM`
const ELEMENTS: u8 = 13;

/// `NLMSG_ERROR`
const ERROR: u16 = 2;
/// `NLMSG_DONE`
const DONE: u16 = 3;

/// Attributes by their kinds.
pub(crate) type Fields = BTreeMap<u16, Vec<u8>>;

/// Dumps all objects of a kind in the namespace of this thread.
pub(crate) fn dump(message: u8, attributes: &[u8]) -> io::Result<Vec<Fields>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    let kind = u16::from_be_bytes([10, message]);
    // NLM_F_REQUEST, NLM_F_DUMP; of NFPROTO_INET
    let request = self::message(kind, 0x301, 1, [0, 0], attributes);
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let mut objects = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while rest.len() >= 20 {
            let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            match u16::from_ne_bytes([rest[4], rest[5]]) {
                DONE => return Ok(objects),
                ERROR => return Err(io::Error::other(format!("{:?}", &rest[16..20]))),
                _ => objects.push(fields(&rest[20..length])),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        }
    }
}

/// What comes and goes in a table of another program's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// A chain `comes`.
    Chain,
    /// An element of set `s`.
    Element,
}

/// Commits one change to a table of `family` in the namespace of this thread.
pub(super) fn commit(family: u8, table: &str, change: Change, is_there: bool) -> io::Result<()> {
    let table = [table.as_bytes(), &[0]].concat();
    let mut attributes = attribute(1, &table);
    // NFT_MSG_NEWCHAIN or NFT_MSG_NEWSETELEM, and what deletes the same
    let (new, delete) = match change {
        Change::Chain => {
            attributes.extend(attribute(3, b"comes\0"));
            (3, 5)
        }
        Change::Element => {
            let key = attribute(1, &attribute(1, &[192, 0, 2, 1]));
            attributes.extend(attribute(2, b"s\0"));
            attributes.extend(attribute(3, &attribute(1, &key)));
            (12, 14)
        }
    };
    let kind = if is_there { delete } else { new };
    send(kind, family, &attributes)
}

/// Deletes the own table in the namespace of this thread.
pub(crate) fn delete_table() -> io::Result<()> {
    // NFT_MSG_DELTABLE, and NFPROTO_INET
    send(2, 1, &attribute(1, b"netpol\0"))
}

/// Commits one message.
fn send(kind: u8, family: u8, attributes: &[u8]) -> io::Result<()> {
    let kind = u16::from_be_bytes([10, kind]);
    let mut batch = message(16, 1, 0, [0, 10], &[]);
    // NLM_F_REQUEST, NLM_F_ACK, and NLM_F_CREATE
    batch.extend(message(kind, 0x405, family, [0, 0], attributes));
    batch.extend(message(17, 1, 0, [0, 10], &[]));
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.send_to(&batch, &SocketAddr::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    match answer[16..20] {
        [0, 0, 0, 0] => Ok(()),
        ref code => Err(io::Error::other(format!("{code:?}"))),
    }
}

fn message(kind: u16, flags: u16, family: u8, resource: [u8; 2], attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).unwrap_or_default();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([family, 0]);
    message.extend(resource);
    message.extend(attributes);
    message
}

/// Sets and maps with all they are and hold, in order of their names; what the kernel numbers is left out.
pub(crate) fn sets() -> io::Result<Vec<String>> {
    const NAME: u16 = 2;
    // The handle; the number of elements, which ends at 0 are counted in.
    const LEFT_OUT: [u16; 2] = [16, 20];
    let mut all = Vec::new();
    for mut set in dump(SETS, &[])? {
        let mut request = attribute(1, b"netpol\0");
        request.extend(attribute(2, &set[&NAME]));
        let mut elements: Vec<String> = dump(ELEMENTS, &request)?
            .iter()
            .flat_map(|part| part.get(&3).map_or(Vec::new(), |list| items(list)))
            .filter(|element| !is_end_at_zero(element))
            .map(|element| format!("{element:02x?}"))
            .collect();
        elements.sort_unstable();
        set.retain(|kind, _| !LEFT_OUT.contains(kind));
        let name = String::from_utf8_lossy(&set[&NAME]).into_owned();
        if name.starts_with("__set") {
            set.remove(&NAME);
        }
        all.push(format!("{set:02x?}\n{}", elements.join("\n")));
    }
    all.sort_unstable();
    Ok(all)
}

/// `nft` puts an end at the beginning of the address space, where nothing begins, into some sets and not into others,
/// depending on how they are filled.
fn is_end_at_zero(element: &Fields) -> bool {
    element.contains_key(&3) && element[&1][4..].iter().all(|byte| *byte == 0)
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn items(list: &[u8]) -> Vec<Fields> {
    split(list)
        .into_iter()
        .map(|(_, item)| fields(item))
        .collect()
}

fn fields(bytes: &[u8]) -> Fields {
    let fields = split(bytes).into_iter();
    fields.map(|(kind, value)| (kind, value.to_vec())).collect()
}

fn split(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while bytes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let kind = u16::from_ne_bytes([bytes[2], bytes[3]]) & 0x3fff;
        all.push((kind, &bytes[4..length]));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    all
}
