//! Services: the address translation that kube-proxy would do, in a table of the node's own.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::Topology;
use super::spec::{NODES, ServiceSpec};

/// The pod ranges of all nodes together.
const CLUSTER_V4: &str = "10.244.0.0/16";
const CLUSTER_V6: &str = "fd00:10:244::/48";

/// Set on connections that must leave with the node's address, as kube-proxy does it.
const MASQUERADE_MARK: &str = "0x4000";

/// The nft script of `table inet lab_services`, the same on every node.
pub(super) fn script(topology: Topology, services: &[ServiceSpec]) -> String {
    let mut translate = String::new();
    let mut hairpins = String::new();
    let ports = || {
        services
            .iter()
            .flat_map(|service| service.ports.iter().map(move |port| (service, port)))
    };
    for (service, port) in ports() {
        let protocol = port.protocol.as_nft();
        for &cluster_ip in &service.cluster_ips {
            let Some(backend) = port.backend(cluster_ip.is_ipv4()) else {
                continue;
            };
            let family = family(backend);
            let pods = if cluster_ip.is_ipv4() {
                CLUSTER_V4
            } else {
                CLUSTER_V6
            };
            let matches = format!("{family} daddr {cluster_ip} {protocol} dport {}", port.port);
            // Clients that are no pods may be anywhere: replies must come back through this node.
            let _ = write!(
                translate,
                "    {matches} {family} saddr != {pods} meta mark set meta mark or {MASQUERADE_MARK}\n\
                 \x20   {matches} dnat {family} to {backend}\n",
            );
        }
        for ipv4 in [true, false] {
            let (Some(node_port), Some(backend)) = (port.node_port, port.backend(ipv4)) else {
                continue;
            };
            let (family, nfproto) = (family(backend), if ipv4 { "ipv4" } else { "ipv6" });
            // externalTrafficPolicy Cluster: whatever node the backend is on, replies come back through this one.
            let _ = writeln!(
                translate,
                "    meta nfproto {nfproto} fib daddr type local {protocol} dport {node_port} \
                 meta mark set meta mark or {MASQUERADE_MARK} dnat {family} to {backend}"
            );
        }
    }
    let mut backends: Vec<IpAddr> = ports()
        .flat_map(|(_, port)| [true, false].map(|v4| port.backend(v4)))
        .flatten()
        .map(|b| b.ip())
        .collect();
    backends.sort_unstable();
    backends.dedup();
    for address in backends {
        // A pod that reaches itself through its Service must see another source than itself.
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        let _ = writeln!(
            hairpins,
            "    ct status dnat {family} saddr {address} {family} daddr {address} masquerade"
        );
    }
    let (beyond_v4, beyond_v6) = unmasqueraded(topology);
    format!(
        "table inet lab_services {{\n\
         \x20 chain prerouting {{ type nat hook prerouting priority dstnat; goto services; }}\n\
         \x20 chain output {{ type nat hook output priority -100; goto services; }}\n\
         \x20 chain services {{\n{translate}  }}\n\
         \x20 chain postrouting {{ type nat hook postrouting priority srcnat;\n\
         \x20   meta mark and {MASQUERADE_MARK} == {MASQUERADE_MARK} masquerade\n{hairpins}\
         \x20   ip saddr {CLUSTER_V4} ip daddr != {{ {beyond_v4} }} masquerade\n\
         \x20   ip6 saddr {CLUSTER_V6} ip6 daddr != {{ {beyond_v6} }} masquerade\n\
         \x20 }}\n}}\n"
    )
}

/// Destinations that see a pod's own address. Where nodes route pod ranges they see it too; behind an overlay only
/// pods do.
fn unmasqueraded(topology: Topology) -> (String, String) {
    let (mut v4, mut v6) = (CLUSTER_V4.to_owned(), CLUSTER_V6.to_owned());
    if topology != Topology::Vxlan {
        for node in NODES {
            let _ = write!(v4, ", {}", node.v4);
            let _ = write!(v6, ", {}", node.v6);
        }
    }
    (v4, v6)
}

fn family(backend: SocketAddr) -> &'static str {
    if backend.is_ipv4() { "ip" } else { "ip6" }
}
