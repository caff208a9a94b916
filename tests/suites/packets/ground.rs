//! The ground the other tests stand on: without rules everything reaches everything, in every topology.

use std::net::IpAddr;

use netpol_tests::lab::{NODES, Place, Probe, Topology, Transport, privileged};

use crate::node_ports::{NODE_PORT, SERVICE, lab_with_service};
use crate::world::{FAR, NEAR, addresses, build, check};

#[test]
fn everything_reaches_everything() {
    if !privileged("everything_reaches_everything") {
        return;
    }
    for topology in Topology::ALL {
        let mut lab = build(topology);
        let places: Vec<Place> = lab.places().cloned().collect();
        let mut probes = Vec::new();
        for from in &places {
            for to in &places {
                for &address in lab.host(to).expect("a place of the lab").addresses() {
                    let all = [
                        Transport::Tcp(80),
                        Transport::Udp(53),
                        Transport::Sctp(9000),
                        Transport::Echo,
                    ];
                    probes.extend(all.map(|transport| Probe::new(from, address, transport)));
                }
            }
        }
        check(&mut lab, &probes);
    }
}

#[test]
fn services_lead_to_their_backend() {
    if !privileged("services_lead_to_their_backend") {
        return;
    }
    for topology in Topology::ALL {
        for backend in [NEAR, FAR] {
            let mut lab = lab_with_service(topology, backend);
            let mut probes = Vec::new();
            for from in lab.places() {
                for address in SERVICE {
                    let address: IpAddr = address.parse().expect("an address");
                    let all = [Transport::Tcp(80), Transport::Udp(80), Transport::Sctp(80)];
                    probes.extend(all.map(|transport| Probe::new(from, address, transport)));
                }
                for address in NODES
                    .iter()
                    .flat_map(|node| [IpAddr::V4(node.v4), IpAddr::V6(node.v6)])
                {
                    let all = [
                        Transport::Tcp(NODE_PORT),
                        Transport::Udp(NODE_PORT),
                        Transport::Sctp(NODE_PORT),
                    ];
                    probes.extend(all.map(|transport| Probe::new(from, address, transport)));
                }
            }
            check(&mut lab, &probes);
        }
    }
}

/// Who sees whose address decides what a policy means: rows about sources rest on this.
#[test]
fn source_addresses_are_those_of_a_real_cluster() {
    if !privileged("source_addresses_are_those_of_a_real_cluster") {
        return;
    }
    for topology in Topology::ALL {
        let mut lab = lab_with_service(topology, NEAR);
        let [a, b] = &NODES;
        let outside = lab
            .host(&Place::Outside)
            .expect("it is there")
            .addresses()
            .to_vec();
        let [near, far] = [addresses(NEAR), addresses(FAR)];
        let mut rows: Vec<(Place, IpAddr, Transport, IpAddr)> = Vec::new();
        for ipv4 in [true, false] {
            let family = usize::from(!ipv4);
            let (node_a, node_b): (IpAddr, IpAddr) = if ipv4 {
                (a.v4.into(), b.v4.into())
            } else {
                (a.v6.into(), b.v6.into())
            };
            let service: IpAddr = SERVICE[family].parse().expect("an address");
            // Between pods nothing is translated, through a Service neither.
            rows.push((
                Place::pod(FAR),
                near[family],
                Transport::Tcp(80),
                far[family],
            ));
            rows.push((Place::pod(FAR), service, Transport::Tcp(80), far[family]));
            // Out of the cluster with the node's address.
            rows.push((
                Place::pod(NEAR),
                outside[family],
                Transport::Tcp(80),
                node_a,
            ));
            rows.push((Place::pod(FAR), outside[family], Transport::Udp(53), node_b));
            // In from outside with the true one, unless by a node port of the other node.
            rows.push((
                Place::Outside,
                near[family],
                Transport::Tcp(80),
                outside[family],
            ));
            if topology != Topology::Vxlan {
                rows.push((Place::Outside, node_b, Transport::Tcp(NODE_PORT), node_b));
                rows.push((Place::pod(NEAR), node_b, Transport::Tcp(80), near[family]));
            }
        }
        let probes: Vec<Probe> = rows
            .iter()
            .map(|(from, to, transport, _)| Probe::new(from, *to, *transport))
            .collect();
        let outcomes = lab.probe(&probes).unwrap_or_else(|error| panic!("{error}"));
        for ((from, to, transport, source), outcome) in rows.iter().zip(outcomes) {
            assert_eq!(
                outcome.arrived_from,
                Some(*source),
                "{topology}: {from} → {to} {transport}: {outcome}"
            );
        }
    }
}

/// A control plane, for example: nodes reach it, and pods do with their node's address.
#[test]
fn hosts_can_be_attached() {
    if !privileged("hosts_can_be_attached") {
        return;
    }
    for topology in Topology::ALL {
        let mut lab = build(topology);
        let addresses = [
            [172, 30, 0, 10].into(),
            "fd00:172:30::10".parse().expect("an address"),
        ];
        let [IpAddr::V4(v4), IpAddr::V6(v6)] = addresses else {
            panic!("one of each family")
        };
        lab.attach_host("control", v4, v6)
            .unwrap_or_else(|error| panic!("{error}"));
        let mut probes = Vec::new();
        for from in [
            Place::node("node-a"),
            Place::node("node-b"),
            Place::pod(NEAR),
            Place::pod(FAR),
        ] {
            probes.extend(addresses.map(|to| Probe::new(&from, to, Transport::Tcp(6443))));
        }
        let outcomes = lab.probe(&probes).unwrap_or_else(|error| panic!("{error}"));
        for (probe, outcome) in probes.iter().zip(outcomes) {
            assert!(
                outcome.answered,
                "{topology}: {} → {}: {outcome}",
                probe.from, probe.to
            );
        }
    }
}
