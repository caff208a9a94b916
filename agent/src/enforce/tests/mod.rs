//! The loop with a dataplane that only remembers, on a clock that stands until everybody waits.

mod comparing;
mod faults;
mod metrics;
mod starts;
mod the_kernels_table;

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use futures::channel::mpsc::{self, UnboundedSender};
use policy_compiler::decode;
use policy_compiler::index::Event;
use policy_compiler::model::Name;
use policy_compiler::ruleset::{Operation, Ruleset, Transaction};
use serde_json::json;
use tokio::task::{LocalSet, spawn_local};

use super::*;
use crate::dataplane::{Foreign, Found, Memory, NetlinkError, Part};

fn enforcement(scope: NodeScope, telemetry: &Telemetry) -> Enforcement {
    Enforcement {
        scope,
        timing: Timing::default(),
        inspection: FREQUENT_INSPECTION,
        telemetry: telemetry.clone(),
        flow_log: FlowLog::off(),
        protection: Protection::default(),
        uplinks: Uplinks::off(),
        port_guard: PortGuard::off(),
        pod_start: PodStart::off(),
        revocation: Revocation::off(),
    }
}

/// A loop under test, and the ends it is driven by.
struct Bench {
    updates: UnboundedSender<Update>,
    disturbances: UnboundedSender<Disturbance>,
    dataplane: Memory,
    telemetry: Telemetry,
}

impl Bench {
    /// Starts the loop beside the test.
    fn start() -> Self {
        Self::with(|_| PodStart::off())
    }

    /// The same, with pods that start like this.
    fn with(pod_start: impl FnOnce(&Telemetry) -> PodStart) -> Self {
        let (updates, source) = mpsc::unbounded();
        let (disturbances, disturbed) = mpsc::unbounded();
        let (dataplane, telemetry) = (Memory::default(), Telemetry::default());
        let scope = NodeScope::Node(Name::parse("node-a").expect("valid"));
        let work = enforce(
            source,
            dataplane.clone(),
            disturbed,
            Enforcement {
                pod_start: pod_start(&telemetry),
                ..enforcement(scope, &telemetry)
            },
            pending::<()>(),
        );
        spawn_local(work);
        Self {
            updates,
            disturbances,
            dataplane,
            telemetry,
        }
    }

    fn say(&self, update: Update) {
        self.updates
            .unbounded_send(update)
            .expect("the loop listens");
    }

    fn delete_pod(&self, key: &str) {
        let key = key.parse().expect("namespace/name");
        self.say(Update::Change(Event::PodDeleted(key)));
    }

    /// The table is found to want this repair when it is read next.
    fn find_differing(&self, repair: Vec<Operation>, difference: &str) {
        self.dataplane.find_next(Found::Differs {
            repair: Transaction::new(repair),
            differences: vec![difference.to_owned()],
        });
    }

    /// An isolated pod of the node.
    fn add_pod(&self, name: &str, address: &str) {
        let pod = decode::pod(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"nodeName": "node-a"}, "status": {"phase": "Running", "podIPs": [{"ip": address}]}
        }));
        self.say(Update::Change(Event::Pod(pod.object.expect("valid"))));
    }

    fn add_policy(&self) {
        let policy = decode::policy(&json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "deny", "namespace": "shop"}, "spec": {"podSelector": {}}
        }));
        self.say(Update::Change(Event::Policy(policy.object.expect("valid"))));
    }

    /// A policy, a pod that it isolates, and that that is all.
    fn add_all(&self) {
        self.add_policy();
        self.add_pod("web", "10.244.1.2");
        self.say(Update::Synced);
    }

    fn attempts(&self) -> usize {
        self.dataplane.attempts().len()
    }
}

/// Lets time pass, all that is due in it included.
async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

