//! Runtimes that say what they should not.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fake::{Plugin, Runtime, SOON, about, next, pod};
use crate::nri::connection::serve;
use crate::nri::error::Broken;
use crate::nri::known::Known;
use crate::nri::report::Report;
use crate::nri::wire::messages::PLUGIN_SERVICE;
use crate::nri::wire::multiplex::{self, PLUGIN};
use crate::nri::wire::ttrpc::Request;
use crate::nri::{GateEvent, QUEUE};

const UNIMPLEMENTED: i64 = 12;

#[tokio::test]
async fn methods_of_later_versions_are_not_implemented() {
    let runtime = Runtime::started();
    let _gate = runtime.gate();
    let mut plugin = runtime.welcome(&[]).await;
    for method in ["CreateContainer", "", "runpodsandbox"] {
        let asked = plugin.begin(method, b"\xff").await;
        assert_eq!(plugin.answer().await, (asked, Err(UNIMPLEMENTED)));
    }
    let request = Request {
        service: "nri.pkg.api.v2.Plugin",
        method: "RunPodSandbox",
        payload: &[],
        timeout: 0,
    };
    let asked = plugin.question(&request).await;
    assert_eq!(plugin.answer().await, (asked, Err(UNIMPLEMENTED)));
}

#[tokio::test]
async fn other_connections_and_kinds_of_messages_are_ignored() {
    let runtime = Runtime::started();
    let _gate = runtime.gate();
    let mut plugin = runtime.welcome(&[]).await;
    plugin.raw(&multiplex::frame(9, b"whatever")).await;
    // A piece of a stream, an answer nobody asked for, and something of no known kind.
    for kind in [3, 2, 0] {
        let message = [0, 0, 0, 0, 0, 0, 0, 99, kind, 0xff];
        plugin.raw(&multiplex::frame(PLUGIN, &message)).await;
    }
    plugin.ask("Shutdown", &[]).await;
}

#[tokio::test]
async fn a_question_may_come_byte_by_byte() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.welcome(&[]).await;
    next(&mut gate).await;
    let run = about(&pod("web", &["10.244.1.7"]));
    let request = Request {
        service: PLUGIN_SERVICE,
        method: "RunPodSandbox",
        payload: &run,
        timeout: 0,
    };
    // Each byte in a frame of its own, and each of those in pieces.
    for byte in request.message(99) {
        for piece in multiplex::frame(PLUGIN, &[byte]).chunks(5) {
            plugin.raw(piece).await;
        }
    }
    match next(&mut gate).await {
        GateEvent::Started(sandbox, answer) => {
            assert_eq!(sandbox.name, "web");
            answer.go();
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(plugin.answer().await, (99, Ok(Vec::new())));
}

/// What is sent, and what must be in the words about it.
async fn ends(send: impl AsyncFnOnce(&mut Plugin), words: &str) {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.welcome(&[]).await;
    next(&mut gate).await;
    send(&mut plugin).await;
    match next(&mut gate).await {
        GateEvent::Lost { why } => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(plugin.closes().await);
    runtime.welcome(&[]).await;
    assert!(matches!(next(&mut gate).await, GateEvent::Connected { .. }));
}

#[tokio::test]
async fn what_makes_no_sense_ends_the_connection_and_the_next_one_is_fine() {
    ends(
        async |plugin| plugin.raw(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).await,
        "a frame of 4294967295 bytes",
    )
    .await;
    let message = [0x7f, 0, 0, 0, 0, 0, 0, 3, 1, 0];
    ends(
        async |plugin| plugin.raw(&multiplex::frame(PLUGIN, &message)).await,
        "a message of 2130706432 bytes",
    )
    .await;
    // A refusal would keep the pod from starting.
    ends(
        async |plugin| {
            plugin.begin("RunPodSandbox", &[0x0a, 9, 1]).await;
        },
        "ends within a field",
    )
    .await;
    ends(
        async |plugin| {
            plugin.begin("Configure", &[0x12, 1, 0xff]).await;
        },
        "not UTF-8",
    )
    .await;
}

#[tokio::test]
async fn random_bytes_neither_stop_nor_kill_it() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut state = now.map_or(1, |now| now.subsec_nanos()) | 1;
    println!("seed {state}");
    let (events, _receiver) = mpsc::channel(QUEUE);
    let mut report = Report::new(events);
    let mut known = Known::default();
    for _ in 0..500 {
        let bytes: Vec<u8> = (0..400)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state.to_le_bytes()[0]
            })
            .collect();
        // Half of them in a frame that is right.
        let bytes = if state & 0x100 == 0 {
            multiplex::frame(PLUGIN, &bytes)
        } else {
            bytes
        };
        let (here, mut there) = tokio::io::duplex(1 << 20);
        there.write_all(&bytes).await.expect("room");
        there.shutdown().await.expect("an end");
        let end = timeout(SOON, serve(here, &mut known, &mut report)).await;
        let end = end.expect("an end");
        assert!(matches!(end, Broken::Wire(_) | Broken::Closed), "{end}");
    }
}
