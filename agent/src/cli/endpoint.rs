//! The ends of a connection on the command line.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use policy_compiler::model::{Name, ObjectKey, Pod, PodAddresses, PortName, Protocol, Snapshot};
use policy_compiler::verdict::{Endpoint, Transport};

use super::Failure;
use super::input::find_pod;
use super::pod_name::PodName;

/// What `--from` and `--to` take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End<P = ObjectKey> {
    /// `namespace/pod`, `pod`
    Pod(P),
    /// `10.0.0.1`, `fd00::1`
    Address(IpAddr),
    /// `node:name`, `node:name/10.0.0.1`
    Node(Name, Option<IpAddr>),
}

/// What `--port` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// `tcp/80`, `80`
    Number(Protocol, u16),
    /// `tcp/http`: the port of that name of the destination pod.
    Named(Protocol, PortName),
    /// `icmp`
    Icmp,
}

impl End<PodName> {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if let Some(node) = text.strip_prefix("node:") {
            let (name, address) = match node.split_once('/') {
                None => (node, None),
                Some((name, address)) => (
                    name,
                    Some(
                        address
                            .parse()
                            .map_err(|_| format!("{address:?} is not an IP address"))?,
                    ),
                ),
            };
            return Ok(Self::Node(
                Name::parse(name).map_err(|error| format!("the node's name {error}"))?,
                address,
            ));
        }
        PodName::parse(text).map(Self::Pod).map_err(|error| {
            format!("not an IP address nor node:NAME, and as NAMESPACE/POD: {error}")
        })
    }

    /// The same with the pod's namespace, which is this if none was given.
    pub(super) fn within(self, namespace: &Name) -> End {
        match self {
            Self::Pod(pod) => End::Pod(pod.within(namespace)),
            Self::Address(address) => End::Address(address),
            Self::Node(name, address) => End::Node(name, address),
        }
    }
}

impl End {
    /// The endpoints this is, one for each address. A pod on its node's network is a process of the node.
    pub(super) fn endpoints(&self, snapshot: &Snapshot) -> Result<Vec<Endpoint>, Failure> {
        match self {
            Self::Address(address) => Ok(vec![Endpoint::Address(*address)]),
            Self::Node(name, Some(address)) => Ok(vec![Endpoint::Node {
                name: name.clone(),
                address: *address,
            }]),
            Self::Node(name, None) => {
                let on_node = |pod: &&Arc<Pod>| pod.host_network && pod.node.as_ref() == Some(name);
                match snapshot
                    .pods
                    .values()
                    .filter(on_node)
                    .find(|pod| !pod.addresses.is_empty())
                {
                    Some(pod) => Ok(node_endpoints(name, pod.addresses)),
                    None => Err(Failure::because(format!(
                        "the address of node {name} is not known: write node:{name}/ADDRESS (it can be told only from \
                         a hostNetwork pod on the node)"
                    ))),
                }
            }
            Self::Pod(key) => {
                let pod = find_pod(snapshot, key)?;
                if pod.phase.is_final() {
                    return Err(Failure::because(format!(
                        "pod {key} has ended ({:?}): it has no connections",
                        pod.phase
                    )));
                }
                if pod.addresses.is_empty() {
                    return Err(Failure::because(format!(
                        "pod {key} has no address yet (status.podIPs)"
                    )));
                }
                match (&pod.node, pod.host_network) {
                    (Some(node), true) => Ok(node_endpoints(node, pod.addresses)),
                    (None, true) => Err(Failure::because(format!(
                        "pod {key} uses hostNetwork but has no spec.nodeName"
                    ))),
                    (_, false) => Ok(pod.addresses.iter().map(Endpoint::Address).collect()),
                }
            }
        }
    }
}

fn node_endpoints(name: &Name, addresses: PodAddresses) -> Vec<Endpoint> {
    addresses
        .iter()
        .map(|address| Endpoint::Node {
            name: name.clone(),
            address,
        })
        .collect()
}

