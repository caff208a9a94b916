//! Lines of the flow log: as documented, as the schema says, readable again, and one line whatever the names are.

mod by_hand;
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

#[test]
fn the_example_lines_are_as_the_schema_says() {
    let schema = schema();
    // The second file is what agents told of real packets.
    for file in ["flow-log/hubble.jsonl", "flow-log/shop.jsonl"] {
        let lines = read(file);
        assert!(lines.lines().count() > 10);
        for line in lines.lines() {
            assert_eq!(faults(&schema, line), Vec::<String>::new(), "{line}");
        }
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
