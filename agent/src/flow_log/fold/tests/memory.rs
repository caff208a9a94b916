use super::*;
use crate::flow_log::fold::memory::table_bytes;

#[test]
fn memory_is_bounded() {
    const { assert!(MEMORY < 10 << 20) };
    let mut bench = Bench::new();
    let (mut told, mut lost) = (0, 0);
    for pod in 0..POINTS + 10 {
        for port in 0..5 {
            match bench.add(
                &dropped(point(pod, Direction::Egress), 1, 1, udp(port), 0),
                0,
            ) {
                Added::Told => told += 1,
                Added::Folded => {}
                Added::Lost => lost += 1,
            }
        }
        bench.told.clear();
    }
    assert_eq!((told, lost), (FLOWS, 50));
    let fold = &bench.fold;
    assert_eq!((fold.flows.len(), fold.points.len()), (FLOWS, POINTS));
    assert!(bytes_taken(fold) <= MEMORY);
}

/// With a box for each flow and each point, whether it has one or not.
fn bytes_taken(fold: &Fold) -> usize {
    table_bytes::<Key, Repeats>(fold.flows.capacity())
        + table_bytes::<DropPoint, Point>(fold.points.capacity())
        + fold.flows_due.capacity() * size_of::<(Instant, Key)>()
        + fold.others_due.capacity() * size_of::<(Instant, DropPoint)>()
        + (fold.flows.len() + fold.points.len()) * size_of::<Counted>()
}

#[test]
fn memory_is_bounded_while_flows_come_and_go() {
    let points: Vec<DropPoint> = (0..1200)
        .map(|pod| point(pod, Direction::Ingress))
        .collect();
    let mut bench = Bench::new();
    let mut most = 0;
    for second in 0..40 {
        for (peer, at) in (0..20).flat_map(|n| points.iter().map(move |at| (n, at))) {
            let from = u16::try_from(second * 20 + peer).unwrap_or_default();
            // Every second peer comes again, so that half the flows last for two windows.
            for _ in 0..=(peer % 2) {
                bench.add(&dropped(*at, from, 1, udp(1), 0), second);
            }
        }
        most = most.max(bench.fold.flows.len());
        bench.until(second);
        assert!(bytes_taken(&bench.fold) <= MEMORY, "{second}");
        assert!(bench.fold.flows_due.capacity() <= FLOWS, "{second}");
    }
    assert_eq!(most, FLOWS);
}

#[test]
fn floods_of_some_pods_leave_room_for_others() {
    let mut bench = Bench::new();
    for (pod, port) in (0..240).flat_map(|pod| (0..300).map(move |port| (pod, port))) {
        bench.add(
            &dropped(point(pod, Direction::Egress), 1, 1, udp(port), 0),
            0,
        );
    }
    let quiet = point(1000, Direction::Ingress);
    for port in 0..16 {
        let added = bench.add(&dropped(quiet, 1, 1, udp(port), 0), 0);
        assert_eq!(added, Added::Told, "{port}");
    }
}
