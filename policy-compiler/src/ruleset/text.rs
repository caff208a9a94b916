//! The nft script of a [`Ruleset`], laid out as `nft list table` prints it.

use std::fmt::{self, Display, Formatter};

use super::{
    AddressMatch, CUT_LABEL, Chain, Element, Family, Hook, Ident, Match, Rule, Ruleset, Set,
    SetKey, Side, TABLE, Verdict, VerdictMap,
};
use crate::model::PortRange;

impl Display for Ruleset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet {TABLE} {{")?;
        let mut gap = "";
        for name in self.counters() {
            // As nft lists it without what it has counted.
            writeln!(f, "{gap}\tcounter {name} {{\n\t}}")?;
            gap = "\n";
        }
        for (name, set) in &self.sets {
            writeln!(f, "{gap}\tset {name} {{\n{}\t}}", Body(set))?;
            gap = "\n";
        }
        for (name, map) in &self.maps {
            writeln!(f, "{gap}\tmap {name} {{\n{}\t}}", Body(map))?;
            gap = "\n";
        }
        for (name, chain) in &self.chains {
            writeln!(f, "{gap}\tchain {name} {{\n{}\t}}", Body(chain))?;
            gap = "\n";
        }
        writeln!(f, "}}")
    }
}

/// What stands between the braces of an object, on lines of its own.
struct Body<'a, T>(&'a T);

impl Display for Body<'_, Set> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let set = self.0;
        for line in declaration(set.key) {
            writeln!(f, "\t\t{line}")?;
        }
        writeln!(f, "\t\tcomment \"{}\"", set.comment)?;
        write_elements(f, set.elements.iter())
    }
}

impl Display for Body<'_, VerdictMap> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\t\ttype {} : verdict", address_type(self.0.family))?;
        write_elements(
            f,
            self.0
                .elements
                .iter()
                .map(|(address, chain)| MapElement(address, chain)),
        )
    }
}

impl Display for Body<'_, Chain> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(hook) = self.0.hook {
            writeln!(f, "\t\t{hook}")?;
        }
        self.0
            .rules
            .iter()
            .try_for_each(|rule| writeln!(f, "\t\t{rule}"))
    }
}

struct MapElement<'a, A>(A, &'a Ident);

impl<A: Display> Display for MapElement<'_, A> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} : goto {}", self.0, self.1)
    }
}

/// The statements that say what a set holds.
pub(super) fn declaration(key: SetKey) -> Vec<String> {
    let address = address_type(key.family());
    match key {
        SetKey::Address(_) => vec![format!("type {address}")],
        SetKey::Range(_) => vec![format!("type {address}"), "flags interval".to_owned()],
        SetKey::AddressPort(_) => vec![format!("type {address} . inet_service")],
    }
}

/// nft's name for the type of an address.
pub(super) const fn address_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    }
}

fn write_elements<T: Display>(
    f: &mut Formatter<'_>,
    elements: impl ExactSizeIterator<Item = T>,
) -> fmt::Result {
    if elements.len() == 0 {
        return Ok(());
    }
    write!(f, "\t\telements = {{ ")?;
    write_list(f, elements, ",\n\t\t\t     ")?;
    writeln!(f, " }}")
}

/// Writes `items` with `separator` in between.
pub(super) fn write_list<T: Display>(
    f: &mut Formatter<'_>,
    items: impl Iterator<Item = T>,
    separator: &str,
) -> fmt::Result {
    for (i, item) in items.enumerate() {
        write!(f, "{}{item}", if i == 0 { "" } else { separator })?;
    }
    Ok(())
}

/// `address : goto chain`, for commands on map elements.
pub(super) fn map_element(address: impl Display, chain: &Ident) -> String {
    MapElement(address, chain).to_string()
}

impl Display for Hook {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "type filter hook {} priority ", self.name())?;
        match self.priority() {
            -300 => f.write_str("raw")?,
            0 => f.write_str("filter")?,
            1 => f.write_str("filter + 1")?,
            number => write!(f, "{number}")?,
        }
        f.write_str("; policy accept;")
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for condition in &self.matches {
            write!(f, "{condition} ")?;
        }
        write!(f, "{}", self.verdict)?;
        self.comment
            .as_ref()
            .map_or(Ok(()), |comment| write!(f, " comment \"{comment}\""))
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tracked => f.write_str("ct state established,related"),
            Self::NeighbourDiscovery => f.write_str("icmpv6 type 133-137 ip6 hoplimit 255"),
            Self::Translated => f.write_str("ct status dnat"),
            Self::Reinjected => f.write_str("iif 0"),
            Self::SourceIsLocal => f.write_str("fib saddr type local"),
            Self::Cut => write!(f, "ct label {CUT_LABEL}"),
            Self::NoWayBack => f.write_str("fib saddr . iif oif missing"),
            Self::InterfaceKind(kind) => write!(f, "meta iifkind \"{}\"", kind.as_str()),
            Self::Interface(Side::Source, pattern) => write!(f, "iifname \"{pattern}\""),
            Self::Interface(Side::Destination, pattern) => write!(f, "oifname \"{pattern}\""),
            Self::Reset => f.write_str("tcp flags rst"),
            Self::Address(side, address) => write_address(f, *side, address),
            Self::Protocol(protocol) => write!(f, "meta l4proto {}", protocol.as_nft()),
            Self::Port(protocol, ranges) => {
                write!(f, "{} dport ", protocol.as_nft())?;
                write_ports(f, ranges)
            }
            Self::NamedPort(family, protocol, set) => {
                write!(
                    f,
                    "{} daddr . {} dport @{set}",
                    family.header(),
                    protocol.as_nft()
                )
            }
        }
    }
}

fn write_address(f: &mut Formatter<'_>, side: Side, address: &AddressMatch) -> fmt::Result {
    let field = side.field();
    match address {
        AddressMatch::In(network) | AddressMatch::NotIn(network) => {
            let header = Family::of(network.addr()).header();
            let operator = if matches!(address, AddressMatch::NotIn(_)) {
                "!= "
            } else {
                ""
            };
            // nft lists a network of one address without its length.
            write!(
                f,
                "{header} {field} {operator}{}",
                Element::Range(network.network(), network.broadcast())
            )
        }
        AddressMatch::Set(family, set) => write!(f, "{} {field} @{set}", family.header()),
        AddressMatch::NotInSet(family, set) => {
            write!(f, "{} {field} != @{set}", family.header())
        }
    }
}

fn write_ports(f: &mut Formatter<'_>, ranges: &[PortRange]) -> fmt::Result {
    if let [range] = ranges {
        return write!(f, "{range}");
    }
    f.write_str("{ ")?;
    write_list(f, ranges.iter(), ", ")?;
    f.write_str(" }")
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Log(point, log) => write!(
                f,
                "limit rate {}/second burst {} packets log prefix \"{point}\" group {} snaplen {}",
                log.rate, log.burst, log.group, log.snaplen
            ),
            Self::CountAndDrop(counter) => write!(f, "counter name \"{counter}\" drop"),
            Self::CountAndReset(counter) => {
                write!(f, "counter name \"{counter}\" reject with tcp reset")
            }
            Self::SetCutLabel => write!(f, "ct label set {CUT_LABEL}"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::AddressMap(family, side, map) => {
                write!(f, "{} {} vmap @{map}", family.header(), side.field())
            }
        }
    }
}
