//! The loop's side, with a thread that the test plays.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use policy_compiler::decode;
use policy_compiler::model::Name;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::running::Occurrence as Next;
use super::worker::{Came, Look, Tell, Told};
use super::*;
use crate::conntrack::{Connection, ConntrackError, Order, Tuple, Which};

const WEB: &str = "10.0.1.1";
const DB: &str = "10.0.1.2";
const FAR: &str = "10.0.2.1";
const NODE: &str = "172.30.0.1";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().copied().map(ip).collect()
}

fn pod(name: &str, node: &str, address: &str) -> Event {
    let pod = decode::pod(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": node}, "status": {"phase": "Running", "podIPs": [{"ip": address}]}
    }));
    Event::Pod(pod.object.expect("valid"))
}

/// Only pods of these labels may talk to `db`.
fn policy(from: &[&str]) -> Event {
    let from: Vec<_> = from
        .iter()
        .map(|app| json!({"podSelector": {"matchLabels": {"app": app}}}))
        .collect();
    let policy = decode::policy(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": from}]}
    }));
    Event::Policy(policy.object.expect("valid"))
}

fn no_policy() -> Event {
    Event::PolicyDeleted("shop/db".parse().expect("a key"))
}

fn flow(source: &str, destination: &str) -> Connection {
    Connection::new(Tuple::new((ip(source), 40_000), (ip(destination), 80), 6))
}

fn cut(connection: Connection) -> Connection {
    let mut labels = [0; 16];
    labels[15] = 0x80;
    Connection {
        labels: Some(labels),
        ..connection
    }
}

struct Bench {
    compiler: Compiler,
    running: Running,
    orders: std_mpsc::Receiver<Tell>,
    told: mpsc::Sender<Told>,
    telemetry: Telemetry,
}

impl Bench {
    /// `web` and `db` on this node and `far` on another, nothing written yet.
    fn new() -> Self {
        let scope = NodeScope::Node(Name::parse("node-a").expect("a name"));
        let mut compiler = Compiler::new(scope.clone());
        for event in [
            pod("web", "node-a", WEB),
            pod("db", "node-a", DB),
            pod("far", "node-b", FAR),
        ] {
            compiler.apply(event);
        }
        let (worker, orders, told) = Worker::new();
        let telemetry = Telemetry::default();
        let running = Running::new(scope, worker, telemetry.clone());
        Self {
            compiler,
            running,
            orders,
            told,
            telemetry,
        }
    }

    /// After the first commit and the look that follows it, which found these.
    async fn begun(found: Vec<Connection>) -> Self {
        let mut bench = Self::new();
        bench.running.committing(Concerned::everybody());
        bench.running.committed();
        let _ = bench.compiler.take_whole();
        bench.due().await;
        let look = bench.look().expect("everything is looked at");
        assert_eq!(look.which, Which::All);
        assert_eq!(look.ends, Some(addresses(&[WEB, DB])));
        bench.pass(found).await;
        bench
    }

    fn commit(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.running.before(&event, &self.compiler);
            self.compiler.apply(event);
        }
        let transaction = self.compiler.take_transaction();
        let concerned = Concerned::of(&transaction, self.compiler.ruleset());
        self.running.committing(concerned);
        self.running.committed();
    }

    async fn turn(&mut self) -> bool {
        let Ok(next) = timeout(Duration::from_secs(60), self.running.next()).await else {
            return false;
        };
        self.running.take(next, &self.compiler, &mut FlowLog::off());
        true
    }

    /// Waits until it is time to look.
    async fn due(&mut self) {
        let next = timeout(Duration::from_secs(60), self.running.next()).await;
        let next = next.expect("something is due");
        assert!(matches!(next, Next::Due), "{next:?}");
        self.running.take(next, &self.compiler, &mut FlowLog::off());
    }

    fn look(&self) -> Option<Look> {
        match self.orders.try_recv() {
            Ok(Tell::Look(look)) => Some(look),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    }

    async fn say(&mut self, told: Told) {
        self.told.send(told).await.expect("the loop listens");
        assert!(self.turn().await);
    }

    /// What is ordered for these, all of which is done. The look goes on.
    async fn found(&mut self, found: Vec<Connection>) -> Vec<(Order, Connection)> {
        self.say(Told::Begun(addresses(&[NODE]))).await;
        self.say(Told::Found(found)).await;
        let Ok(Tell::Do(orders)) = self.orders.try_recv() else {
            panic!("nothing is ordered")
        };
        self.say(Told::Did(vec![Came::Done; orders.len()])).await;
        orders
    }

    async fn pass(&mut self, found: Vec<Connection>) -> Vec<(Order, Connection)> {
        let orders = self.found(found).await;
        self.say(Told::Ended(Ok(()))).await;
        orders
    }

    fn has(&self, line: &str) {
        let text = self.telemetry.render();
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_is_cut_and_what_is_not_goes_on() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["web"])]);
    bench.due().await;
    let look = bench.look().expect("db is concerned");
    assert_eq!(look.which, Which::Of(addresses(&[DB])));
    // A Service leads there.
    let by_service = flow(FAR, "10.96.0.1").redirected(ip(DB), 80);
    let closed = Connection {
        is_over: true,
        ..flow("192.0.2.1", DB)
    };
    let found = vec![
        flow(WEB, DB),
        flow(FAR, DB),
        closed,
        by_service,
        flow(NODE, DB),
        flow(DB, FAR),
        flow(DB, DB),
    ];
    let orders = bench.pass(found).await;
    let expected = [flow(FAR, DB), closed, by_service].map(|flow| (Order::Cut, flow));
    assert_eq!(orders, expected);
    bench.has("netpol_connections_cut_total 2");
    bench.has("netpol_connections_examined_total 7");
    assert!(!bench.turn().await, "nothing is left to do");
}

