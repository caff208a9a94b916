//! What a line is called, so that it can be cited, and told from others when it arrives twice.

use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::flow_log::event::{End, FlowEvent, Who};

/// A UUID of version 8 (RFC 9562) from what distinguishes the event: time, node, direction, ends, transport and extent.
/// It is the same in all formats, and the same if the line is written again.
pub(super) fn of(event: &FlowEvent) -> String {
    let time = event.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = format!(
        "{} {} {} {} {} {:?} {:?}",
        time.as_nanos(),
        event.node,
        event.direction,
        end(&event.source),
        end(&event.destination),
        event.transport,
        event.extent,
    );
    let digest = Sha256::digest(text);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

fn end(end: &End) -> String {
    let pod = match &end.who {
        Who::Pod(pod) => format!("{}/{}", pod.key, pod.uid),
        Who::Contested(_) | Who::Node(_) | Who::World => String::new(),
    };
    format!("{:?} {pod}", end.address)
}