fn run(test: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
    let test: Pin<Box<dyn Future<Output = ()>>> = Box::pin(test);
    async move { LocalSet::new().run_until(test).await }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_everything_is_known() {
    run(async {
        let bench = Bench::start();
        bench.add_policy();
        bench.add_pod("web", "10.244.1.2");
        pass(3_600_000).await;
        assert_eq!(bench.attempts(), 0);
        assert!(bench.telemetry.readiness().is_err());
        bench.say(Update::Synced);
        pass(60).await;
        assert_eq!(bench.attempts(), 1);
        assert!(bench.telemetry.readiness().is_ok());
        assert!(
            bench.dataplane.committed()[0]
                .starts_with("add table inet netpol\ndelete table inet netpol\n")
        );
        assert!(bench.dataplane.committed()[0].contains("10.244.1.2"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_changes_are_one_transaction() {
    run(async {
        let bench = Bench::start();
        bench.add_all();
        pass(60).await;
        for i in 0..40 {
            bench.add_pod(&format!("p{i}"), &format!("10.244.1.{}", i + 10));
            pass(1).await;
        }
        pass(60).await;
        // 40 ms of changes, none more than 5 ms after the one before: the first at once, the others in one transaction, and
        // only of what changed.
        assert_eq!(bench.attempts(), 3);
        let change = bench.dataplane.committed()[2].clone();
        assert!(
            change.contains("10.244.1.49") && !change.contains("delete table"),
            "{change}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn changes_without_end_are_written_all_the_same() {
    run(async {
        let bench = Bench::start();
        bench.add_all();
        pass(60).await;
        for i in 0..200 {
            bench.add_pod("web", &format!("10.244.1.{}", i % 250 + 1));
            pass(1).await;
        }
        // 200 ms of changes: the first at once, then every 50 ms.
        assert!(
            (4..=6).contains(&(bench.attempts() - 1)),
            "{}",
            bench.attempts()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_changes_no_rule_writes_nothing() {
    run(async {
        let bench = Bench::start();
        bench.add_all();
        pass(60).await;
        bench.add_pod("web", "10.244.1.2");
        bench.delete_pod("x/y");
        pass(60_000).await;
        assert_eq!(bench.attempts(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_whole_table_is_written_anew() {
    run(async {
        let bench = Bench::start();
        bench.add_all();
        pass(60).await;
        bench.dataplane.fail_next("no such chain");
        bench.dataplane.fail_next("still no such chain");
        bench.dataplane.fail_next("still no such chain");
        bench.add_pod("db", "10.244.1.3");
        pass(60).await;
        // The change failed, and so did the whole table at once thereafter.
        assert_eq!(
            (bench.attempts(), bench.dataplane.committed().len()),
            (3, 1)
        );
        let reason = bench
            .telemetry
            .readiness()
            .expect_err("not up to date")
            .to_string();
        assert!(
            reason.contains("no such chain") && reason.contains("stay in force"),
            "{reason}"
        );
        // The pauses are one second and two.
        pass(1_000).await;
        assert_eq!(bench.attempts(), 4);
        pass(1_900).await;
        assert_eq!(bench.attempts(), 4);
        pass(200).await;
        assert_eq!(
            (bench.attempts(), bench.dataplane.committed().len()),
            (5, 2)
        );
        let whole = bench.dataplane.committed()[1].clone();
        assert!(whole.contains("delete table inet netpol\n"), "{whole}");
        assert!(
            whole.contains("10.244.1.2") && whole.contains("10.244.1.3"),
            "{whole}"
        );
        assert!(bench.telemetry.readiness().is_ok());
        // Then changes go one by one again.
        bench.add_pod("api", "10.244.1.4");
        pass(60).await;
        let change = bench.dataplane.committed()[2].clone();
        assert!(
            change.contains("10.244.1.4") && !change.contains("delete table"),
            "{change}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_loop_shows_that_it_is_alive() {
    run(async {
        let bench = Bench::start();
        pass(100_000).await;
        assert!(bench.telemetry.is_alive());
    })
    .await;
}

/// A mistyped node name would take the rules of the node's pods away.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_pods_run_only_elsewhere() {
    run(async {
        let bench = Bench::start();
        bench.add_policy();
        let elsewhere = decode::pod(&json!({
            "metadata": {"name": "far", "namespace": "shop"}, "spec": {"nodeName": "node-b"}
        }));
        bench.say(Update::Change(Event::Pod(elsewhere.object.expect("valid"))));
        bench.say(Update::Synced);
        pass(60_000).await;
        assert_eq!(bench.attempts(), 0);
        let reason = bench
            .telemetry
            .readiness()
            .expect_err("not ready")
            .to_string();
        assert!(
            reason.contains("none runs on node-a; is that its name? Another is node-b"),
            "{reason}"
        );
        bench.add_pod("web", "10.244.1.2");
        pass(60).await;
        assert_eq!(bench.attempts(), 1);
        assert!(bench.telemetry.readiness().is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_source() {
    let ended = enforce(
        futures::stream::empty(),
        Memory::default(),
        futures::stream::pending(),
        enforcement(NodeScope::AllNodes, &Telemetry::default()),
        pending::<()>(),
    )
    .await;
    assert!(matches!(ended, Err(SourceEnded)));
}

#[tokio::test(start_paused = true)]
async fn updates_are_taken_in_while_a_transaction_is_on_its_way() {
    /// Takes its time.
    struct Slow(Memory);

    impl Dataplane for Slow {
        async fn commit(&mut self, transaction: &Transaction) -> Result<(), NetlinkError> {
            pass(10_000).await;
            self.0.commit(transaction).await
        }

        async fn has_table(&mut self) -> Result<bool, NetlinkError> {
            self.0.has_table().await
        }

        async fn read(&mut self, wanted: Arc<Ruleset>) -> Result<Found, NetlinkError> {
            self.0.read(wanted).await
        }

        async fn is_as_left(&mut self) -> Result<bool, NetlinkError> {
            self.0.is_as_left().await
        }
    }

    run(async {
        let (updates, source) = mpsc::unbounded();
        let (disturbances, disturbed) = mpsc::unbounded();
        let memory = Memory::default();
        let telemetry = Telemetry::default();
        let dataplane = Slow(memory.clone());
        let work = enforce(
            source,
            dataplane,
            disturbed,
            enforcement(NodeScope::AllNodes, &telemetry),
            pending::<()>(),
        );
        spawn_local(work);
        let bench = Bench {
            updates,
            disturbances,
            dataplane: memory,
            telemetry,
        };
        bench.add_all();
        pass(5_000).await;
        bench.add_pod("db", "10.244.1.3");
        bench.add_pod("api", "10.244.1.4");
        pass(1).await;
        assert_eq!(bench.attempts(), 0);
        pass(20_000).await;
        assert_eq!(bench.attempts(), 2);
        // What others do meanwhile may have come before or after: all is written once more.
        bench.add_pod("web", "10.244.1.5");
        pass(1_000).await;
        let foreign = Foreign::of(Part::Chain, false);
        let sent = bench
            .disturbances
            .unbounded_send(Disturbance::Foreign(foreign));
        sent.expect("the loop listens");
        pass(60_000).await;
        assert_eq!(bench.attempts(), 4);
        assert!(bench.dataplane.committed()[3].contains("delete table"));
        let change = bench.dataplane.committed()[1].clone();
        assert!(
            change.contains("10.244.1.3") && change.contains("10.244.1.4"),
            "{change}"
        );
    })
    .await;
}
