//! What agents write in each format, from real drops; and what `netpol flows` makes of it.

use std::collections::BTreeMap;

use netpol_tests::lab::{Lab, Signal, Topology, privileged};
use serde_json::Value;

use crate::flow_log_ground::{await_first, awaited, firsts, netpol, read, send, start, world};
use crate::world::{CALLER, NEAR, STRANGER};

/// What a line tells, in words that all formats have: a flow's ends, direction, port, reason, policies and extent, or where
/// packets were lost.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    flow: Option<[String; 7]>,
    lost_at: Option<String>,
    /// Packets that it stands for.
    count: u64,
    suppressed: u64,
}

/// How a line is read.
type Reader = fn(&str) -> Told;

/// The keys and values of a logfmt line.
fn logfmt(line: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = line;
    while let Some((key, value)) = rest.split_once('=') {
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').expect("a closing quote");
                assert!(
                    !value.ends_with('\\'),
                    "no value of these tests has quotes: {line}"
                );
                (value, after.trim_start())
            }
            None => value.split_once(' ').unwrap_or((value, "")),
        };
        let old = pairs.insert(key.to_owned(), value.to_owned());
        assert_eq!(old, None, "{key} twice: {line}");
        rest = after;
    }
    assert!(rest.is_empty(), "{rest:?} is left of {line}");
    pairs
}

fn number(text: Option<&String>) -> u64 {
    text.map_or(0, |text| text.parse().expect("a number"))
}

fn told_in_logfmt(line: &str) -> Told {
    let pairs = logfmt(line);
    let get = |key: &str| pairs.get(key).cloned().unwrap_or_default();
    let is_lost = get("verdict") == "lost";
    let keys = [
        "src",
        "dst",
        "direction",
        "dport",
        "reason",
        "denied_by",
        "extent",
    ];
    Told {
        flow: (!is_lost).then(|| keys.map(get)),
        lost_at: is_lost.then(|| get("lost_at")),
        count: number(pairs.get("count")),
        suppressed: number(pairs.get("suppressed")),
    }
}

fn told_in_ecs(line: &str) -> Told {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!(event["@timestamp"].is_string(), "{line}");
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(texts) => {
            let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
            texts.join(",")
        }
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let own = &event["netpol"];
    let pod = |end: &str| {
        format!(
            "{}/{}",
            text(&own[end]["namespace"]),
            text(&own[end]["pod"])
        )
    };
    if event["event"]["action"] == "network-policy-drops-lost" {
        return Told {
            lost_at: Some(text(&own["lost"]["at"])),
            count: own["lost"]["count"].as_u64().expect("a number"),
            ..Told::default()
        };
    }
    assert!(event["event"]["id"].is_string(), "{line}");
    Told {
        flow: Some([
            pod("source"),
            pod("destination"),
            text(&event["network"]["direction"]),
            text(&event["destination"]["port"]),
            text(&own["reason"]),
            text(&event["rule"]["ruleset"]),
            text(&own["extent"]),
        ]),
        lost_at: None,
        count: event["network"]["packets"].as_u64().expect("a number"),
        suppressed: own["suppressed"].as_u64().unwrap_or_default(),
    }
}

const PACKETS: u16 = 50;

/// First, repeats and lost lines: pods, policies and reasons are named, and all packets are in some count.
#[test]
fn every_format_tells_all() {
    if !privileged("every_format_tells_all") {
        return;
    }
    let formats: [(&str, Reader); 2] = [("logfmt", told_in_logfmt), ("ecs", told_in_ecs)];
    for (format, read_line) in formats {
        let (mut lab, folder) = world(Topology::RoutedVeth);
        let format_is = format!("--flow-log-format={format}");
        // A burst of five for each pod and direction, by a group that is not the usual one.
        let path = lab.directory().join("flows.log");
        let flow_log = format!("--flow-log=file:{}", path.display());
        let more = [
            &flow_log,
            &format_is,
            "--flow-log-window=1s",
            "--flow-log-rate=1",
            "--flow-log-group=77",
        ];
        start(&mut lab, &folder, &more);
        for (from, to) in [(STRANGER, NEAR), (CALLER, STRANGER)] {
            send(&lab, from, to, std::iter::repeat_n(4000, PACKETS.into()));
        }
        awaited("repeats of both", || {
            (read(&path).matches("repeats").count() >= 2).then_some(())
        });
        lab.stop_agent("node-a", Signal::SIGTERM)
            .unwrap_or_else(|error| panic!("{error}"));
        check(format, &read(&path), read_line);
    }
}

