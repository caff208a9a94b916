//! Behind a node port the source address is a node's: that makes nobody the node (semantics rules G3, H4).

use std::net::IpAddr;

use netpol_tests::lab::{
    Expect, Lab, LabSpec, NODES, Place, PodSpec, Probe, ServicePort, ServiceSpec, Topology,
    Transport, privileged,
};
use policy_compiler::model::Protocol;

use crate::world::{FAR, NEAR, addresses, at, check, deny_all};

/// The cluster addresses of the Service of [`lab_with_service`], which has port 80.
pub(crate) const SERVICE: [&str; 2] = ["10.96.0.1", "fd00:10:96::1"];
/// Its node port.
pub(crate) const NODE_PORT: u16 = 30_080;

/// One Service with a backend on each node in turn, so that every client has it near and far.
pub(crate) fn lab_with_service(topology: Topology, backend: &str) -> Lab {
    let pods = [NEAR, FAR].map(|key| PodSpec {
        key: key.to_owned(),
        node: NODES[usize::from(key == FAR)].name.to_owned(),
        addresses: addresses(key).to_vec(),
    });
    let ports = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|protocol| ServicePort {
        protocol,
        port: 80,
        node_port: Some(NODE_PORT),
        backends: addresses(backend)
            .map(|address| (address, 8080).into())
            .to_vec(),
    });
    let service = ServiceSpec {
        key: "conn/service".to_owned(),
        cluster_ips: SERVICE.map(|ip| ip.parse().expect("an address")).to_vec(),
        ports: ports.to_vec(),
    };
    let spec = LabSpec {
        pods: pods.to_vec(),
        services: vec![service],
        outside: Vec::new(),
    };
    Lab::build(topology, spec).unwrap_or_else(|error| panic!("{topology}: {error}"))
}

/// Masqueraded clients come with the address of the node they entered by, which may be the backend's own.
#[test]
fn masqueraded_clients_are_not_the_node() {
    if !privileged("masqueraded_clients_are_not_the_node") {
        return;
    }
    for topology in Topology::ALL {
        let mut lab = lab_with_service(topology, NEAR);
        lab.load_rules(&deny_all())
            .unwrap_or_else(|error| panic!("{error}"));
        let mut probes = Vec::new();
        for from in [
            Place::Outside,
            at(FAR),
            Place::node("node-a"),
            Place::node("node-b"),
        ] {
            // Only what starts on the backend's node is let in, whatever its way.
            let expect = if from == Place::node("node-a") {
                Expect::Answer
            } else {
                Expect::Silence
            };
            let mut ways: Vec<(IpAddr, u16)> = Vec::new();
            ways.extend(SERVICE.map(|address| (address.parse().expect("an address"), 80)));
            ways.push((NODES[0].v4.into(), NODE_PORT));
            ways.push((NODES[0].v6.into(), NODE_PORT));
            if from != Place::node("node-a") {
                ways.push((NODES[1].v4.into(), NODE_PORT));
                ways.push((NODES[1].v6.into(), NODE_PORT));
            }
            for (to, port) in ways {
                for transport in [
                    Transport::Tcp(port),
                    Transport::Udp(port),
                    Transport::Sctp(port),
                ] {
                    probes.push(Probe::new(&from, to, transport).expect(expect));
                }
            }
        }
        check(&mut lab, &probes);
    }
}
