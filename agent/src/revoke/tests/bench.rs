//! The loop's side on a bench: its thread is played by the test.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use policy_compiler::decode;
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::{Name, NodeScope};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::concerned::Concerned;
use super::super::running::{Occurrence, Running};
use super::super::worker::{Came, Look, Tell, Told, Worker};
use crate::conntrack::{Connection, Order, Tuple, Which};
use crate::flow_log::FlowLog;
use crate::telemetry::Telemetry;

pub(super) const WEB: &str = "10.0.1.1";
pub(super) const DB: &str = "10.0.1.2";
pub(super) const FAR: &str = "10.0.2.1";
pub(super) const NODE: &str = "172.30.0.1";

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(super) fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().copied().map(ip).collect()
}

pub(super) fn pod(name: &str, node: &str, address: &str) -> Event {
    let pod = decode::pod(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": node}, "status": {"phase": "Running", "podIPs": [{"ip": address}]}
    }));
    Event::Pod(pod.object.expect("valid"))
}

/// Only pods of these labels may talk to `db`.
pub(super) fn policy(from: &[&str]) -> Event {
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

pub(super) fn no_policy() -> Event {
    Event::PolicyDeleted("shop/db".parse().expect("a key"))
}

pub(super) fn flow(source: &str, destination: &str) -> Connection {
    Connection::new(Tuple::new((ip(source), 40_000), (ip(destination), 80), 6))
}

pub(super) fn cut(connection: Connection) -> Connection {
    let mut labels = [0; 16];
    labels[15] = 0x80;
    Connection {
        labels: Some(labels),
        ..connection
    }
}

pub(super) struct Bench {
    pub(super) compiler: Compiler,
    running: Running,
    orders: std_mpsc::Receiver<Tell>,
    told: mpsc::Sender<Told>,
    telemetry: Telemetry,
}

impl Bench {
    /// `web` and `db` on this node and `far` on another, nothing written yet.
    pub(super) fn new() -> Self {
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
    pub(super) async fn begun(found: Vec<Connection>) -> Self {
        let mut bench = Self::new();
        bench.commit_whole();
        bench.due().await;
        let look = bench.look().expect("everything is looked at");
        assert_eq!(look.which, Which::All);
        assert_eq!(look.ends, Some(addresses(&[WEB, DB])));
        bench.pass(found).await;
        bench
    }

    pub(super) fn commit_whole(&mut self) {
        let _ = self.compiler.take_whole();
        self.running.committing(Concerned::everybody());
        self.running.committed();
    }

    pub(super) fn commit(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.running.before(&event, &self.compiler);
            self.compiler.apply(event);
        }
        let transaction = self.compiler.take_transaction();
        let concerned = Concerned::of(&transaction, self.compiler.ruleset());
        self.running.committing(concerned);
        self.running.committed();
    }

    pub(super) async fn turn(&mut self) -> bool {
        let Ok(next) = timeout(Duration::from_secs(60), self.running.next()).await else {
            return false;
        };
        self.running.take(next, &self.compiler, &mut FlowLog::off());
        true
    }

    /// Waits until it is time to look.
    pub(super) async fn due(&mut self) {
        let next = timeout(Duration::from_secs(60), self.running.next()).await;
        let next = next.expect("something is due");
        assert!(matches!(next, Occurrence::Due), "{next:?}");
        self.running.take(next, &self.compiler, &mut FlowLog::off());
    }

    pub(super) fn look(&self) -> Option<Look> {
        match self.orders.try_recv() {
            Ok(Tell::Look(look)) => Some(look),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    }

    pub(super) async fn say(&mut self, told: Told) {
        self.told.send(told).await.expect("the loop listens");
        assert!(self.turn().await);
    }

    /// What is ordered for these, all of which is done. The look goes on.
    pub(super) async fn found(&mut self, found: Vec<Connection>) -> Vec<(Order, Connection)> {
        self.say(Told::Own(addresses(&[NODE]))).await;
        self.say(Told::Found(found)).await;
        assert!(self.turn().await);
        let Ok(Tell::Do(orders)) = self.orders.try_recv() else {
            panic!("nothing is ordered")
        };
        self.say(Told::Did(vec![Came::Done; orders.len()])).await;
        orders
    }

    pub(super) async fn pass(&mut self, found: Vec<Connection>) -> Vec<(Order, Connection)> {
        let orders = self.found(found).await;
        self.say(Told::Ended(Ok(()))).await;
        orders
    }

    pub(super) fn has(&self, line: &str) {
        let text = self.telemetry.render();
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}