impl Port {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("icmp") {
            return Ok(Self::Icmp);
        }
        let (protocol, port) = text.split_once('/').unwrap_or(("tcp", text));
        let upper = |text: &str| Protocol::from_api(&text.to_ascii_uppercase());
        let (protocol, port) = match (upper(protocol), upper(port)) {
            (Some(protocol), None) => (protocol, port),
            (None, Some(reversed)) => (reversed, protocol),
            _ => return Err("must be like tcp/80, udp/53, sctp/9000, tcp/NAME or icmp".to_owned()),
        };
        match port.parse() {
            Ok(number) if number > 0 => Ok(Self::Number(protocol, number)),
            _ if port.bytes().all(|byte| byte.is_ascii_digit()) => Err(format!(
                "{port:?} is no port number: they go from 1 to 65535"
            )),
            _ => PortName::parse(port)
                .map(|name| Self::Named(protocol, name))
                .map_err(|error| {
                    format!("{port:?} is no port number, and as a port's name it {error}")
                }),
        }
    }

    /// What a policy sees of it at `destination`.
    pub(super) fn transport(
        &self,
        destination: &End,
        snapshot: &Snapshot,
    ) -> Result<Transport, Failure> {
        match self {
            Self::Icmp => Ok(Transport::Other),
            Self::Number(protocol, number) => Ok(Transport::Port(*protocol, *number)),
            Self::Named(protocol, name) => {
                let End::Pod(key) = destination else {
                    return Err(Failure::because(format!(
                        "port {name}: only a pod's ports have names; give the number"
                    )));
                };
                let numbers: Vec<u16> = find_pod(snapshot, key)?
                    .resolve_port(name, *protocol)
                    .collect();
                match *numbers {
                    [number] => Ok(Transport::Port(*protocol, number)),
                    [] => Err(Failure::because(format!(
                        "pod {key} has no {protocol} port of the name {name}"
                    ))),
                    _ => Err(Failure::because(format!(
                        "pod {key} has several ports of the name {name}: {numbers:?}"
                    ))),
                }
            }
        }
    }
}

/// Gives each pod that has none an address that no rule singles out, so that manifests which were never applied can be
/// asked about. Returns the pods.
pub(super) fn give_addresses(snapshot: &mut Snapshot) -> Vec<(ObjectKey, IpAddr)> {
    let without = snapshot
        .pods
        .values_mut()
        .filter(|pod| !pod.phase.is_final() && pod.addresses.is_empty());
    // 240.0.0.0/4 is reserved: nobody's pod range, in nobody's ipBlock but 0.0.0.0/0.
    let given = without.zip(1_u32..).map(|(pod, number)| {
        let address = IpAddr::V4(Ipv4Addr::from_bits(0xf000_0000 | (number & 0x0fff_ffff)));
        Arc::make_mut(pod).addresses = PodAddresses::new([address]);
        (pod.key.clone(), address)
    });
    given.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let name = |text| Name::parse(text).expect("valid");
        let address = |text: &str| text.parse::<IpAddr>().expect("valid");
        let rows = [
            (
                "shop/web",
                Some(End::Pod("shop/web".parse().expect("valid"))),
            ),
            ("web", Some(End::Pod("default/web".parse().expect("valid")))),
            ("10.0.0.1", Some(End::Address(address("10.0.0.1")))),
            ("fd00::1", Some(End::Address(address("fd00::1")))),
            ("node:a", Some(End::Node(name("a"), None))),
            (
                "node:a/10.0.0.1",
                Some(End::Node(name("a"), Some(address("10.0.0.1")))),
            ),
            ("node:a/b", None),
            ("node:", None),
            ("", None),
            ("a/b/c", None),
            ("Shop/web", None),
        ];
        for (text, expected) in rows {
            let end = End::parse(text).ok();
            let end = end.map(|end| end.within(&name("default")));
            assert_eq!(end, expected, "{text}");
        }
    }

    #[test]
    fn ports() {
        let named =
            |protocol, name| Some(Port::Named(protocol, PortName::parse(name).expect("valid")));
        let rows = [
            ("tcp/80", Some(Port::Number(Protocol::Tcp, 80))),
            ("80", Some(Port::Number(Protocol::Tcp, 80))),
            ("53/udp", Some(Port::Number(Protocol::Udp, 53))),
            ("SCTP/9000", Some(Port::Number(Protocol::Sctp, 9000))),
            ("tcp/http", named(Protocol::Tcp, "http")),
            ("http", named(Protocol::Tcp, "http")),
            ("icmp", Some(Port::Icmp)),
            ("tcp/0", None),
            ("tcp/65536", None),
            ("tcp", None),
            ("tcp/", None),
            ("quic/80", None),
        ];
        for (text, expected) in rows {
            assert_eq!(Port::parse(text).ok(), expected, "{text}");
        }
        for number in ["tcp/0", "65536"] {
            let error = Port::parse(number).expect_err("no port");
            assert!(error.contains("from 1 to 65535"), "{error}");
        }
    }
}