#[tokio::test(start_paused = true)]
async fn who_is_allowed_again_goes_on() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["web"])]);
    bench.due().await;
    drop(bench.look());
    bench.pass(vec![flow(FAR, DB)]).await;
    bench.commit([policy(&["web", "far"])]);
    bench.due().await;
    assert!(bench.look().is_some());
    let found = vec![cut(flow(FAR, DB)), flow(WEB, DB)];
    let orders = bench.pass(found).await;
    assert_eq!(orders, [(Order::Restore, cut(flow(FAR, DB)))]);
    bench.has("netpol_connections_restored_total 1");
}

/// The earlier agent had cut it; policies changed while there was none.
#[tokio::test(start_paused = true)]
async fn what_was_cut_before_the_start_is_looked_at() {
    let mut bench = Bench::new();
    bench.compiler.apply(policy(&["web"]));
    bench.running.committing(Concerned::everybody());
    bench.running.committed();
    drop(bench.compiler.take_whole());
    bench.due().await;
    drop(bench.look());
    let found = vec![
        cut(flow(WEB, DB)),
        cut(flow(FAR, DB)),
        cut(flow(FAR, "10.0.1.9")),
    ];
    let orders = bench.pass(found).await;
    let expected = [
        (Order::Restore, cut(flow(WEB, DB))),
        (Order::Delete, cut(flow(FAR, "10.0.1.9"))),
    ];
    assert_eq!(orders, expected);
    // It is known that one is cut: to allow it is to look.
    bench.commit([no_policy()]);
    bench.due().await;
    let look = bench.look().expect("one is cut");
    assert_eq!(look.which, Which::Of(addresses(&[DB])));
    assert_eq!(bench.pass(vec![cut(flow(FAR, DB))]).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn to_allow_more_costs_nothing_where_nothing_is_cut() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["nobody"])]);
    bench.due().await;
    drop(bench.look());
    bench.pass(vec![flow("192.0.2.1", DB)]).await;
    // Somebody else is allowed now.
    bench.commit([no_policy()]);
    bench.due().await;
    assert!(bench.look().is_some());
    bench.pass(vec![cut(flow("192.0.2.1", DB))]).await;
    bench.commit([policy(&["web"]), no_policy()]);
    assert!(!bench.turn().await);
    bench.commit([policy(&["web"])]);
    bench.due().await;
    drop(bench.look());
    bench.pass(vec![]).await;
    bench.commit([no_policy()]);
    bench.due().await;
    assert_eq!(bench.look(), None, "nothing is cut");
}

#[tokio::test(start_paused = true)]
async fn an_address_is_not_inherited() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([Event::PodDeleted("shop/web".parse().expect("a key"))]);
    bench.due().await;
    let look = bench.look().expect("web is gone");
    assert_eq!(look.which, Which::Of(addresses(&[WEB])));
    let orders = bench.found(vec![flow(WEB, DB), flow(FAR, WEB)]).await;
    let expected = [flow(WEB, DB), flow(FAR, WEB)].map(|flow| (Order::Delete, flow));
    assert_eq!(orders, expected);
    bench.say(Told::Ended(Ok(()))).await;
    bench.has("netpol_connections_forgotten_total 2");
    bench.has("netpol_connections_cut_total 0");
    // Another has the address by the time it is looked at: what it may have, it keeps.
    bench.commit([Event::PodDeleted("shop/db".parse().expect("a key"))]);
    bench.commit([pod("new", "node-a", DB), policy(&["web"])]);
    bench.due().await;
    assert!(bench.look().is_some());
    assert_eq!(bench.pass(vec![flow(FAR, DB)]).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_look_is_followed_by_another() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["web", "far"])]);
    bench.due().await;
    drop(bench.look());
    assert_eq!(bench.found(vec![flow(FAR, DB)]).await, []);
    bench.commit([policy(&["web"])]);
    assert_eq!(bench.look(), None, "one at a time");
    bench.say(Told::Ended(Ok(()))).await;
    bench.due().await;
    assert!(bench.look().is_some());
    assert_eq!(bench.pass(vec![flow(FAR, DB)]).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_later_and_later() {
    let mut bench = Bench::begun(vec![]).await;
    bench.commit([policy(&["nobody"])]);
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let before = Instant::now();
        bench.due().await;
        pauses.push(before.elapsed().as_millis());
        assert!(bench.look().is_some());
        bench
            .say(Told::Ended(Err(ConntrackError::NotPermitted)))
            .await;
    }
    assert!(
        pauses[0] < 20 && (95..120).contains(&pauses[1]),
        "{pauses:?}"
    );
    assert!((195..220).contains(&pauses[2]) && (395..420).contains(&pauses[3]));
    bench.has("netpol_revocation_failures_total 4");
    bench.due().await;
    assert!(bench.look().is_some());
    assert_eq!(bench.pass(vec![flow(FAR, DB)]).await.len(), 1);
    assert!(!bench.turn().await);
}
