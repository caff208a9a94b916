//! What the kernel drops is held against what the policies say: where another program has edited the table it is told, and
//! where something has just changed nobody is accused.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netpol_tests::lab::{Lab, Topology, privileged};
use serde_json::Value;

use crate::flow_log_ground::{NODE, agent, awaited, flows, metric, put, send, start, world};
use crate::world::{CALLER, FAR, NEAR, POLICIES, STRANGER, addresses, at, objects};

const MISMATCHES: &str = "netpol_flow_log_mismatches_total";

fn reason(flow: &Value) -> &str {
    let reason = flow["extensions"]["value"]["reason"].as_str();
    reason.unwrap_or_else(|| panic!("no reason in {flow}"))
}

/// Edits of the table that drop what policies allow, the direction they do it in, and what the line says of it.
const EDITS: [(&str, &str, &str); 4] = [
    (
        "flush chain inet netpol policy/conn/callees/ingress",
        "INGRESS",
        "allow",
    ),
    (
        "flush chain inet netpol policy/conn/callers/egress",
        "EGRESS",
        "allow",
    ),
    (
        "insert rule inet netpol forwarded-ingress ip daddr 10.244.1.11 goto pod/conn/near/ingress\n\
         flush chain inet netpol policy/conn/callees/ingress",
        "INGRESS",
        "allow",
    ),
    (
        "add element inet netpol ingress4 { 10.244.1.13 : goto pod/conn/caller/ingress }",
        "INGRESS",
        "the rules of conn/caller dropped it",
    ),
];

#[test]
fn an_edited_table_is_told() {
    if !privileged("an_edited_table_is_told") {
        return;
    }
    for (edit, direction, said) in EDITS {
        let (mut lab, folder) = world(Topology::RoutedVeth);
        start(&mut lab, &folder, &["--flow-log-window=1s"]);
        // One edit is undone before a packet meets it. Whoever edits again and again is answered once a second. And just
        // after the start it could be that the rules were others a moment ago.
        let flow = awaited(edit, || {
            lab.host(&netpol_tests::lab::Place::node(NODE))
                .and_then(|node| node.netns().nft(&format!("{edit}\n")))
                .unwrap_or_else(|error| panic!("{edit}: {error}"));
            send(&lab, CALLER, NEAR, [53]);
            send(&lab, FAR, STRANGER, [53]);
            let told = flows(&agent(&lab).flow_lines());
            let mut mismatches = told.into_iter().filter(|flow| reason(flow) == "mismatch");
            mismatches.next()
        });
        assert_eq!(flow["traffic_direction"], direction, "{edit}: {flow}");
        let verdict = flow["extensions"]["value"]["verdict"].as_str();
        assert!(
            verdict.is_some_and(|text| text.contains(said)),
            "{edit}: {flow}"
        );
        assert!(metric(&lab, agent(&lab), MISMATCHES) >= 1, "{edit}");
        lab.await_log(NODE, "the kernel dropped a packet that no policy forbids")
            .unwrap_or_else(|error| panic!("{edit}: {error}"));
        let warnings = agent(&lab).log().matches("that no policy forbids").count();
        assert_eq!(warnings, 1, "{edit}: once a minute is enough");
    }
}

/// How often the world changes.
const CHANGES: usize = 50;

/// Everything that a verdict depends on comes and goes while packets fly that it decides about.
#[test]
fn changes_are_no_mismatch() {
    if !privileged("changes_are_no_mismatch") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    start(
        &mut lab,
        &folder,
        &["--flow-log-window=300ms", "--flow-log-rate=100000"],
    );
    let worlds = [
        objects() + &POLICIES.replace("port: 53", "port: 5353"),
        objects() + POLICIES,
        objects().replace("role: caller", "role: none") + POLICIES,
        objects() + POLICIES,
        objects().replace("role: callee", "role: caller") + POLICIES,
        objects(),
        // Whoever has the address of a pod that is gone is nobody.
        objects().replace("10.244.1.10", "10.244.1.77") + POLICIES,
        objects() + POLICIES,
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = [
        (CALLER, NEAR, 53),
        (STRANGER, NEAR, 53),
        (NEAR, STRANGER, 53),
    ]
    .map(|(from, to, port)| keep_sending(&lab, from, (addresses(to)[0], port), &stop))
    .into();
    for (i, text) in worlds.iter().cycle().take(CHANGES).enumerate() {
        put(&folder, &format!("{text}{}", marker(i)));
        let chain = format!("chain policy/conn/marker-{i}/ingress ");
        awaited(&format!("change {i} is written"), || {
            let table = lab.list_table(NODE).ok().flatten()?;
            table.contains(&chain).then_some(())
        });
    }
    stop.store(true, Ordering::Relaxed);
    let sent: u64 = senders
        .into_iter()
        .map(|sender| sender.join().expect("the sender ends"))
        .sum();
    let mismatches = metric(&lab, agent(&lab), MISMATCHES);
    let (_, lines) = lab
        .stop_agent_with_flows(NODE, netpol_tests::lab::Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut reasons = BTreeMap::<String, u64>::new();
    for flow in flows(&lines) {
        assert_ne!(reason(&flow), "mismatch", "{flow}");
        *reasons.entry(reason(&flow).to_owned()).or_default() += 1;
    }
    assert_eq!(mismatches, 0);
    assert!(sent > 1000, "only {sent} packets were sent");
    // What began when it was allowed is cut, where its agent comes to it before its end.
    reasons.retain(|reason, _| !["cut", "revoked"].contains(&reason.as_str()));
    let known: Vec<&str> = reasons.keys().map(String::as_str).collect();
    assert_eq!(known, ["changed", "no-rule"], "{reasons:?}");
}

/// A policy by whose chain it can be seen which change the kernel has.
fn marker(change: usize) -> String {
    format!(
        "\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {{ name: marker-{change}, namespace: conn }}\nspec: {{ podSelector: {{}} }}\n"
    )
}

/// Sends a datagram a millisecond, each of another socket, so that none belongs to a connection; returns how many.
fn keep_sending(
    lab: &Lab,
    from: &str,
    to: (IpAddr, u16),
    stop: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<u64> {
    let open = || (0..500).map(|_| UdpSocket::bind(("0.0.0.0", 0))).collect();
    let sockets: std::io::Result<Vec<_>> = lab
        .host(&at(from))
        .expect("a pod")
        .netns()
        .call(open)
        .expect("the pod is there");
    let sockets = sockets.expect("sockets");
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut sent = 0;
        for socket in sockets.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            // A refusal would be an answer.
            let _ = socket.send_to(b"np?\n", to);
            sent += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        sent
    })
}
