use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One step of a history: a packet of one of few flows, or time that passes while the taker takes or refuses.
#[derive(Clone, Copy, Debug)]
enum Step {
    Packet { pod: usize, from: u16, port: u16 },
    Scan { pod: usize, ports: u16 },
    Wait { seconds: u64, accepts: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_usize, 0..3_u16, 0..3_u16).prop_map(|(pod, from, port)| Step::Packet { pod, from, port }),
        1 => (0..3_usize, 200..400_u16).prop_map(|(pod, ports)| Step::Scan { pod, ports }),
        2 => (0..15_u64, prop::bool::weighted(0.8)).prop_map(|(seconds, accepts)| Step::Wait { seconds, accepts }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_is_accounted_for(steps in prop::collection::vec(step(), 0..80), accepts_last in any::<bool>()) {
        let mut bench = Bench::new();
        let mut told = Vec::new();
        let mut added: BTreeMap<DropPoint, u64> = BTreeMap::new();
        let mut second = 0;
        for step in steps {
            let packets: Vec<Dropped> = match step {
                Step::Packet { pod, from, port } => {
                    vec![dropped(point(pod, Direction::Ingress), from, 1, udp(port), second)]
                }
                Step::Scan { pod, ports } => (0..ports)
                    .map(|port| dropped(point(pod, Direction::Ingress), 9, 1, udp(port), second))
                    .collect(),
                Step::Wait { seconds, accepts } => {
                    second += seconds;
                    bench.accepts = accepts;
                    told.extend(bench.until(second));
                    vec![]
                }
            };
            for packet in packets {
                prop_assert_ne!(bench.add(&packet, second), Added::Lost);
                *added.entry(packet.point).or_default() += 1;
            }
        }
        told.append(&mut bench.told);
        let refused = bench.fold.drain(|sighting| {
            if accepts_last {
                told.push(sighting);
            }
            accepts_last
        });
        prop_assert!(bench.fold.flows.is_empty() && bench.fold.points.is_empty());
        let mut accounted: BTreeMap<DropPoint, u64> = BTreeMap::new();
        for sighting in told {
            let (count, since) = match sighting.extent {
                Extent::First => (1, sighting.time),
                Extent::Connection => (0, sighting.time),
                Extent::Repeats { count, since } | Extent::Others { count, since } => (count, since),
            };
            prop_assert!(count > 0 && since <= sighting.time);
            *accounted.entry(sighting.point).or_default() += count;
        }
        if accepts_last {
            prop_assert_eq!(refused, 0);
            prop_assert_eq!(accounted, added);
        } else {
            prop_assert_eq!(accounted.values().sum::<u64>() + refused, added.values().sum::<u64>());
        }
    }
}
