//! Ports: items of `ports`, and what container ports share with them.

use serde_json::Value;

use super::cursor::{Cursor, Fields};
use crate::model::{PortMatch, PortName, PortRange, Protocol};

enum Numbers {
    All,
    Range(PortRange),
    Named(PortName),
}

/// One item of `ports`; `None` if anything about it is wrong (semantics rules D1 to D5, D12).
pub(super) fn port_match(item: &Cursor<'_>) -> Option<PortMatch> {
    let fields = item.fields(&["protocol", "port", "endPort"])?;
    let protocol = protocol(&fields);
    let end = fields.get("endPort");
    let numbers = match (fields.get("port"), &end) {
        (None, None) => Some(Numbers::All),
        (None, Some(end)) => end.invalid("may not be specified when `port` is not specified"),
        (Some(port), end) => match port.value() {
            Value::String(_) => named(&port, end.as_ref()).map(Numbers::Named),
            Value::Number(_) => range(&port, end.as_ref()).map(Numbers::Range),
            _ => port.invalid("must be a port number or the name of a container port"),
        },
    };
    if !fields.only_known() {
        return None;
    }
    Some(match (protocol?, numbers?) {
        (protocol, Numbers::All) => PortMatch::All(protocol),
        (protocol, Numbers::Range(range)) => PortMatch::Numbers(protocol, range),
        (protocol, Numbers::Named(name)) => PortMatch::Named(protocol, name),
    })
}

fn named(port: &Cursor<'_>, end: Option<&Cursor<'_>>) -> Option<PortName> {
    let name = port_name(port);
    match end {
        Some(end) => end.invalid("may not be specified when `port` is non-numeric"),
        None => name,
    }
}

fn range(port: &Cursor<'_>, end: Option<&Cursor<'_>>) -> Option<PortRange> {
    let first = number(port);
    let Some(end) = end else {
        return PortRange::single(first?);
    };
    let last = number(end);
    // Compared as given: a number that is no port is still too low, or not.
    if let (Some(given_first), Some(given_last)) = (port.value().as_i64(), end.value().as_i64())
        && given_last < given_first
    {
        return end.invalid("must be greater than or equal to `port`");
    }
    PortRange::new(first?, last?)
}

/// A port's name.
pub(super) fn port_name(field: &Cursor<'_>) -> Option<PortName> {
    PortName::parse(field.string()?)
        .map_err(|error| field.invalid::<()>(error))
        .ok()
}

/// A port's number, never 0.
pub(super) fn number(field: &Cursor<'_>) -> Option<u16> {
    match u16::try_from(field.integer()?) {
        Ok(number) if number > 0 => Some(number),
        _ => field.invalid("must be between 1 and 65535, inclusive"),
    }
}

/// `protocol`, TCP if there is none.
pub(super) fn protocol(fields: &Fields<'_>) -> Option<Protocol> {
    let Some(field) = fields.get("protocol") else {
        return Some(Protocol::Tcp);
    };
    Protocol::from_api(field.string()?)
        .or_else(|| field.not_supported(&Protocol::ALL.map(Protocol::as_api)))
}
