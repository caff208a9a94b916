//! The links of the node, as rtnetlink tells them.

use std::io;

use crate::netlink::{Attribute, Attributes, Channel, DUMP, Dumped, Header, Message};

/// `RTM_NEWLINK`
const NEW_LINK: u16 = 16;
/// `RTM_GETLINK`
const GET_LINK: u16 = 18;

/// Bytes of `struct ifinfomsg`, and where in it the link's number is.
const LINK_HEADER: usize = 16;
const INDEX: usize = 4;

// `IFLA_…`
const NAME: u16 = 3;
const OTHER: u16 = 5;
const MASTER: u16 = 10;
const INFO: u16 = 18;
const NETNS: u16 = 37;

// `IFLA_INFO_…`
const KIND: u16 = 1;
const DATA: u16 = 2;

// `IFLA_BR_NF_CALL_…`
const CALLS_V4: u16 = 36;
const CALLS_V6: u16 = 37;

/// Links come and go while they are told.
const ATTEMPTS: u32 = 3;

/// A network interface of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `veth`, `bridge`, `ipvlan`, …; nothing for hardware.
    pub(crate) kind: String,
    /// The number of the link that this is a port of.
    pub(crate) master: Option<u32>,
    /// Its other end, or what it stands on, is in another network namespace.
    pub(crate) leads_elsewhere: bool,
    /// Which one, by the number that this one knows it by.
    pub(crate) netns: Option<u32>,
    /// The number of its other end, or of what it stands on, in that network namespace or in this.
    pub(crate) other: Option<u32>,
    /// A bridge shows its packets to netfilter whatever the settings for all bridges say, by family.
    pub(crate) shows: [bool; 2],
}

/// All links of the network namespace of this thread.
pub(crate) fn read() -> io::Result<Vec<Link>> {
    let mut channel = Channel::open_route(DUMP)?;
    let mut attempt = 1;
    loop {
        let header = Header {
            kind: GET_LINK,
            ..Header::default()
        };
        let mut links = Vec::new();
        let take = |message: Message<'_>| {
            if let Some(index) = message.number_at(INDEX) {
                links.push(link(index, message.attributes_behind(LINK_HEADER)));
            }
        };
        let dumped = channel.dump_messages(header, NEW_LINK, |_| {}, take)?;
        if dumped == Dumped::Whole || attempt == ATTEMPTS {
            return Ok(links);
        }
        attempt += 1;
    }
}

fn link(index: u32, attributes: Attributes<'_>) -> Link {
    let mut link = Link {
        index,
        ..Link::default()
    };
    for attribute in attributes {
        match attribute.kind {
            NAME => link.name = text(&attribute),
            OTHER => link.other = number(&attribute),
            MASTER => link.master = number(&attribute),
            NETNS => {
                link.leads_elsewhere = true;
                // Negative if it has none.
                link.netns = number(&attribute).filter(|number| number.cast_signed() >= 0);
            }
            INFO => read_info(&mut link, Attributes(attribute.value)),
            _ => {}
        }
    }
    link
}

fn read_info(link: &mut Link, attributes: Attributes<'_>) {
    for attribute in attributes {
        match attribute.kind {
            KIND => link.kind = text(&attribute),
            // What the data means depends on the kind, which stands before it.
            DATA if link.kind == "bridge" => {
                for option in Attributes(attribute.value) {
                    let is_on = option.value.first().is_some_and(|value| *value != 0);
                    match option.kind {
                        CALLS_V4 => link.shows[0] = is_on,
                        CALLS_V6 => link.shows[1] = is_on,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn number(attribute: &Attribute<'_>) -> Option<u32> {
    let number = attribute.value.first_chunk().copied();
    number.map(u32::from_ne_bytes)
}

fn text(attribute: &Attribute<'_>) -> String {
    attribute.text().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::written;

    #[test]
    fn links_are_read_from_attributes() {
        let bytes = written(|w| {
            w.text(NAME, "cni0");
            w.put(MASTER, &7_u32.to_ne_bytes());
            w.nest(INFO, |w| {
                w.text(KIND, "bridge");
                w.nest(DATA, |w| {
                    w.put(CALLS_V4, &[1]);
                    w.put(CALLS_V6, &[0]);
                });
            });
        });
        let bridge = Link {
            index: 3,
            name: "cni0".to_owned(),
            kind: "bridge".to_owned(),
            master: Some(7),
            shows: [true, false],
            ..Link::default()
        };
        assert_eq!(link(3, Attributes(&bytes.expect("short"))), bridge);
        let bytes = written(|w| {
            w.nest(INFO, |w| {
                w.text(KIND, "veth");
                w.nest(DATA, |w| w.put(CALLS_V4, &[1]));
            });
            w.put(NETNS, &3_u32.to_ne_bytes());
            w.put(OTHER, &2_u32.to_ne_bytes());
        });
        let veth = link(4, Attributes(&bytes.expect("short")));
        assert_eq!((veth.leads_elsewhere, veth.shows), (true, [false; 2]));
        assert_eq!((veth.netns, veth.other), (Some(3), Some(2)));
        let bytes = written(|w| w.put(NETNS, &(-1_i32).to_ne_bytes()));
        let unnamed = link(5, Attributes(&bytes.expect("short")));
        assert_eq!((unnamed.leads_elsewhere, unnamed.netns), (true, None));
    }
}
