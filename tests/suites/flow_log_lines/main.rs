//! Lines of the flow log: as documented, as the schema says, readable again, and one line whatever the names are.

mod hostile;
mod samples;

use std::path::PathBuf;

use netpol_agent::flow_log::event::Line;
use netpol_agent::flow_log::format::Format;
use netpol_agent::flow_log::format::hubble::ExportEvent;

use samples::refused;

const FORMATS: [(Format, &str); 3] = [
    (Format::Hubble, "hubble.jsonl"),
    (Format::Logfmt, "logfmt.log"),
    (Format::Ecs, "ecs.jsonl"),
];

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn read(file: &str) -> String {
    let file = docs().join(file);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn schema() -> jsonschema::Validator {
    let schema = serde_json::from_str(&read("flow-log.schema.json")).expect("JSON");
    jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{error}"))
}

/// What is wrong with a line of the Hubble format.
pub(crate) fn faults(schema: &jsonschema::Validator, line: &str) -> Vec<String> {
    let json = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    schema
        .iter_errors(&json)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// `NETPOL_UPDATE_GOLDENS=1` writes the files instead, for a person to read.
#[test]
fn the_example_lines_are_what_is_written() {
    let update = std::env::var_os("NETPOL_UPDATE_GOLDENS").is_some();
    for (format, name) in FORMATS {
        let written: String = samples::all()
            .iter()
            .map(|line| format.write(line))
            .collect();
        if update {
            let file = docs().join("flow-log").join(name);
            std::fs::write(&file, written)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            continue;
        }
        let documented = read(&format!("flow-log/{name}"));
        similar_asserts::assert_eq!(documented, written, "{}", name);
    }
}

/// One event in all formats, written out by hand.
#[test]
fn an_event_is_told_in_each_format() {
    let line = Line::Flow(Box::new(refused()));
    let hubble = concat!(
        r#"{"flow":{"time":"2026-03-01T12:00:00.250000000Z","uuid":"UUID","verdict":"DROPPED","drop_reason":133,"#,
        r#""drop_reason_desc":"POLICY_DENIED","IP":{"source":"10.244.1.2","destination":"10.244.2.3","ipVersion":"IPv4"},"#,
        r#""l4":{"TCP":{"source_port":40000,"destination_port":5432,"flags":{"SYN":true}}},"#,
        r#""source":{"namespace":"shop","labels":["k8s:app=web","k8s:track"],"pod_name":"web-7d4b9c-x2x4v","#,
        r#""workloads":[{"name":"web","kind":"Deployment"}]},"#,
        r#""destination":{"namespace":"shop","labels":["k8s:app=db","k8s:app.kubernetes.io/part-of=shop"],"#,
        r#""pod_name":"db-0","workloads":[{"name":"db","kind":"StatefulSet"}]},"#,
        r#""Type":"L3_L4","node_name":"node-b","event_type":{"type":5},"traffic_direction":"INGRESS","is_reply":false,"#,
        r#""interface":{"index":7,"name":"veth1a2b"},"#,
        r#""ingress_denied_by":[{"name":"db","namespace":"shop","kind":"NetworkPolicy"},"#,
        r#"{"name":"default-deny","namespace":"shop","kind":"NetworkPolicy"}],"#,
        r#""Summary":"TCP Flags: SYN","#,
        r#""extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"reason":"no-rule","#,
        r#""near_misses":["shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443"],"#,
        r#""extent":"first","count":1,"#,
        r#""source":{"kind":"pod","uid":"uid-of-web-7d4b9c-x2x4v","node":"node-a"},"#,
        r#""destination":{"kind":"pod","uid":"uid-of-db-0","node":"node-b"}}}},"#,
        r#""node_name":"node-b","time":"2026-03-01T12:00:00.250000000Z"}"#,
        "\n"
    );
    let logfmt = concat!(
        "time=2026-03-01T12:00:00.250000000Z verdict=dropped direction=ingress ",
        "src=shop/web-7d4b9c-x2x4v src_ip=10.244.1.2 dst=shop/db-0 dst_ip=10.244.2.3 proto=TCP dport=5432 ",
        "reason=no-rule denied_by=shop/db,shop/default-deny ",
        r#"why="shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443" "#,
        "extent=first count=1 node=node-b src_workload=Deployment/web src_node=node-a ",
        "dst_workload=StatefulSet/db dst_node=node-b sport=40000 flags=SYN interface=veth1a2b id=UUID\n"
    );
    let ecs = serde_json::json!({
        "@timestamp": "2026-03-01T12:00:00.250000000Z",
        "message": "dropped ingress from shop/web-7d4b9c-x2x4v to shop/db-0 TCP 5432: \
                    shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443",
        "ecs": {"version": "8.17.0"},
        "event": {
            "kind": "event", "category": ["network"], "type": ["connection", "denied"],
            "action": "network-policy-drop", "outcome": "success", "id": "UUID",
            "reason": "shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443",
            "module": "netpol", "dataset": "netpol.flow",
        },
        "source": {"address": "10.244.1.2", "ip": "10.244.1.2", "port": 40000},
        "destination": {"address": "10.244.2.3", "ip": "10.244.2.3", "port": 5432},
        "network": {
            "direction": "ingress", "type": "ipv4", "transport": "tcp", "iana_number": "6", "packets": 1,
        },
        "rule": {"category": "NetworkPolicy", "ruleset": ["shop/db", "shop/default-deny"]},
        "orchestrator": {
            "type": "kubernetes", "namespace": "shop",
            "resource": {
                "type": "pod", "name": "db-0", "id": "uid-of-db-0", "parent": {"type": "StatefulSet"},
            },
        },
        "host": {"name": "node-b"},
        "observer": {
            "product": "netpol", "type": "firewall", "egress": {"interface": {"id": "7", "name": "veth1a2b"}},
        },
        "related": {"ip": ["10.244.1.2", "10.244.2.3"]},
        "netpol": {
            "reason": "no-rule",
            "near_misses": ["shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443"],
            "extent": "first",
            "tcp_flags": ["SYN"],
            "source": {
                "kind": "pod", "namespace": "shop", "pod": "web-7d4b9c-x2x4v", "node": "node-a",
                "uid": "uid-of-web-7d4b9c-x2x4v", "labels": ["app=web", "track="],
                "workload": {"kind": "Deployment", "name": "web"},
            },
            "destination": {
                "kind": "pod", "namespace": "shop", "pod": "db-0", "node": "node-b", "uid": "uid-of-db-0",
                "labels": ["app=db", "app.kubernetes.io/part-of=shop"],
                "workload": {"kind": "StatefulSet", "name": "db"},
            },
        },
    });
    let written = Format::Hubble.write(&line);
    let event: ExportEvent = serde_json::from_str(&written).expect("a line");
    let uuid = event.flow.expect("a flow").uuid;
    let shape: String = uuid
        .chars()
        .map(|c| if c.is_ascii_hexdigit() { 'x' } else { c })
        .collect();
    assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
    assert_eq!(&uuid[14..15], "8", "the version of RFC 9562");

    similar_asserts::assert_eq!(hubble.replace("UUID", &uuid), written);
    similar_asserts::assert_eq!(logfmt.replace("UUID", &uuid), Format::Logfmt.write(&line));
    let ecs: serde_json::Value =
        serde_json::from_str(&ecs.to_string().replace("UUID", &uuid)).expect("JSON");
    let written: serde_json::Value =
        serde_json::from_str(&Format::Ecs.write(&line)).expect("a line");
    similar_asserts::assert_eq!(ecs, written);
}

#[test]
fn the_example_lines_are_as_the_schema_says() {
    let schema = schema();
    let lines = read("flow-log/hubble.jsonl");
    assert!(lines.lines().count() > 10);
    for line in lines.lines() {
        assert_eq!(faults(&schema, line), Vec::<String>::new(), "{line}");
    }
}

/// Any key that is not documented, any that is missing, any word of the wrong kind.
#[test]
fn the_schema_refuses_other_lines() {
    let schema = schema();
    let line = Format::Hubble.write(&Line::Flow(Box::new(refused())));
    for (part, instead) in [
        (r#""verdict":"DROPPED","#, ""),
        (r#""verdict":"DROPPED""#, r#""verdict":"dropped""#),
        (r#""uuid":"#, r#""uid":"#),
        (r#""reason":"no-rule""#, r#""reason":"because""#),
        (r#""kind":"pod","#, ""),
        (r#""source_port":40000"#, r#""source_port":70000"#),
        (r#""SYN":true"#, r#""SYN":false"#),
        (r#""count":1"#, r#""count":0"#),
        ("Z\",\"uuid", "\",\"uuid"),
        (r#""INGRESS""#, r#""ingress""#),
        (r#""k8s:app=web""#, r#""app=web""#),
        (r#""extent":"first","#, r#""extent":"repeats","#),
    ] {
        let other = line.replacen(part, instead, 1);
        assert_ne!(other, line, "{part}");
        assert_ne!(faults(&schema, &other), Vec::<String>::new(), "{other}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    for line in samples::all() {
        let event = ExportEvent::from(&line);
        let read: ExportEvent = serde_json::from_str(&Format::Hubble.write(&line)).expect("a line");
        assert_eq!(read, event);
        assert!(read.flow.is_none_or(|flow| flow.extensions.is_some()));
    }
}

#[test]
fn every_line_has_a_name_of_its_own() {
    let mut names = std::collections::BTreeSet::new();
    let flows = samples::all()
        .iter()
        .map(ExportEvent::from)
        .filter_map(|e| e.flow)
        .count();
    for line in samples::all() {
        if let Some(flow) = ExportEvent::from(&line).flow {
            names.insert(flow.uuid);
        }
    }
    assert_eq!(names.len(), flows);
}
