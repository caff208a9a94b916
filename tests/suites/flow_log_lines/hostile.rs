//! What whoever makes pods can put into a line.

use netpol_agent::flow_log::event::{FlowEvent, Hint, Interface, Line, Reason, Who};
use netpol_agent::flow_log::format::hubble::{ExportEvent, Flow};
use netpol_agent::flow_log::format::{Format, LONGEST_LINE};
use policy_compiler::model::{Labels, ObjectKey, Workload};

use super::samples::{key, refused, web};
use super::{FORMATS, faults, schema};

const ODD: &str =
    "a\"b\\c\nd\re\tf\u{0}g\u{7f}h\u{85}i\u{9b}31mj\u{2028}k\u{202e}l=m n{\"flow\":{}}";

fn with_odd_texts() -> FlowEvent {
    let mut event = refused();
    if let Who::Pod(pod) = &mut event.source.who {
        pod.uid = ODD.into();
        pod.workload = Some(Workload::new(ODD, ODD));
        pod.labels = Labels::new([("odd\nkey\u{202e}", "odd\"value\u{85}")]);
    }
    event.interface = Some(Interface {
        index: 1,
        name: Some(ODD.to_owned()),
    });
    event.hints = vec![Hint {
        code: "odd",
        text: ODD.to_owned(),
    }];
    event.reason = Reason::NoRule {
        isolating: vec![key("shop/db")],
        near_misses: vec![ODD.to_owned(); 3],
        more: 1,
    };
    event
}

fn flow(line: &str) -> Flow {
    let event: ExportEvent = serde_json::from_str(line).expect("a line");
    *event.flow.expect("a flow")
}

#[test]
fn odd_texts_stay_inside_their_line() {
    let event = with_odd_texts();
    let mismatch = FlowEvent {
        reason: Reason::Mismatch {
            verdict: ODD.to_owned(),
        },
        ..event.clone()
    };
    for line in [event, mismatch].map(|event| Line::Flow(Box::new(event))) {
        for (format, name) in FORMATS {
            let written = format.write(&line);
            let body = written.strip_suffix('\n').expect("a newline at the end");
            let strange = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
            assert!(!body.contains(strange), "{name}: {body:?}");
            if format == Format::Logfmt {
                // Quotes inside quotes are escaped: what is left pairs up, and no value ends early.
                let quotes = body
                    .replace(r"\\", "")
                    .replace("\\\"", "")
                    .matches('"')
                    .count();
                assert_eq!(quotes % 2, 0, "{body}");
            } else {
                let _: serde_json::Value = serde_json::from_str(body).expect("JSON");
            }
        }
    }
}

#[test]
fn odd_texts_are_read_back_as_they_were() {
    let written = Format::Hubble.write(&Line::Flow(Box::new(with_odd_texts())));
    let flow = flow(&written);
    let extensions = flow.extensions.expect("extensions");
    assert_eq!(extensions.near_misses, vec![ODD; 3]);
    assert_eq!(extensions.hints[0].text, ODD);
    assert_eq!(extensions.source.uid, ODD);
    let source = flow.source.expect("a source");
    assert_eq!(source.workloads[0].name, ODD);
    assert_eq!(source.labels, ["k8s:odd\nkey\u{202e}=odd\"value\u{85}"]);
}

/// 253 bytes: nothing of the length that Kubernetes allows is cut.
fn longest_key(number: usize) -> ObjectKey {
    key(&format!(
        "{}/{number:05}{}",
        "n".repeat(253),
        "p".repeat(248)
    ))
}

fn labels(count: usize, length: usize) -> Labels {
    Labels::new((0..count).map(|n| {
        let key = format!("{n:04}.{}/{}", "d".repeat(length * 3), "k".repeat(length));
        (key, "v".repeat(length))
    }))
}

