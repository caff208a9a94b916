//! The network under a cluster: two nodes and the machine of the control plane on one wire.

use crate::lab::{NODES, Netns, NodeSpec, OUTSIDE, SERVICES};

use super::ClusterError;

/// Settings of every namespace, made before it has interfaces: those inherit them. Without duplicate address detection
/// there is nothing to wait for after an address was added.
pub(super) const EVERYWHERE: &[(&str, &str)] = &[
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
];

/// What installers of clusters set.
pub(super) const NODE: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/forwarding", "1"),
    ("net/bridge/bridge-nf-call-iptables", "1"),
    ("net/bridge/bridge-nf-call-ip6tables", "1"),
];

/// The wire carries frames and judges nothing.
const WIRE: &[(&str, &str)] = &[
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
    ("net/bridge/bridge-nf-call-arptables", "0"),
];

/// The namespaces of a cluster.
pub(super) struct Network {
    /// A bridge.
    pub(super) wire: Netns,
    /// Where the control plane is, and whoever comes from outside.
    pub(super) control: Netns,
    pub(super) nodes: [Netns; 2],
}

impl Network {
    pub(super) fn build() -> Result<Self, ClusterError> {
        let wire = Netns::new("wire")?;
        wire.sysctl(WIRE)?;
        wire.ip("link set lo up\nlink add wire type bridge forward_delay 0 mcast_snooping 0\nlink set wire up\n")?;
        let control = Netns::new("control")?;
        let (v4, v6) = OUTSIDE;
        let [first, second] = &NODES;
        let (services_v4, services_v6) = SERVICES;
        plug(
            &wire,
            &control,
            &[],
            &format!(
                "address add {v4}/24 dev eth0\naddress add {v6}/64 dev eth0\nlink set eth0 up\n\
                 {}{}route add {services_v4} via {}\nroute add {services_v6} via {}\n",
                routes_to(first),
                routes_to(second),
                first.v4,
                first.v6,
            ),
        )?;
        let nodes = [node(&wire, first, second)?, node(&wire, second, first)?];
        Ok(Self {
            wire,
            control,
            nodes,
        })
    }
}

fn node(wire: &Netns, node: &NodeSpec, other: &NodeSpec) -> Result<Netns, ClusterError> {
    let netns = Netns::new(node.name)?;
    let (outside_v4, outside_v6) = OUTSIDE;
    plug(
        wire,
        &netns,
        NODE,
        &format!(
            "address add {}/24 dev eth0\naddress add {}/64 dev eth0\nlink set eth0 up\n{}\
             route add default via {outside_v4}\nroute add default via {outside_v6}\n",
            node.v4,
            node.v6,
            routes_to(other),
        ),
    )?;
    Ok(netns)
}

fn routes_to(node: &NodeSpec) -> String {
    format!(
        "route add {} via {}\nroute add {} via {}\n",
        node.pods_v4, node.v4, node.pods_v6, node.v6
    )
}

fn plug(
    wire: &Netns,
    netns: &Netns,
    settings: &[(&'static str, &'static str)],
    lines: &str,
) -> Result<(), ClusterError> {
    netns.sysctl(EVERYWHERE)?;
    netns.sysctl(settings)?;
    let port = netns.name();
    wire.ip(&format!(
        "link add {port} type veth peer name eth0 netns {}\nlink set {port} master wire up\n",
        netns.path().display()
    ))?;
    netns.ip(&format!("link set lo up\n{lines}"))?;
    Ok(())
}
