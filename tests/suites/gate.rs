//! The gate at a pod's start against a real containerd, with a real kubelet that runs pods from a folder.
//!
//! Needs root, the Go toolchain (everything is built from its modules the first time), and runc.

use std::fmt::Display;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use netpol_agent::nri::{Answer, GateEvent, GateSettings, Sandbox, gate};
use netpol_tests::kubernetes::{AGNHOST, Cni, LoneNode, wait_for};
use netpol_tests::lab::{NODES, privileged};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(180);

/// Longer than containerd takes from an answer to the first container, and shorter than the deadline.
const WATCHED: Duration = Duration::from_secs(1);

/// The gate, taken from outside of its runtime.
struct Gate<S> {
    runtime: Runtime,
    events: S,
    stopped: Vec<String>,
}

impl<S: Stream<Item = GateEvent> + Unpin> Gate<S> {
    /// The next event, but for the second stop of a sandbox: that is its removal, and the kubelet takes its time.
    fn next(&mut self) -> GateEvent {
        loop {
            let next = async { timeout(SOON, self.events.next()).await };
            let next = self.runtime.block_on(next);
            let next = next.expect("containerd tells something").expect("no end");
            match &next {
                GateEvent::Stopped(sandbox) if self.stopped.contains(&sandbox.id) => {}
                GateEvent::Stopped(sandbox) => {
                    self.stopped.push(sandbox.id.clone());
                    return next;
                }
                _ => return next,
            }
        }
    }

    fn started(&mut self) -> (Sandbox, Answer) {
        match self.next() {
            GateEvent::Started(sandbox, answer) => (sandbox, answer),
            other => panic!("{other:?}"),
        }
    }

    fn connected(&mut self) {
        match self.next() {
            GateEvent::Connected { runtime, version } => {
                assert_eq!(runtime, "containerd");
                println!("{runtime} {version}");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn pod(init_containers: usize, on_the_node: bool) -> Value {
    let container = |name: &str, does: &str| {
        json!({
            "name": name, "image": AGNHOST, "imagePullPolicy": "Never", "args": [does],
        })
    };
    let init: Vec<Value> = (0..init_containers)
        .map(|number| container(&format!("init-{number}"), "help"))
        .collect();
    json!({
        "hostNetwork": on_the_node,
        "terminationGracePeriodSeconds": 0,
        "initContainers": init,
        "containers": [container("app", "pause")],
    })
}

fn done<T, E: Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn wait_for_containers(node: &LoneNode, pod: &str, count: usize) -> Duration {
    let begin = Instant::now();
    let what = format!("{count} containers of {pod}");
    done(wait_for(&what, SOON, || match node.containers(pod) {
        Ok(containers) if containers.len() == count => Ok(()),
        other => Err(format!("{other:?}")),
    }));
    begin.elapsed()
}

/// Looks for containers while the answer is awaited, which is not for ever: a look that ends later tells nothing.
fn has_no_container_before(node: &LoneNode, pod: &str, answer: &Answer) {
    let (begin, mut looks) = (Instant::now(), 0);
    while begin.elapsed() < WATCHED {
        let found = done(node.containers(pod));
        if !answer.is_awaited() {
            break;
        }
        assert_eq!(found, Vec::<String>::new());
        looks += 1;
    }
    assert!(looks > 0, "there was no time to look");
}

#[test]
fn containers_start_when_the_answer_is_given() {
    if !privileged("gate suite") {
        return;
    }
    let mut node = done(LoneNode::start(Cni::Ptp));
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = done({ runtime }.enable_all().build());
    let socket = node.nri();
    let events = gate(GateSettings { socket });
    let mut gate = Gate {
        runtime,
        events,
        stopped: Vec::new(),
    };
    gate.connected();

    // Neither an init container nor another one is made before the answer.
    let name = done(node.run_pod("first", &pod(1, false)));
    let (first, answer) = gate.started();
    assert_eq!(first.name, name);
    assert_eq!(first.namespace, "shop");
    assert!(!first.uid.is_empty() && !first.id.is_empty());
    let ranges = NODES[0].pod_ranges();
    let [v4, v6] = first.addresses.as_slice() else {
        panic!("{first:?}");
    };
    assert!(
        ranges[0].contains(v4) && ranges[1].contains(v6),
        "{first:?}"
    );
    has_no_container_before(&node, &name, &answer);
    answer.go();
    let took = wait_for_containers(&node, &name, 2);
    println!("both containers {took:?} after the answer");

    // Pods on the node's network are nobody's business.
    let on_the_node = done(node.run_pod("on-the-node", &pod(0, true)));
    wait_for_containers(&node, &on_the_node, 1);

    // An agent that does not answer delays a pod until its own deadline.
    let name = done(node.run_pod("second", &pod(0, false)));
    let (second, answer) = gate.started();
    let begin = Instant::now();
    assert_eq!(second.name, name);
    // In time for containerd: had it dropped its plugin, the next event would be of that.
    while answer.is_awaited() {
        assert!(begin.elapsed() < SOON, "the deadline does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("the deadline came after {:?}", begin.elapsed());
    wait_for_containers(&node, &name, 1);

    // So does one that does not even listen, and it still is containerd's plugin.
    let name = done(node.run_pod("third", &pod(0, false)));
    wait_for_containers(&node, &name, 1);
    let (third, answer) = gate.started();
    assert_eq!(third.name, name);
    assert!(!answer.is_awaited());

    done(node.remove_pod("third"));
    match gate.next() {
        GateEvent::Stopped(sandbox) => assert_eq!(sandbox, third),
        other => panic!("{other:?}"),
    }
    // Its network is taken away after that.
    let networks = node.node().file("/run/netns");
    done(wait_for("two networks", SOON, || {
        let count = std::fs::read_dir(&networks).map(Iterator::count);
        (count.as_ref().ok() == Some(&2))
            .then_some(())
            .ok_or_else(|| format!("{count:?}"))
    }));

    // containerd is started again: what runs is told, not what was stopped, and new pods wait as before.
    done(node.restart_containerd());
    assert!(matches!(gate.next(), GateEvent::Lost { .. }));
    gate.connected();
    let mut running = [gate.started(), gate.started()];
    running.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    for ((sandbox, answer), expected) in running.into_iter().zip([first, second]) {
        assert_eq!(sandbox, expected);
        assert!(!answer.is_awaited());
    }
    let name = done(node.run_pod("fourth", &pod(0, false)));
    let (fourth, answer) = gate.started();
    assert_eq!(fourth.name, name);
    has_no_container_before(&node, &name, &answer);
    answer.go();
    wait_for_containers(&node, &name, 1);
}