#[test]
fn names_of_the_greatest_length_are_written_whole() {
    let mut event = refused();
    event.reason = Reason::Contested {
        isolating: vec![longest_key(0)],
    };
    if let Who::Pod(pod) = &mut event.source.who {
        pod.key = longest_key(1);
        pod.labels = labels(10, 60);
    }
    let written = Format::Hubble.write(&Line::Flow(Box::new(event)));
    assert_eq!(faults(&schema(), &written), Vec::<String>::new());
    let flow = flow(&written);
    let source = flow.source.expect("a source");
    assert_eq!(source.pod_name, longest_key(1).name.as_str());
    assert_eq!(source.labels.len(), 10);
    assert_eq!(flow.ingress_denied_by[0].name, longest_key(0).name.as_str());
}

/// `hubble` reads no further after a line of 64 KiB: nobody may be able to make one.
#[test]
fn no_line_is_too_long() {
    let keys: Vec<_> = (0..1000).map(longest_key).collect();
    let texts: Vec<_> = ["\"", "\u{1b}", "\u{202e}", "…"]
        .iter()
        .cycle()
        .take(20)
        .map(|text| text.repeat(5000))
        .collect();
    let hints = || {
        texts.iter().map(|text| Hint {
            code: "long",
            text: text.clone(),
        })
    };
    for (count, length) in [(3000, 1), (1000, 60)] {
        let long_pod = |number| {
            let mut end = web();
            if let Who::Pod(pod) = &mut end.who {
                pod.key = longest_key(number);
                pod.uid = texts[0].as_str().into();
                pod.labels = labels(count, length);
                pod.workload = Some(Workload::new(&texts[1], &texts[2]));
                pod.node = Some(longest_key(number).name);
            }
            end
        };
        let mut contested = web();
        contested.who = Who::Contested(keys.clone());
        let pods = FlowEvent {
            source: long_pod(1),
            destination: long_pod(2),
            node: longest_key(3).name,
            hints: hints().collect(),
            reason: Reason::NoRule {
                isolating: keys.clone(),
                near_misses: texts.clone(),
                more: usize::MAX,
            },
            interface: Some(Interface {
                index: u32::MAX,
                name: Some(texts[1].clone()),
            }),
            ..refused()
        };
        let claimed = FlowEvent {
            source: contested.clone(),
            destination: contested,
            ..pods.clone()
        };
        let mismatch = FlowEvent {
            reason: Reason::Mismatch {
                verdict: texts[0].clone(),
            },
            ..pods.clone()
        };
        for event in [pods, claimed, mismatch] {
            let line = Line::Flow(Box::new(event));
            for (format, name) in FORMATS {
                let written = format.write(&line);
                assert!(written.len() <= LONGEST_LINE, "{name}: {}", written.len());
            }
            let written = Format::Hubble.write(&line);
            assert_eq!(faults(&schema(), &written), Vec::<String>::new());
        }
    }
}

/// What is left out is counted.
#[test]
fn cuts_are_told() {
    let mut event = refused();
    let policies: Vec<_> = (0..1000)
        .map(|n| key(&format!("shop/policy-{n}")))
        .collect();
    event.reason = Reason::NoRule {
        isolating: policies,
        near_misses: vec!["x".repeat(1000); 8],
        more: 5,
    };
    if let Who::Pod(pod) = &mut event.source.who {
        pod.labels = labels(1000, 10);
    }
    let line = Line::Flow(Box::new(event));
    let flow = flow(&Format::Hubble.write(&line));
    let extensions = flow.extensions.expect("extensions");
    let told = |shown: usize, more: u64| {
        assert!(shown > 0 && more > 0, "{shown} and {more}");
        shown as u64 + more
    };
    assert_eq!(
        told(flow.ingress_denied_by.len(), extensions.denied_by_more),
        1000
    );
    assert_eq!(
        told(extensions.near_misses.len(), extensions.near_misses_more),
        13
    );
    let source = flow.source.expect("a source");
    assert_eq!(
        told(source.labels.len(), extensions.source.labels_more),
        1000
    );

    let logfmt = Format::Logfmt.write(&line);
    let more = format!(",+{} why=", extensions.denied_by_more);
    assert!(logfmt.contains(&more), "{more}: {logfmt}");
}
