//! Netlink, as far as netfilter speaks it: messages, attributes, answers, and the socket they go by.
//!
//! The kernel does what a message asks for before sending it returns, and its answers wait then. Nothing here waits for
//! them: what is not there has been lost.
//!
//! What the messages mean is elsewhere: nftables in the dataplane, NFLOG in the flow log.

mod addresses;
mod answer;
mod attribute;
mod channel;
mod message;
mod request;

pub(crate) use answer::Answer;
pub(crate) use attribute::{Attribute, Attributes, Writer, written};
pub(crate) use channel::{Channel, DUMP, Received};
pub(crate) use message::{
    ACKNOWLEDGE, HEADERS, Header, INET, LOG, Message, Messages, NFTABLES, kind,
};
pub(crate) use request::Dumped;
