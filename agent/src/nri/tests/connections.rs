//! Connections that come and go.

use super::fake::{Runtime, next, pod, with_namespaces};
use crate::nri::GateEvent;
use crate::nri::wire::multiplex::{self, RUNTIME};
use crate::nri::wire::protobuf::Writer;

fn names(events: &[GateEvent]) -> Vec<String> {
    let name = |event: &GateEvent| match event {
        GateEvent::Connected { runtime, version } => format!("{runtime} {version}"),
        GateEvent::Lost { .. } => "lost".to_owned(),
        GateEvent::Started(sandbox, _) => format!("+{}", sandbox.name),
        GateEvent::Stopped(sandbox) => format!("-{}", sandbox.name),
    };
    events.iter().map(name).collect()
}

async fn take(
    gate: &mut (impl futures::Stream<Item = GateEvent> + Unpin),
    count: usize,
) -> Vec<GateEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        events.push(next(gate).await);
    }
    events
}

#[tokio::test]
async fn it_registers_and_hears_of_all_sandboxes_in_parts() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.accept().await;
    assert_eq!(plugin.register().await, *b"\x0a\x06netpol\x12\x0210");
    assert_eq!(plugin.configure(2000).await, [0x10, 0b111]);
    let stopped = with_namespaces(&pod("stopped", &["10.244.1.3"]), &["pid"]);
    let first = [pod("a", &["10.244.1.1"]), pod("on-the-node", &[])];
    let more = plugin.synchronize(&first, true).await;
    assert_eq!(more, [0x10, 1], "ready for the rest");
    let running = with_namespaces(&pod("b", &["10.244.1.2"]), &["pid", "network"]);
    let more = plugin.synchronize(&[stopped, running], false).await;
    assert!(more.is_empty());
    let events = take(&mut gate, 3).await;
    assert_eq!(names(&events), ["fake v1.2.3", "+a", "+b"]);
}

#[tokio::test]
async fn what_stopped_while_there_was_no_connection_is_told() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let [a, b, c] = ["a", "b", "c"].map(|name| pod(name, &["10.244.1.1"]));
    drop(runtime.welcome(&[a, b.clone()]).await);
    let events = take(&mut gate, 4).await;
    assert_eq!(names(&events), ["fake v1.2.3", "+a", "+b", "lost"]);
    let mut plugin = runtime.welcome(&[b.clone(), c.clone()]).await;
    let events = take(&mut gate, 4).await;
    assert_eq!(names(&events), ["fake v1.2.3", "+b", "+c", "-a"]);
    // The runtime may do this again at any time.
    plugin.synchronize(&[b], true).await;
    plugin.synchronize(&[c], false).await;
    let events = take(&mut gate, 2).await;
    assert_eq!(names(&events), ["+b", "+c"]);
}

#[tokio::test]
async fn a_runtime_that_is_not_there_is_told_once_and_found_when_it_comes() {
    let mut runtime = Runtime::stopped();
    let mut gate = runtime.gate();
    match next(&mut gate).await {
        GateEvent::Lost { why } => {
            assert!(
                why.contains(&runtime.socket().display().to_string()),
                "{why}"
            );
        }
        other => panic!("{other:?}"),
    }
    runtime.start();
    runtime.welcome(&[]).await;
    let events = take(&mut gate, 2).await;
    assert_eq!(names(&events), ["fake v1.2.3", "lost"]);
}

#[tokio::test]
async fn a_refused_registration_is_told_with_the_reason() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.accept().await;
    let status = Writer::default().number(1, 7).text(2, "not on this node");
    let body = Writer::default().bytes(1, &status.finish()).finish();
    let mut refusal = vec![0, 0, 0, u8::try_from(body.len()).expect("short")];
    refusal.extend([0, 0, 0, 1, 2, 0]);
    refusal.extend(body);
    plugin.raw(&multiplex::frame(RUNTIME, &refusal)).await;
    match next(&mut gate).await {
        GateEvent::Lost { why } => assert!(why.contains("not on this node"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_runtime_that_tells_no_addresses_is_no_gate() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.accept().await;
    plugin.register().await;
    plugin.configure(2000).await;
    let untold = with_namespaces(&pod("a", &[]), &["pid", "network"]);
    let all = Writer::default().bytes(1, &untold).finish();
    plugin.begin("Synchronize", &all).await;
    match next(&mut gate).await {
        GateEvent::Lost { why } => assert!(why.contains("fake v1.2.3"), "{why}"),
        other => panic!("{other:?}"),
    }
    // One pod without is no proof against the others.
    let told = pod("b", &["10.244.1.1"]);
    runtime.welcome(&[untold, told]).await;
    let events = take(&mut gate, 2).await;
    assert_eq!(names(&events), ["fake v1.2.3", "+b"]);
}
