//! Pods that wait for their rules.

mod late;
mod stances;

use futures::StreamExt;
use policy_compiler::compile::PodPlaces;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::nri::{Answer, GateEvent, Sandbox};
use crate::pod_start::{Mode, Ranges};

/// The loop, with a runtime that says what it is told to.
struct Starts {
    bench: Bench,
    gate: UnboundedSender<GateEvent>,
    ranges: UnboundedSender<Ranges>,
}

/// Whether a pod was let start.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Waits,
    Started,
    GivenUp,
}

fn seen(answer: &mut Receiver<()>) -> Seen {
    match answer.try_recv() {
        Ok(()) => Seen::Started,
        Err(TryRecvError::Empty) => Seen::Waits,
        Err(TryRecvError::Closed) => Seen::GivenUp,
    }
}

fn sandbox(name: &str, address: &str) -> Sandbox {
    Sandbox {
        id: format!("sandbox-{name}-{address}"),
        uid: format!("uid-{name}"),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        addresses: vec![address.parse().expect("an address")],
    }
}

fn known() -> Ranges {
    Ranges::Known(PodPlaces {
        networks: ["10.244.1.0/24".parse().expect("a network")].into(),
        ..PodPlaces::default()
    })
}

impl Starts {
    fn new(mode: Mode) -> Self {
        let (gate, events) = mpsc::unbounded();
        let (ranges, told) = mpsc::unbounded();
        let scope = NodeScope::Node(Name::parse("node-a").expect("valid"));
        let bench = Bench::with(|telemetry| {
            PodStart::new(&scope, mode, Some(events.boxed()), told, telemetry.clone())
        });
        Self {
            bench,
            gate,
            ranges,
        }
    }

    fn tell(&self, event: GateEvent) {
        self.gate.unbounded_send(event).expect("the loop listens");
    }

    fn connect(&self) {
        self.tell(GateEvent::Connected {
            runtime: "containerd".to_owned(),
            version: "2.3".to_owned(),
        });
    }

    fn say_where(&self, ranges: Ranges) {
        self.ranges
            .unbounded_send(ranges)
            .expect("the loop listens");
    }

    fn start(&self, name: &str, address: &str) -> Receiver<()> {
        let (answer, receiver) = Answer::awaited();
        self.tell(GateEvent::Started(sandbox(name, address), answer));
        receiver
    }

    fn object(&self, name: &str, address: Option<&str>) {
        let ips: Vec<_> = address.map(|ip| json!({"ip": ip})).into_iter().collect();
        let pod = decode::pod(&json!({
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
            "spec": {"nodeName": "node-a"}, "status": {"podIPs": ips}
        }));
        let event = Event::Pod(pod.object.expect("valid"));
        self.bench.say(Update::Change(event));
    }

    /// Everything is known, and in the kernel.
    async fn ready(mode: Mode) -> Self {
        let starts = Self::new(mode);
        starts.connect();
        starts.say_where(known());
        starts.bench.add_all();
        pass(60).await;
        assert_eq!(starts.bench.dataplane.committed().len(), 1);
        starts
    }

    fn last(&self) -> String {
        self.bench.dataplane.committed().pop().expect("a commit")
    }

    /// The value of a metric.
    fn metric(&self, name: &str) -> String {
        let text = self.bench.telemetry.render();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {name} in:\n{text}"))
            .to_owned()
    }

    /// Pods that started in time, that did not, and gaps that were measured.
    fn counts(&self) -> [String; 3] {
        [
            "netpol_pod_starts_total{result=\"programmed\"}",
            "netpol_pod_starts_total{result=\"late\"}",
            "netpol_pod_start_gap_seconds_count",
        ]
        .map(|name| self.metric(name))
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_starts_when_its_rules_are_in_the_kernel() {
    run(async {
        let starts = Starts::ready(Mode::Auto).await;
        // Whoever comes first: the object or the sandbox.
        let mut early = starts.start("early", "10.244.1.3");
        pass(1_000).await;
        assert_eq!(seen(&mut early), Seen::Waits, "without its labels");
        starts.object("early", None);
        pass(60).await;
        assert_eq!(seen(&mut early), Seen::Started);
        assert!(starts.last().contains("10.244.1.3"), "{}", starts.last());
        starts.object("late", None);
        pass(60).await;
        let mut late = starts.start("late", "10.244.1.4");
        pass(60).await;
        assert_eq!(seen(&mut late), Seen::Started);
        assert!(starts.last().contains("10.244.1.4"), "{}", starts.last());
        // The API server says the same later, and nothing is written.
        let commits = starts.bench.attempts();
        starts.object("early", Some("10.244.1.3"));
        starts.object("late", Some("10.244.1.4"));
        pass(60).await;
        assert_eq!(starts.bench.attempts(), commits);
        assert_eq!(starts.counts(), ["2", "0", "2"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_needs_no_commit_starts_at_once() {
    run(async {
        let starts = Starts::ready(Mode::Auto).await;
        starts.object("web2", Some("10.244.1.3"));
        pass(60).await;
        let commits = starts.bench.attempts();
        let mut answer = starts.start("web2", "10.244.1.3");
        pass(10).await;
        assert_eq!(seen(&mut answer), Seen::Started);
        assert_eq!(starts.bench.attempts(), commits);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_kernel_refuses_keeps_a_pod_waiting() {
    run(async {
        let starts = Starts::ready(Mode::Auto).await;
        starts.bench.dataplane.fail_next("no");
        starts.bench.dataplane.fail_next("no again");
        starts.object("db", None);
        let mut answer = starts.start("db", "10.244.1.3");
        pass(60).await;
        assert_eq!(starts.bench.dataplane.committed().len(), 1);
        assert_eq!(seen(&mut answer), Seen::Waits);
        pass(2_000).await;
        assert_eq!(seen(&mut answer), Seen::Started);
        assert!(starts.last().contains("10.244.1.3"), "{}", starts.last());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_starts_before_everything_is_known() {
    run(async {
        let starts = Starts::new(Mode::Auto);
        starts.connect();
        starts.say_where(known());
        starts.object("db", None);
        let mut answer = starts.start("db", "10.244.1.3");
        pass(1_000).await;
        assert_eq!(seen(&mut answer), Seen::Waits);
        starts.bench.add_all();
        pass(60).await;
        assert_eq!(seen(&mut answer), Seen::Started);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_sandbox_takes_its_address_away_at_once() {
    run(async {
        let starts = Starts::ready(Mode::Auto).await;
        starts.object("db", None);
        let mut answer = starts.start("db", "10.244.1.3");
        starts.object("db", Some("10.244.1.3"));
        pass(60).await;
        assert_eq!(seen(&mut answer), Seen::Started);
        starts.tell(GateEvent::Stopped(sandbox("db", "10.244.1.3")));
        pass(60).await;
        let last = starts.last();
        let gone = "delete element inet netpol programmed4 { 10.244.1.3 }";
        assert!(last.contains(gone), "{last}");
        // One that waits is waited with no longer.
        let mut answer = starts.start("other", "10.244.1.4");
        starts.tell(GateEvent::Stopped(sandbox("other", "10.244.1.4")));
        pass(60).await;
        assert_eq!(seen(&mut answer), Seen::GivenUp);
    })
    .await;
}
