use super::*;
use crate::flow_log::format::hubble::{Extensions, HintExtension};
use crate::flow_log::reading::record::Record;

/// A drop of one packet from `source` to `shop/db-0`, at a second of a day.
fn flow(source: &str, second: usize) -> FlowRecord {
    let line = format!(
        r#"{{"flow":{{"time":"2026-11-21T10:{:02}:{:02}Z","verdict":"DROPPED","traffic_direction":"INGRESS",
            "IP":{{"source":"{source}"}},"l4":{{"TCP":{{"destination_port":5432}}}},
            "destination":{{"namespace":"shop","pod_name":"db-0"}}}}}}"#,
        second / 60 % 60,
        second % 60,
    );
    match Record::parse(line.as_bytes()) {
        Some(Record::Flow(flow)) => *flow,
        other => panic!("{other:?}"),
    }
}

fn sources(groups: &Groups) -> Vec<(String, u64)> {
    let ranked = groups.ranked();
    let rows = ranked.iter().map(|(key, group)| match &key.source {
        Peer::Known(text) => (text.clone(), group.packets),
        Peer::Outside(address) => (address.to_string(), group.packets),
        Peer::Network(network) => (network.to_string(), group.packets),
        Peer::Various => ("various".to_owned(), group.packets),
    });
    rows.collect()
}

#[test]
fn many_addresses_are_counted_by_network() {
    let mut groups = Groups::default();
    for last in 0..=255 {
        groups.add(&flow(&format!("192.0.2.{last}"), last));
    }
    assert!(!groups.by_network);
    assert_eq!(sources(&groups).len(), 256);
    groups.add(&flow("2001:db8::1:0:0:1", 300));
    groups.add(&flow("2001:db8::2:0:0:1", 301));
    groups.add(&flow("192.0.2.7", 302));
    assert!(groups.by_network);
    let expected = [("192.0.2.0/24", 257), ("2001:db8::/64", 2)];
    let expected = expected.map(|(text, packets)| (text.to_owned(), packets));
    assert_eq!(sources(&groups), expected);
    let last = groups.ranked()[0].1.last;
    assert_eq!(last, "2026-11-21T10:05:02Z".parse().ok());
}

#[test]
fn groups_that_matter_are_found_among_very_many() {
    let from = |pod: &str, second| {
        let mut flow = flow("192.0.2.1", second);
        flow.source.namespace = "shop".to_owned();
        flow.source.pod = pod.to_owned();
        flow
    };
    let mut groups = Groups::default();
    let crowd = 3 * MOST_GROUPS;
    for number in 0..crowd {
        groups.add(&from(&format!("web-{number}"), number / 10));
        if number % 1000 == 0 {
            groups.add(&from("often", 0));
            groups.add(&from("often", 0));
            assert!(groups.ranked().len() <= MOST_GROUPS);
        }
    }
    groups.add(&from("late", 3599));
    groups.add(&from("late", 3599));
    let ranked = sources(&groups);
    assert_eq!(ranked[0], ("shop/often".to_owned(), 60));
    assert_eq!(ranked[1], ("shop/late".to_owned(), 2));
    let told_apart: u64 = ranked.iter().map(|(_, packets)| packets).sum();
    assert_eq!(told_apart + groups.others.packets, crowd as u64 + 62);
}

#[test]
fn texts_are_of_the_last_line_and_bounded() {
    let with = |second, near: &str, hint: &str| FlowRecord {
        extensions: Some(Box::new(Extensions {
            reason: "no-rule".to_owned(),
            near_misses: vec![near.to_owned()],
            hints: vec![HintExtension {
                code: String::new(),
                text: hint.to_owned(),
            }],
            count: 3,
            ..Extensions::default()
        })),
        ..flow("192.0.2.1", second)
    };
    let mut groups = Groups::default();
    groups.add(&with(9, &"é".repeat(5_000), "a"));
    groups.add(&with(8, "older", "b"));
    for hint in ["a", "c", "d"] {
        groups.add(&with(7, "oldest", hint));
    }
    let ranked = groups.ranked();
    let [(_, group)] = ranked[..] else {
        panic!("{ranked:?}")
    };
    assert_eq!(group.packets, 15);
    assert_eq!(group.hints, ["a", "b", "c"]);
    let reason = group.reason.as_deref().expect("a reason");
    assert_eq!(reason.chars().count(), LONGEST_TEXT + 1);
}
