//! Who waits for what.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::StreamExt;

use super::fake::{Plugin, Runtime, about, next, pod, with_namespaces};
use crate::nri::service::MOST_WAITING;
use crate::nri::wire::protobuf::Writer;
use crate::nri::wire::ttrpc::Request;
use crate::nri::{Answer, GateEvent, QUEUE, Sandbox};

fn started(event: GateEvent) -> (Sandbox, Answer) {
    match event {
        GateEvent::Started(sandbox, answer) => (sandbox, answer),
        other => panic!("{other:?}"),
    }
}

async fn hear(plugin: &mut Plugin, answers: usize) {
    for _ in 0..answers {
        assert!(plugin.answer().await.1.is_ok());
    }
}

#[tokio::test]
async fn a_pod_starts_when_the_answer_is_given() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.welcome(&[]).await;
    assert!(matches!(next(&mut gate).await, GateEvent::Connected { .. }));

    let addresses = ["10.244.1.7", "fd00:10:244:1::7"];
    let run = about(&pod("web", &addresses));
    let waiting = plugin.begin("RunPodSandbox", &run).await;
    let (sandbox, answer) = started(next(&mut gate).await);
    assert_eq!(sandbox.id, "sandbox-web");
    assert_eq!(sandbox.uid, "uid-web");
    assert_eq!(sandbox.namespace, "shop");
    assert_eq!(sandbox.name, "web");
    assert_eq!(
        sandbox.addresses,
        addresses.map(|address| address.parse::<IpAddr>().expect("an address"))
    );
    assert!(answer.is_awaited());

    // Later questions are answered first.
    let other = plugin.begin("Shutdown", &[]).await;
    assert_eq!(plugin.answer().await, (other, Ok(Vec::new())));
    assert!(answer.is_awaited());
    answer.go();
    assert_eq!(plugin.answer().await, (waiting, Ok(Vec::new())));
}

#[tokio::test]
async fn an_answer_that_is_dropped_is_given() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.welcome(&[]).await;
    next(&mut gate).await;
    let run = about(&pod("web", &["10.244.1.7"]));
    let begin = Instant::now();
    let waiting = plugin.begin("RunPodSandbox", &run).await;
    drop(next(&mut gate).await);
    assert_eq!(plugin.answer().await, (waiting, Ok(Vec::new())));
    assert!(begin.elapsed() < Duration::from_millis(1500));
}

#[tokio::test]
async fn an_agent_that_is_silent_delays_a_pod_only_to_the_deadline_and_the_next_one_less() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.accept().await;
    plugin.register().await;
    plugin.configure(4000).await;
    plugin.synchronize(&[], false).await;
    let mut waited = Vec::new();
    for name in ["a", "b", "c"] {
        let begin = Instant::now();
        plugin
            .ask("RunPodSandbox", &about(&pod(name, &["10.244.1.7"])))
            .await;
        waited.push(begin.elapsed());
    }
    for (waited, deadline) in waited.iter().zip([3000, 1500, 750]) {
        let deadline = Duration::from_millis(deadline);
        assert!(*waited >= deadline, "{waited:?} of {deadline:?}");
        assert!(*waited < Duration::from_secs(4), "the plugin is dropped");
    }

    // It wakes up.
    next(&mut gate).await;
    for _ in 0..3 {
        let (_, answer) = started(next(&mut gate).await);
        assert!(!answer.is_awaited());
        answer.go();
    }
    let waiting = plugin
        .begin("RunPodSandbox", &about(&pod("d", &["10.244.1.7"])))
        .await;
    started(next(&mut gate).await).1.go();
    assert_eq!(plugin.answer().await, (waiting, Ok(Vec::new())));
    let begin = Instant::now();
    plugin
        .ask("RunPodSandbox", &about(&pod("e", &["10.244.1.7"])))
        .await;
    assert!(begin.elapsed() >= Duration::from_secs(3), "trusted again");
}

