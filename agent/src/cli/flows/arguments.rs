//! What the options of `netpol flows` take.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use policy_compiler::model::{Direction, IpBlock, Name};

use crate::flow_log::reading::filter::{ObjectName, PortFilter, ProtocolFilter, WorkloadName};

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// So long ago.
    Ago(Duration),
    At(Timestamp),
}

impl Moment {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let ago = || {
            let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
            let seconds: u64 = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                "d" => 86_400,
                _ => return None,
            };
            // `parse` takes a sign.
            let number = number
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then_some(number)?;
            // A hundred years; more would be before the first timestamp there is.
            let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
            (seconds <= 36_525 * 86_400).then(|| Self::Ago(Duration::from_secs(seconds)))
        };
        ago()
            .or_else(|| text.parse().ok().map(Self::At))
            .ok_or_else(|| {
                "must be how long ago, as 30s, 10m, 2h or 7d, or a time with its zone, as 2026-11-21T10:00:00Z"
                    .to_owned()
            })
    }

    /// The time it means.
    pub(super) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(duration) => now.checked_sub(duration).unwrap_or(Timestamp::MIN),
            Self::At(time) => time,
        }
    }
}

pub(super) fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| format!("a name {error}"))
}

/// `NAMESPACE/NAME` or `NAME`
pub(super) fn object(text: &str) -> Result<ObjectName, String> {
    let (namespace, of) = match text.split_once('/') {
        Some((namespace, of)) => (Some(namespace), of),
        None => (None, text),
    };
    let namespace = namespace
        .map(|text| Name::parse(text).map_err(|error| format!("the namespace {error}")))
        .transpose()?;
    Ok(ObjectName {
        namespace,
        name: name(of)?,
    })
}

/// `KIND/NAME`, the kind also as kubectl shortens it.
pub(super) fn workload(text: &str) -> Result<WorkloadName, String> {
    let (kind, of) = text
        .split_once('/')
        .filter(|(kind, _)| !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric()))
        .ok_or("must be like deployment/web, with the kind first and without a namespace")?;
    let lower = kind.to_ascii_lowercase();
    let kind = match lower.as_str() {
        "deploy" => "deployment",
        "sts" => "statefulset",
        "ds" => "daemonset",
        "rs" => "replicaset",
        "cj" => "cronjob",
        "rc" => "replicationcontroller",
        other => other,
    };
    Ok(WorkloadName {
        kind: kind.to_owned(),
        name: name(of)?,
    })
}

/// `10.0.0.1` or `10.0.0.0/8`
pub(super) fn network(text: &str) -> Result<IpBlock, String> {
    let wrong = || format!("{text:?} is neither an IP address nor a network such as 10.0.0.0/8");
    let whole = text.parse::<IpAddr>().ok().map(|address| {
        let length = if address.is_ipv4() { 32 } else { 128 };
        format!("{text}/{length}")
    });
    let cidr = whole
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| wrong())?;
    IpBlock::new(cidr, &[]).map_err(|_| wrong())
}

/// `80`, `tcp/80`, `80/tcp`, `udp`, `icmp`
pub(super) fn port(text: &str) -> Result<PortFilter, String> {
    let protocol = |text: &str| match text.to_ascii_lowercase().as_str() {
        "tcp" => Some(ProtocolFilter::Tcp),
        "udp" => Some(ProtocolFilter::Udp),
        "sctp" => Some(ProtocolFilter::Sctp),
        "icmp" => Some(ProtocolFilter::Icmp),
        _ => None,
    };
    let number = |text: &str| text.parse().ok().filter(|number| *number != 0);
    let (protocol, number) = match text.split_once('/') {
        None => (protocol(text), number(text)),
        Some((first, second)) => match (protocol(first), protocol(second)) {
            (Some(of), None) if of != ProtocolFilter::Icmp => {
                (number(second).and(Some(of)), number(second))
            }
            (None, Some(of)) if of != ProtocolFilter::Icmp => {
                (number(first).and(Some(of)), number(first))
            }
            _ => (None, None),
        },
    };
    if protocol.is_none() && number.is_none() {
        return Err(
            "must be like 80, tcp/80, udp/53, sctp or icmp, with a number from 1 to 65535"
                .to_owned(),
        );
    }
    Ok(PortFilter { protocol, number })
}

pub(super) fn direction(text: &str) -> Result<Direction, String> {
    Direction::BOTH
        .into_iter()
        .find(|direction| direction.as_str() == text)
        .ok_or_else(|| "must be ingress or egress".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
        let rows = [
            ("0s", Some("2026-11-21T10:00:00Z")),
            ("90s", Some("2026-11-21T09:58:30Z")),
            ("10m", Some("2026-11-21T09:50:00Z")),
            ("2h", Some("2026-11-21T08:00:00Z")),
            ("7d", Some("2026-11-14T10:00:00Z")),
            (
                "2026-11-21T10:00:00.5+01:00",
                Some("2026-11-21T09:00:00.5Z"),
            ),
            ("36526d", None),
            ("99999999999999999999d", None),
            ("10", None),
            ("m", None),
            ("+5m", None),
            ("-5m", None),
            ("5w", None),
            ("", None),
            ("ä", None),
            ("2026-11-21", None),
            ("2026-11-21T10:00:00", None),
            ("yesterday", None),
        ];
        for (text, expected) in rows {
            let expected = expected.and_then(|text| text.parse().ok());
            assert_eq!(
                Moment::parse(text).ok().map(|moment| moment.at(now)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn ports() {
        use ProtocolFilter::{Icmp, Sctp, Tcp, Udp};
        let rows = [
            ("80", Some((None, Some(80)))),
            ("tcp/80", Some((Some(Tcp), Some(80)))),
            ("53/UDP", Some((Some(Udp), Some(53)))),
            ("sctp", Some((Some(Sctp), None))),
            ("icmp", Some((Some(Icmp), None))),
            ("icmp/8", None),
            ("tcp/", None),
            ("tcp/0", None),
            ("0", None),
            ("65536", None),
            ("tcp/udp", None),
            ("http", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let read = port(text).ok().map(|port| (port.protocol, port.number));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn networks() {
        let rows = [
            ("10.0.0.1", Some("10.0.0.1/32")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("fd00::1", Some("fd00::1/128")),
            ("::/0", Some("::/0")),
            ("10.0.0.0/33", None),
            ("10.0.0", None),
            ("web", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let read = network(text).ok().map(|block| block.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn workloads_and_objects() {
        let rows = [
            ("Deployment/web", Some(("deployment", "web"))),
            ("sts/db", Some(("statefulset", "db"))),
            ("web", None),
            ("/web", None),
            ("deploy/", None),
            ("deploy/shop/web", None),
        ];
        for (text, expected) in rows {
            let read = workload(text).ok();
            let read = read.as_ref().map(|w| (w.kind.as_str(), w.name.as_str()));
            assert_eq!(read, expected, "{text}");
        }
        for (text, good) in [
            ("shop/web", true),
            ("web", true),
            ("", false),
            ("shop/", false),
            ("/web", false),
            ("a/b/c", false),
            ("Web", false),
        ] {
            assert_eq!(object(text).is_ok(), good, "{text}");
        }
    }
}
