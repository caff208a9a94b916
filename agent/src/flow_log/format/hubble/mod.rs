//! Hubble's `ExportEvent` in the JSON mapping of protobuf: the field names are those of Cilium's `flow.proto` and
//! `observer.proto` (v1.18), which this mirrors in what netpol writes and reads.
//!
//! Reading is lenient: fields that are missing are empty, those that netpol does not use are passed over.

mod extensions;
mod lenient;
mod wire;
mod write;

pub use extensions::{EndExtension, Extensions, HintExtension};
pub use wire::{
    Endpoint, EventType, ExportEvent, Flow, Icmp, Ip, Layer4, LostEvents, NetworkInterface, Policy,
    Ports, Tcp, TcpFlags, Workload,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> ExportEvent {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn flow(fields: &str) -> Flow {
        let event = read(&format!(r#"{{"flow":{{{fields}}}}}"#));
        *event.flow.expect("a flow")
    }

    /// An answer to an HTTP request, with fields that netpol never writes.
    #[test]
    fn lines_of_cilium_are_read() {
        let event = read(concat!(
            r#"{"flow":{"time":"2026-03-01T12:00:00.123Z","uuid":"1d5b","verdict":"FORWARDED","#,
            r#""ethernet":{"source":"02:00:00:00:00:01","destination":"02:00:00:00:00:02"},"#,
            r#""IP":{"source":"10.0.0.1","source_xlated":"10.9.9.9","destination":"10.0.0.2","ipVersion":"IPv4","encrypted":true},"#,
            r#""l4":{"TCP":{"source_port":8080,"destination_port":51000,"flags":{"ACK":true,"NS":true}}},"#,
            r#""source":{"ID":17,"identity":40117,"cluster_name":"east","namespace":"shop","#,
            r#""labels":["k8s:app=api","k8s:io.cilium.k8s.policy.cluster=east"],"pod_name":"api-0","#,
            r#""workloads":[{"name":"api","kind":"StatefulSet"}]},"destination":{"identity":2,"labels":["reserved:world"]},"#,
            r#""Type":"L7","node_name":"east/n1","node_labels":["a=b"],"destination_names":["example.org"],"#,
            r#""l7":{"type":"RESPONSE","latency_ns":"215000","http":{"code":200,"method":"GET"}},"reply":true,"#,
            r#""event_type":{"type":129},"source_service":{"name":"api","namespace":"shop"},"#,
            r#""traffic_direction":"EGRESS","trace_observation_point":"TO_STACK","is_reply":true,"#,
            r#""egress_allowed_by":[{"name":"out","namespace":"shop","labels":["k8s:x=y"],"revision":"3","kind":"CiliumNetworkPolicy"}],"#,
            r#""Summary":"HTTP/1.1 200"},"node_name":"east/n1","time":"2026-03-01T12:00:00.123Z"}"#,
        ));
        assert_eq!(event.node_name, "east/n1");
        let flow = event.flow.expect("a flow");
        assert_eq!(flow.verdict, "FORWARDED");
        assert_eq!(flow.is_reply, Some(true));
        let tcp = flow.l4.and_then(|l4| l4.tcp).expect("TCP");
        assert_eq!((tcp.source_port, tcp.destination_port), (8080, 51000));
        let flags = TcpFlags {
            ack: true,
            ..TcpFlags::default()
        };
        assert_eq!(tcp.flags, Some(flags));
        let source = flow.source.expect("a source");
        assert_eq!((source.id, source.identity), (17, 40117));
        assert_eq!(source.cluster_name, "east");
        assert_eq!(source.workloads[0].name, "api");
        assert_eq!(flow.egress_allowed_by[0].kind, "CiliumNetworkPolicy");
        assert_eq!(flow.extensions, None);
    }

    #[test]
    fn events_that_are_no_flows_are_read() {
        for (line, lost) in [
            (
                r#"{"node_status":{"state_change":"NODE_CONNECTED"},"time":"2026-03-01T12:00:00Z"}"#,
                None,
            ),
            (r#"{"agent_event":{"type":"AGENT_STARTED"}}"#, None),
            ("{}", None),
            (
                r#"{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"18446744073709551615","cpu":3}}"#,
                Some(u64::MAX),
            ),
            (r#"{"lost_events":{"num_events_lost":7}}"#, Some(7)),
            (r#"{"lost_events":{}}"#, Some(0)),
        ] {
            let event = read(line);
            assert_eq!(event.flow, None, "{line}");
            assert_eq!(event.lost_events.map(|l| l.num_events_lost), lost, "{line}");
        }
        for line in [
            "",
            "3",
            r#"{"flow":3}"#,
            r#"{"lost_events":{"num_events_lost":"-1"}}"#,
            r#"{"lost_events":{"num_events_lost":1.5e99}}"#,
        ] {
            assert!(serde_json::from_str::<ExportEvent>(line).is_err(), "{line}");
        }
    }

    #[test]
    fn unknown_words_of_newer_versions_are_kept() {
        let flow = flow(r#""verdict":9,"drop_reason_desc":"NEW_REASON","traffic_direction":0"#);
        assert_eq!(flow.verdict, "9");
        assert_eq!(flow.drop_reason_desc, "NEW_REASON");
        assert_eq!(flow.traffic_direction, "0");
    }

    #[test]
    fn only_our_own_extensions_are_taken() {
        const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
        let read = |any: &str| flow(&format!(r#""extensions":{any}"#)).extensions;
        for other in [
            "null",
            "3",
            "{}",
            r#"{"@type":"type.googleapis.com/other.Message","reason":"no-rule","value":{"reason":"no-rule"}}"#,
            &format!(r#"{{"@type":"{STRUCT}"}}"#),
            &format!(r#"{{"@type":"{STRUCT}","value":{{"tenant":"blue"}}}}"#),
            &format!(r#"{{"@type":"{STRUCT}","value":{{"reason":{{}}}}}}"#),
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        // As a program writes it that knows only floating point, with a field of a later version.
        let ours = read(&format!(
            r#"{{"@type":"{STRUCT}","value":{{"reason":"contested","count":3.0,"later":[1],"source":{{"kind":"pod"}}}}}}"#
        ));
        let expected = Extensions {
            reason: "contested".to_owned(),
            count: 3,
            source: EndExtension {
                kind: "pod".to_owned(),
                ..EndExtension::default()
            },
            ..Extensions::default()
        };
        assert_eq!(ours.as_deref(), Some(&expected));
    }
}