fn check(format: &str, lines: &str, read_line: Reader) {
    let told: Vec<Told> = lines.lines().map(read_line).collect();
    let ingress = [STRANGER, NEAR, "ingress", "4000", "no-rule", "conn/callees"];
    let egress = [
        CALLER,
        STRANGER,
        "egress",
        "4000",
        "no-rule",
        "conn/callers",
    ];
    for expected in [ingress, egress] {
        for (extent, at_most) in [("first", 1), ("repeats", usize::MAX)] {
            let wanted: Vec<&str> = expected.iter().copied().chain([extent]).collect();
            let found = told
                .iter()
                .filter(|told| {
                    told.flow
                        .as_ref()
                        .is_some_and(|flow| flow[..] == wanted[..])
                })
                .count();
            assert!(
                found >= 1 && found <= at_most,
                "{format}: {found} of {wanted:?} in\n{lines}"
            );
        }
    }
    let others = told.iter().filter(|told| {
        let wanted = told
            .flow
            .as_ref()
            .map(|flow| [STRANGER, CALLER].contains(&flow[0].as_str()));
        !wanted.unwrap_or(told.lost_at.as_deref() == Some("rate-limit"))
    });
    assert_eq!(others.count(), 0, "{format}: something else in\n{lines}");
    let packets: u64 = told.iter().map(|told| told.count + told.suppressed).sum();
    assert_eq!(packets, u64::from(PACKETS) * 2, "{format}:\n{lines}");
    assert!(
        told.iter()
            .any(|told| told.count < 50 && told.suppressed + told.count > 1),
        "{format}"
    );
}

/// The world, with drops in both directions in a file: ingress of ports 4001 and 4002, egress of port 4003.
fn with_drops() -> Lab {
    let (mut lab, folder) = world(Topology::RoutedVeth);
    let path = lab.directory().join("flows.log");
    start(
        &mut lab,
        &folder,
        &[&format!("--flow-log=file:{}", path.display())],
    );
    send(&lab, STRANGER, NEAR, [4001, 4002, 4002]);
    send(&lab, CALLER, STRANGER, [4003]);
    for port in [4001, 4002, 4003] {
        await_first(&path, port);
    }
    lab.stop_agent("node-a", Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    lab
}

#[test]
fn a_real_file_is_shown_and_filtered() {
    if !privileged("a_real_file_is_shown_and_filtered") {
        return;
    }
    let lab = with_drops();
    let path = lab.directory().join("flows.log").display().to_string();
    // Filters and the ports of first lines that are left.
    let rows: [(&[&str], &[u16]); 9] = [
        (&[], &[4001, 4002, 4003]),
        (&["-n", "else"], &[4001, 4002, 4003]),
        (&["-n", "conn", "--direction", "egress"], &[4003]),
        (&["-n", "shop"], &[]),
        (&["--direction", "ingress"], &[4001, 4002]),
        (&["--policy", "conn/callers"], &[4003]),
        (&["--policy", "callees", "--port", "udp/4002"], &[4002]),
        (&["--to-pod", STRANGER], &[4003]),
        (&["--node", "node-b"], &[]),
    ];
    for (filter, expected) in rows {
        let arguments = [&["flows", &path, "-o", "json"], filter].concat();
        let lines = netpol(&lab, &arguments);
        assert_eq!(firsts(&lines), expected, "{filter:?}");
    }
    let summary = netpol(&lab, &["flows", &path, "-o", "summary"]);
    for (packets, words) in [
        ("1", ["ingress", STRANGER, NEAR, "4001", "conn/callees"]),
        ("2", ["ingress", STRANGER, NEAR, "4002", "conn/callees"]),
        ("1", ["egress", CALLER, STRANGER, "4003", "conn/callers"]),
    ] {
        let row = summary.lines().find(|row| {
            row.trim_start().starts_with(packets) && words.iter().all(|word| row.contains(word))
        });
        assert!(row.is_some(), "{packets} {words:?} is not in\n{summary}");
    }
    assert!(summary.contains("4 packets, 3 flows"), "{summary}");
}
