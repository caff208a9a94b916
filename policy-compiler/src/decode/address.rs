//! IP addresses and CIDRs, in today's form and in those that old objects may hold (semantics rule E4).
//!
//! Kubernetes long read addresses more loosely than anyone else: octets with leading zeros are decimal, an
//! IPv4-mapped IPv6 network is the IPv4 network, bits beyond the prefix are cleared. Since 1.36 new objects are refused
//! such forms, but stored ones keep them. They are read as Kubernetes reads them, and reported.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::cursor::Cursor;

/// A CIDR as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    /// What it means, with host bits cleared.
    pub(super) network: IpNet,
    /// The prefix length as written, by which Kubernetes compares: `::ffff:10.0.0.0/104` is 104, not 8.
    pub(super) written_length: u8,
}

/// A CIDR; `None`, and an error, if it is none in any form.
pub(super) fn cidr(field: &Cursor<'_>) -> Option<Cidr> {
    let Some((cidr, flaw)) = parse_cidr(field.string()?) else {
        return field.invalid("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    };
    if let Some(flaw) = flaw {
        field.invalid::<()>(format!("{}: write \"{}\"", flaw.of_a_cidr(), cidr.network));
    }
    Some(cidr)
}

/// An address; `None`, and an error, if it is none in any form.
pub(super) fn ip(field: &Cursor<'_>) -> Option<IpAddr> {
    let Some((address, flaw)) = parse_ip(field.string()?) else {
        return field.invalid("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    };
    if let Some(flaw) = flaw {
        field.invalid::<()>(format!("{}: write \"{address}\"", flaw.of_an_address()));
    }
    Some(address)
}

/// A form that is no longer accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    LeadingZeros,
    Mapped,
    HostBits,
}

impl Flaw {
    fn of_a_cidr(self) -> &'static str {
        match self {
            Self::LeadingZeros => "must not have leading 0s in IP or prefix length",
            Self::Mapped => "must not have an IPv4-mapped IPv6 address",
            Self::HostBits => "must not have bits set beyond the prefix length",
        }
    }

    fn of_an_address(self) -> &'static str {
        match self {
            Self::LeadingZeros => "must not have leading 0s",
            Self::Mapped | Self::HostBits => "must not be an IPv4-mapped IPv6 address",
        }
    }
}

fn parse_cidr(text: &str) -> Option<(Cidr, Option<Flaw>)> {
    let (address, length) = text.split_once('/')?;
    let (address, zeros_in_address) = parse_any_form(address)?;
    let (length, zeros_in_length) = parse_prefix_length(length)?;
    let given = IpNet::new(address, length).ok()?;
    let cidr = Cidr {
        network: unmapped(given.trunc()),
        written_length: length,
    };
    let flaw = if zeros_in_address || zeros_in_length {
        Some(Flaw::LeadingZeros)
    } else if is_mapped(address) {
        Some(Flaw::Mapped)
    } else {
        (given.addr() != given.network()).then_some(Flaw::HostBits)
    };
    Some((cidr, flaw))
}

fn parse_ip(text: &str) -> Option<(IpAddr, Option<Flaw>)> {
    let (address, zeros) = parse_any_form(text)?;
    let flaw = if zeros {
        Some(Flaw::LeadingZeros)
    } else {
        is_mapped(address).then_some(Flaw::Mapped)
    };
    Some((address.to_canonical(), flaw))
}

/// An address, and whether it has leading zeros that make it ambiguous.
fn parse_any_form(text: &str) -> Option<(IpAddr, bool)> {
    if let Ok(address) = text.parse() {
        return Some((address, false));
    }
    without_leading_zeros(text)
        .parse()
        .ok()
        .map(|address| (address, true))
}

/// `010.000.0001.1` becomes `10.0.1.1`; so for the groups of an IPv6 address.
fn without_leading_zeros(text: &str) -> String {
    let mut shorter = String::with_capacity(text.len());
    for group in text.split_inclusive(['.', ':']) {
        let (digits, separator) = group.split_at(group.trim_end_matches(['.', ':']).len());
        match digits.trim_start_matches('0') {
            "" if !digits.is_empty() => shorter.push('0'),
            significant => shorter.push_str(significant),
        }
        shorter.push_str(separator);
    }
    shorter
}

fn parse_prefix_length(text: &str) -> Option<(u8, bool)> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let significant = text.trim_start_matches('0');
    let length = if significant.is_empty() {
        0
    } else {
        significant.parse().ok()?
    };
    Some((length, text.len() > significant.len().max(1)))
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// The IPv4 network that an IPv4-mapped IPv6 network stands for. A prefix so short that it cuts into the mapping's
/// own bits leaves an ordinary IPv6 network.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let mapped = v6
        .addr()
        .to_ipv4_mapped()
        .zip(v6.prefix_len().checked_sub(96));
    mapped
        .and_then(|(address, length): (Ipv4Addr, u8)| Ipv4Net::new(address, length).ok())
        .map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: what is written, what it means, why the API server refuses it today.
    #[test]
    fn cidr_forms() {
        let rows = [
            ("10.0.0.0/8", "10.0.0.0/8", None),
            ("0.0.0.0/0", "0.0.0.0/0", None),
            ("::/0", "::/0", None),
            ("FD00:0ABC:0:0::/64", "fd00:abc::/64", None),
            ("192.0.2.1/32", "192.0.2.1/32", None),
            ("10.0.0.7/24", "10.0.0.0/24", Some(Flaw::HostBits)),
            ("2001:db8::1/64", "2001:db8::/64", Some(Flaw::HostBits)),
            ("010.0.0.0/8", "10.0.0.0/8", Some(Flaw::LeadingZeros)),
            ("10.00.000.0000/8", "10.0.0.0/8", Some(Flaw::LeadingZeros)),
            ("10.0.0.0/08", "10.0.0.0/8", Some(Flaw::LeadingZeros)),
            ("0.0.0.0/00", "0.0.0.0/0", Some(Flaw::LeadingZeros)),
            ("00001::/16", "1::/16", Some(Flaw::LeadingZeros)),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8", Some(Flaw::Mapped)),
            ("::ffff:a00:0/104", "10.0.0.0/8", Some(Flaw::Mapped)),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0", Some(Flaw::Mapped)),
            ("::ffff:10.0.0.0/90", "::ffc0:0:0/90", Some(Flaw::Mapped)),
            (
                "::ffff:0010.0.0.0/104",
                "10.0.0.0/8",
                Some(Flaw::LeadingZeros),
            ),
        ];
        for (text, meaning, flaw) in rows {
            let meaning: IpNet = meaning.parse().expect("a network");
            let read = parse_cidr(text).map(|(cidr, flaw)| (cidr.network, flaw));
            assert_eq!(read, Some((meaning, flaw)), "{text}");
        }
    }

    #[test]
    fn what_is_no_cidr() {
        let bad = [
            "",
            "/",
            "/8",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0.0/8",
            "10.0.0.256/8",
            "10.0.0.0/8/8",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            " 10.0.0.0/8",
            "10.0.0.0/8 ",
            "fe80::1%eth0/64",
            ":::/64",
            "1::2::3/64",
            "1:2:3:4:5:6:7:8:9/64",
            "0x0a.0.0.0/8",
            "..../8",
            ":/0",
            "10.0.0.0/99999999999999999999",
            "1::2:3:4:5:6:7:8/64",
            "g::/16",
            "any",
        ];
        for text in bad {
            assert_eq!(parse_cidr(text), None, "{text}");
        }
    }

    #[test]
    fn address_forms() {
        let rows = [
            ("10.0.0.1", "10.0.0.1", None),
            ("FD00::A", "fd00::a", None),
            ("010.0.0.01", "10.0.0.1", Some(Flaw::LeadingZeros)),
            ("::ffff:10.0.0.1", "10.0.0.1", Some(Flaw::Mapped)),
        ];
        for (text, meaning, flaw) in rows {
            assert_eq!(
                parse_ip(text),
                Some((meaning.parse().expect("an address"), flaw)),
                "{text}"
            );
        }
        for bad in ["", "10.0.0", "10.0.0.1/32", "host", "fe80::1%eth0"] {
            assert_eq!(parse_ip(bad), None, "{bad}");
        }
    }
}