#[tokio::test]
async fn a_question_with_less_time_than_usual_is_answered_in_that_time() {
    let runtime = Runtime::started();
    let _gate = runtime.gate();
    let mut plugin = runtime.accept().await;
    plugin.register().await;
    plugin.configure(60_000).await;
    plugin.synchronize(&[], false).await;
    let run = about(&pod("web", &["10.244.1.7"]));
    let begin = Instant::now();
    let question = Request {
        service: crate::nri::wire::messages::PLUGIN_SERVICE,
        method: "RunPodSandbox",
        payload: &run,
        timeout: 400_000_000,
    };
    let waiting = plugin.question(&question).await;
    assert_eq!(plugin.answer().await, (waiting, Ok(Vec::new())));
    let waited = begin.elapsed();
    assert!((300..5000).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn pods_on_the_nodes_network_start_at_once() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.welcome(&[pod("here", &["10.244.1.1"])]).await;
    let on_the_node = with_namespaces(&pod("proxy", &[]), &["pid", "ipc"]);
    let begin = Instant::now();
    plugin.ask("RunPodSandbox", &about(&on_the_node)).await;
    assert!(begin.elapsed() < Duration::from_millis(1500));
    plugin.ask("StopPodSandbox", &about(&on_the_node)).await;
    let stopped = about(&pod("here", &["10.244.1.1"]));
    plugin.ask("StopPodSandbox", &stopped).await;
    next(&mut gate).await;
    let (sandbox, answer) = started(next(&mut gate).await);
    assert_eq!(sandbox.name, "here");
    assert!(!answer.is_awaited(), "it runs already");
    match next(&mut gate).await {
        GateEvent::Stopped(sandbox) => assert_eq!(sandbox.name, "here"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn older_runtimes_have_one_method_for_all() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.welcome(&[]).await;
    next(&mut gate).await;
    let web = pod("web", &["10.244.1.7"]);
    let change = |event| Writer::default().number(1, event).bytes(2, &web).finish();
    let waiting = plugin.begin("StateChange", &change(1)).await;
    let (sandbox, answer) = started(next(&mut gate).await);
    assert_eq!(sandbox.name, "web");
    assert!(answer.is_awaited());
    answer.go();
    assert_eq!(plugin.answer().await, (waiting, Ok(Vec::new())));
    plugin.ask("StateChange", &change(6)).await;
    plugin.ask("StateChange", &change(2)).await;
    assert!(matches!(next(&mut gate).await, GateEvent::Stopped(_)));
    plugin.ask("StateChange", &change(3)).await;
}

#[tokio::test]
async fn a_stop_that_tells_no_addresses_is_told_with_them() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.welcome(&[pod("web", &["10.244.1.7"])]).await;
    plugin
        .ask("RemovePodSandbox", &about(&pod("web", &[])))
        .await;
    next(&mut gate).await;
    next(&mut gate).await;
    match next(&mut gate).await {
        GateEvent::Stopped(sandbox) => assert_eq!(sandbox.addresses.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_very_many_pods_at_once_some_do_not_wait() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.welcome(&[]).await;
    next(&mut gate).await;
    let mut answers = Vec::new();
    for number in 0..MOST_WAITING + 10 {
        let name = format!("pod-{number}");
        let run = about(&pod(&name, &["10.244.1.7"]));
        plugin.begin("RunPodSandbox", &run).await;
        answers.push(started(next(&mut gate).await).1);
    }
    let awaited = answers.iter().filter(|answer| answer.is_awaited()).count();
    assert!(awaited <= MOST_WAITING, "{awaited}");
    hear(&mut plugin, 10).await;
    answers.into_iter().for_each(Answer::go);
    hear(&mut plugin, MOST_WAITING).await;
}

#[tokio::test]
async fn an_agent_that_is_far_behind_hears_all_of_it_anew() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.welcome(&[]).await;
    let stop = about(&pod("web", &["10.244.1.7"]));
    // The first event is the connection itself.
    for number in 1..QUEUE {
        plugin.begin("StopPodSandbox", &stop).await;
        if number % 64 == 0 {
            hear(&mut plugin, 64).await;
        }
    }
    hear(&mut plugin, (QUEUE - 1) % 64).await;
    plugin.begin("StopPodSandbox", &stop).await;
    assert!(plugin.closes().await, "it is given up");
    for _ in 0..QUEUE {
        next(&mut gate).await;
    }
    match next(&mut gate).await {
        GateEvent::Lost { why } => assert!(why.contains("behind"), "{why}"),
        other => panic!("{other:?}"),
    }
    runtime.welcome(&[]).await;
    assert!(matches!(next(&mut gate).await, GateEvent::Connected { .. }));
}

#[tokio::test]
async fn the_thread_ends_with_the_stream() {
    let runtime = Runtime::started();
    let mut gate = runtime.gate();
    let mut plugin = runtime.welcome(&[]).await;
    assert!(gate.next().await.is_some());
    drop(gate);
    assert!(plugin.closes().await);
}
