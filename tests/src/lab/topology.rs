//! How pods hang on a node, and how nodes reach each other's pods.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use super::spec::{NODES, NodeSpec, PodSpec};

/// A kind of pod network. Each is what widely used plugins build, with the same kernel parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topology {
    /// One routed veth per pod, as Calico and the `ptp` plugin do it: the pod has a host address and a link-local
    /// gateway that the node answers for (proxy ARP; IPv6 by a fixed link-local address); nodes route pod ranges to
    /// each other on the wire.
    RoutedVeth,
    /// One bridge per node, as the `bridge` plugin and kubenet do it: pods of a node talk through the bridge, where
    /// only `br_netfilter` shows their packets to the node's rules; ports are in hairpin mode; nodes route as above.
    Bridge,
    /// One bridge per node and a VXLAN between the nodes, as flannel does it, with static forwarding entries. The
    /// wire never sees a pod address.
    Vxlan,
}

impl Topology {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RoutedVeth, Self::Bridge, Self::Vxlan];

    /// Whether pods of one node share a bridge that has the gateway addresses.
    pub fn has_bridge(self) -> bool {
        self != Self::RoutedVeth
    }

    /// Room for the outer headers where there are any.
    pub(super) fn pod_mtu(self) -> u16 {
        if self == Self::Vxlan { 1450 } else { 1500 }
    }

    /// The addresses of a node besides those on the wire, as far as they can be sources and destinations. (The first
    /// address of an IPv6 range, which the overlay's device has, is an anycast address: nothing answers from it.)
    pub fn extra_node_addresses(self, node: &NodeSpec) -> Vec<IpAddr> {
        let [gateway_v4, gateway_v6] = node.gateways();
        match self {
            Self::RoutedVeth => Vec::new(),
            Self::Bridge => vec![gateway_v4, gateway_v6],
            Self::Vxlan => vec![gateway_v4, gateway_v6, node.pods_v4.network().into()],
        }
    }

    /// The `ip` commands that give a node its pod network, without pods.
    pub(super) fn node_links(self, node: &NodeSpec) -> String {
        let mut lines = String::new();
        let [pods_v4, pods_v6] = node.pod_ranges();
        if self.has_bridge() {
            let [gateway_v4, gateway_v6] = node.gateways();
            let (mac, mtu) = (mac(node, 1), self.pod_mtu());
            let _ = write!(
                lines,
                "link add cni0 address {mac} mtu {mtu} type bridge forward_delay 0 mcast_snooping 0\n\
                 address add {gateway_v4}/{} dev cni0\n\
                 address add {gateway_v6}/{} dev cni0 nodad\n\
                 link set cni0 up\n",
                pods_v4.prefix_len(),
                pods_v6.prefix_len(),
            );
        } else {
            // An address of the range that no pod has must not go round by the default route.
            let _ = write!(
                lines,
                "route add blackhole {pods_v4}\nroute add blackhole {pods_v6}\n"
            );
        }
        if self == Self::Vxlan {
            let mac = mac(node, 2);
            let _ = write!(
                lines,
                "link add vxlan1 address {mac} mtu {} type vxlan id 1 dev eth0 local {} dstport 8472 nolearning\n\
                 address add {}/32 dev vxlan1\n\
                 address add {}/128 dev vxlan1 nodad\n\
                 link set vxlan1 up\n",
                self.pod_mtu(),
                node.v4,
                pods_v4.network(),
                pods_v6.network(),
            );
        }
        for peer in others(node) {
            for range in peer.pod_ranges() {
                if self == Self::Vxlan {
                    let (hop, mac) = (range.network(), mac(peer, 2));
                    let _ = write!(
                        lines,
                        "route add {range} via {hop} dev vxlan1 onlink\n\
                         neighbour add {hop} lladdr {mac} dev vxlan1 nud permanent\n",
                    );
                } else {
                    let hop = if range.addr().is_ipv4() {
                        IpAddr::V4(peer.v4)
                    } else {
                        IpAddr::V6(peer.v6)
                    };
                    let _ = writeln!(lines, "route add {range} via {hop}");
                }
            }
        }
        lines
    }

    /// The `bridge` commands that tell a node where the overlay's other ends are.
    pub(super) fn forwarding_entries(self, node: &NodeSpec) -> String {
        if self != Self::Vxlan {
            return String::new();
        }
        others(node).fold(String::new(), |mut lines, peer| {
            let _ = writeln!(
                lines,
                "fdb append {} dev vxlan1 dst {}",
                mac(peer, 2),
                peer.v4
            );
            lines
        })
    }

    /// Settings that interfaces of pods made later on a node inherit.
    pub(super) fn pod_link_defaults(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::RoutedVeth => &[
                ("net/ipv4/conf/default/proxy_arp", "1"),
                ("net/ipv4/conf/default/rp_filter", "1"),
            ],
            Self::Bridge | Self::Vxlan => &[],
        }
    }

    /// The `ip` commands, on the node, that plug in a pod by the node's interface `port`.
    pub(super) fn plug(self, pod: &PodSpec, port: &str, netns: &Path) -> String {
        let (mtu, netns) = (self.pod_mtu(), netns.display());
        if self.has_bridge() {
            return format!(
                "link add {port} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {netns}\n\
                 link set {port} master cni0 up\n\
                 link set {port} type bridge_slave hairpin on\n",
            );
        }
        let mut lines = format!(
            "link add {port} address {ROUTED_GATEWAY_MAC} type veth peer name eth0 netns {netns}\n\
             link set {port} up\n\
             ntable change name arp_cache dev {port} proxy_delay 0\n",
        );
        for address in &pod.addresses {
            let _ = writeln!(lines, "route add {} dev {port}", host_prefix(*address));
        }
        lines
    }

    /// The `ip` commands inside a pod.
    pub(super) fn pod_links(self, node: &NodeSpec, pod: &PodSpec) -> String {
        let mut lines = "link set lo up\nlink set eth0 up\n".to_owned();
        for address in &pod.addresses {
            let nodad = if address.is_ipv6() { " nodad" } else { "" };
            if self.has_bridge() {
                let [v4, v6] = node.pod_ranges();
                let [gateway_v4, gateway_v6] = node.gateways();
                let (length, gateway) = if address.is_ipv4() {
                    (v4.prefix_len(), gateway_v4)
                } else {
                    (v6.prefix_len(), gateway_v6)
                };
                let _ = write!(
                    lines,
                    "address add {address}/{length} dev eth0{nodad}\nroute add default via {gateway}\n"
                );
            } else {
                let _ = writeln!(
                    lines,
                    "address add {} dev eth0{nodad}",
                    host_prefix(*address)
                );
                lines.push_str(if address.is_ipv4() {
                    "route add 169.254.1.1 dev eth0 scope link\nroute add default via 169.254.1.1\n"
                } else {
                    "route add default via fe80::ecee:eeff:feee:eeee dev eth0\n"
                });
            }
        }
        lines
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RoutedVeth => "routed-veth",
            Self::Bridge => "bridge",
            Self::Vxlan => "vxlan",
        })
    }
}

/// Calico's: every pod can then have the same IPv6 gateway, `fe80::ecee:eeff:feee:eeee`.
const ROUTED_GATEWAY_MAC: &str = "ee:ee:ee:ee:ee:ee";

fn others(node: &NodeSpec) -> impl Iterator<Item = &'static NodeSpec> {
    let name = node.name;
    NODES.iter().filter(move |other| other.name != name)
}

/// Fixed, so that the other node can name it before the device is there.
fn mac(node: &NodeSpec, device: u8) -> String {
    format!("02:00:00:00:{device:02x}:{:02x}", node.v4.octets()[3])
}

pub(super) fn host_prefix(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}
