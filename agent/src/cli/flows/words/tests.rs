use super::*;
use crate::flow_log::reading::record::Record;

fn flow(fields: &str, own: &str) -> FlowRecord {
    let line = format!(
        r#"{{"flow":{{{fields}"extensions":{{"@type":"type.googleapis.com/google.protobuf.Struct","value":{{{own}}}}}}}}}"#
    );
    match Record::parse(line.as_bytes()) {
        Some(Record::Flow(flow)) => *flow,
        other => panic!("{other:?}: {line}"),
    }
}

#[test]
fn reasons() {
    const EGRESS: &str = r#""traffic_direction":"EGRESS","l4":{"SCTP":{"destination_port":9}},"#;
    let rows = [
        (
            EGRESS,
            r#""reason":"no-rule","near_misses":["a","b"]"#,
            Some("a (and 1 rule further off)"),
        ),
        (
            EGRESS,
            r#""reason":"no-rule","near_misses":["a","b"],"near_misses_more":2"#,
            Some("a (and 3 rules further off)"),
        ),
        (
            EGRESS,
            r#""reason":"no-rule""#,
            Some("the policies that isolate the pod have no egress rules"),
        ),
        (
            "",
            r#""reason":"no-rule""#,
            Some("the packet could not be read"),
        ),
        (
            EGRESS,
            r#""reason":"mismatch","verdict":"ALLOWED\n  egress:   by x\n""#,
            Some(
                "the rules in the kernel and the policies disagree, please report this: ALLOWED | egress: by x",
            ),
        ),
        (
            EGRESS,
            r#""reason":"contested","source":{"claimants":["a/b","c/d"],"claimants_more":3}"#,
            Some("the address is claimed by a/b, c/d, 3 more, and policies isolate one of them"),
        ),
        (
            EGRESS,
            r#""reason":"not-programmed""#,
            Some(
                "the rules of the pod with the source's address were not in the kernel yet, or there is no such pod",
            ),
        ),
        (
            EGRESS,
            r#""reason":"forged-source""#,
            Some(
                "the source is not the sender's: an answer would not go back where this came from",
            ),
        ),
        (
            EGRESS,
            r#""reason":"cut""#,
            Some("the connection was cut: no policy allows it any more"),
        ),
        (EGRESS, r#""reason":"of the future""#, None),
    ];
    for (fields, own, expected) in rows {
        assert_eq!(reason(&flow(fields, own)).as_deref(), expected, "{own}");
    }
}

#[test]
fn policies_by_verdict() {
    let names = |texts: &[&str]| -> Vec<PolicyName> {
        let names = texts.iter().map(|text| text.split_once('/'));
        let names = names.map(|parts| parts.expect("a key"));
        names
            .map(|(namespace, name)| PolicyName {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
            .collect()
    };
    let rows: &[(Verdict, &[&str], u64, &str)] = &[
        (Verdict::Dropped, &[], 0, "-"),
        (
            Verdict::Dropped,
            &["shop/db", "/everywhere"],
            0,
            "shop/db, everywhere",
        ),
        (Verdict::Dropped, &["shop/db"], 7, "shop/db, 7 more"),
        (Verdict::Forwarded, &[], 0, "forwarded"),
        (Verdict::Forwarded, &["shop/db"], 0, "forwarded by shop/db"),
        (Verdict::Audit, &["shop/db"], 0, "audit: shop/db"),
        (Verdict::Other, &["shop/db"], 0, "other verdict"),
    ];
    for (verdict, texts, more, expected) in rows {
        assert_eq!(policies(*verdict, &names(texts), *more), *expected);
    }
}
