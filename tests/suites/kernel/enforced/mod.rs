//! The loop on a real table that others take away, cling to and edit.

mod faults;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::stream::{BoxStream, StreamExt, pending, unfold};
use netpol_agent::dataplane::{Dataplane, Found, NetlinkDataplane, Watcher};
use netpol_agent::enforce::{Enforcement, Timing, enforce};
use netpol_agent::flow_log::FlowLog;
use netpol_agent::pod_start::PodStart;
use netpol_agent::port_guard::PortGuard;
use netpol_agent::source::Update;
use netpol_agent::telemetry::Telemetry;
use netpol_agent::uplinks::Uplinks;
use netpol_tests::lab::Netns;
use policy_compiler::compile::Protection;
use policy_compiler::index::Compiler;
use policy_compiler::model::{Name, NodeScope};
use policy_compiler::ruleset::{Ruleset, Transaction};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::netlink::as_json;
use crate::steady;

/// What is not so by then will not be.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node with rules, the loop that enforces them, and what they should be.
pub(crate) struct Node {
    pub(crate) netns: Netns,
    pub(crate) telemetry: Telemetry,
    updates: UnboundedSender<Update>,
    compiler: Compiler,
    runtime: Runtime,
    tasks: LocalSet,
}

impl Node {
    /// Enforces what [`steady::first`] says. The watcher, if there is one, has so many bytes for what is not read yet.
    pub(crate) fn new(name: &str, watcher: Option<usize>, inspection: Duration) -> Self {
        let netns = Netns::new(name).expect("a namespace");
        Self::within(netns, watcher, inspection)
    }

    pub(crate) fn within(netns: Netns, watcher: Option<usize>, inspection: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let handle = runtime.handle().clone();
        let opened = netns.call(move || {
            let _entered = handle.enter();
            let dataplane = NetlinkDataplane::open().expect("a socket");
            let watcher = watcher.map(|bytes| Watcher::with_buffer(&dataplane, bytes));
            (
                dataplane,
                watcher.map(|watcher| watcher.expect("a watcher")),
            )
        });
        let (dataplane, watcher) = opened.expect("alive");
        let disturbances: BoxStream<_> = match watcher {
            None => pending().boxed(),
            Some(watcher) => unfold(watcher, async |mut watcher| {
                Some((watcher.next().await, watcher))
            })
            .boxed(),
        };
        let scope = NodeScope::Node(Name::parse("node-a").expect("a name"));
        let telemetry = Telemetry::default();
        let enforcement = Enforcement {
            scope: scope.clone(),
            // Each change for itself.
            timing: Timing {
                debounce: Duration::ZERO,
                max_delay: Duration::ZERO,
            },
            inspection,
            telemetry: telemetry.clone(),
            revocation: netpol_agent::revoke::Revocation::off(),
            flow_log: FlowLog::off(),
            protection: Protection::default(),
            uplinks: Uplinks::off(),
            port_guard: PortGuard::off(),
            pod_start: PodStart::off(),
        };
        let (updates, source) = unbounded();
        let tasks = LocalSet::new();
        let stop = std::future::pending::<()>();
        tasks.spawn_local(enforce(source, dataplane, disturbances, enforcement, stop));
        let mut node = Self {
            netns,
            telemetry,
            updates,
            compiler: Compiler::new(scope).with_drop_log(None),
            runtime,
            tasks,
        };
        for update in steady::first() {
            node.say(update);
        }
        node.run_until("ready", |node| node.telemetry.readiness().is_ok());
        node
    }

    fn say(&mut self, update: Update) {
        if let Update::Change(event) = &update {
            self.compiler.apply(event.clone());
        }
        let sent = self.updates.unbounded_send(update);
        sent.expect("the loop listens");
    }

    /// Lets the loop run.
    fn run(&self, time: Duration) {
        let time = async { tokio::time::sleep(time).await };
        self.tasks.block_on(&self.runtime, time);
    }

    fn run_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            let is_late = start.elapsed() > PATIENCE;
            assert!(!is_late, "not {what}: {:?}", self.found());
            self.run(Duration::from_millis(2));
        }
    }

    fn wanted(&mut self) -> Ruleset {
        self.compiler.ruleset().clone()
    }

    /// How the table is, asked by another program.
    fn found(&mut self) -> Found {
        let wanted = Arc::new(self.wanted());
        let dataplane = self.netns.call(NetlinkDataplane::open).expect("alive");
        let mut dataplane = dataplane.expect("a socket");
        let found = self.runtime.block_on(dataplane.read(wanted));
        found.expect("read")
    }

    /// Waits until the table is whole, as netpol sees it, and makes sure that `nft` does.
    fn becomes_right(&mut self) {
        self.run_until("right", |node| {
            node.telemetry.readiness().is_ok() && node.found() == Found::Same
        });
        let reference = Netns::new("reference").expect("a namespace");
        let script = Transaction::replace(&self.wanted()).to_string();
        reference.nft(&script).expect("loaded");
        let list = |netns| {
            let listing = as_json(netns).expect("a listing").into_iter();
            let own: Vec<String> = listing.filter(|line| !line.contains("\"other\"")).collect();
            own.join("\n")
        };
        similar_asserts::assert_eq!(list(&reference), list(&self.netns));
    }

    fn metric(&self, label: &str) -> u64 {
        let metrics = self.telemetry.render();
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(label)?.strip_prefix(' '));
        value.expect(label).parse().expect("a number")
    }

    fn repairs(&self, kind: &str) -> u64 {
        self.metric(&format!("netpol_repairs_total{{kind=\"{kind}\"}}"))
    }

    fn failures(&self) -> u64 {
        self.metric("netpol_commits_total{result=\"failed\"}")
    }

    fn nft(&self, script: &str) {
        let loaded = self.netns.nft(script);
        loaded.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The name of a set of pods.
    fn set(&mut self) -> String {
        let wanted = self.wanted();
        let mut names = wanted.sets.keys().map(ToString::to_string);
        let name = names.find(|name| name.starts_with("peers-"));
        name.expect("a set")
    }
}
