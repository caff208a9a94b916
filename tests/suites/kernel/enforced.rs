//! The loop on a real table that others take away, cling to and edit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::stream::{BoxStream, StreamExt, pending, unfold};
use netpol_agent::dataplane::{Dataplane, Found, NOTICES, NetlinkDataplane, Watcher};
use netpol_agent::enforce::{Enforcement, RARE_INSPECTION, Timing, enforce};
use netpol_agent::flow_log::FlowLog;
use netpol_agent::source::Update;
use netpol_agent::telemetry::Telemetry;
use netpol_tests::lab::Netns;
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::{Name, NodeScope};
use policy_compiler::ruleset::{Ruleset, Transaction};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::netlink::{as_json, raw};
use crate::steady;

/// What is not so by then will not be.
const PATIENCE: Duration = Duration::from_secs(30);

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
            flow_log: FlowLog::off(),
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
            if start.elapsed() > PATIENCE {
                panic!("not {what}: {:?}", self.found());
            }
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

/// What is to go is still referred to: the change is refused, and then the table is put right together with it.
#[test]
fn what_others_cling_to_is_taken_from_them() {
    for what in ["set", "chain"] {
        let mut node = Node::new("busy", None, RARE_INSPECTION);
        let rule = match what {
            "set" => format!("ip saddr @{} accept", node.set()),
            _ => "jump policy/shop/allow/ingress".to_owned(),
        };
        node.nft(&format!(
            "add chain inet netpol mine\nadd rule inet netpol mine {rule}\n"
        ));
        assert_eq!(node.failures(), 0);
        let key = "shop/allow".parse().expect("a key");
        node.say(Update::Change(Event::PolicyDeleted(key)));
        node.say(steady::edit(1));
        node.run_until("refused", |node| node.failures() > 0);
        node.becomes_right();
        assert_eq!(node.failures(), 1, "{what}");
        // What comes later goes as ever.
        node.say(steady::edit(0));
        node.becomes_right();
        assert_eq!(node.failures(), 1, "{what}");
    }
}

/// Whenever it goes: while a change is made, while it is read, and while it is made anew.
#[test]
fn a_table_that_goes_again_and_again() {
    const EDITS: u64 = 200;
    const DELETIONS: u64 = 50;
    let mut node = Node::new("raced", Some(NOTICES), RARE_INSPECTION);
    let work = move || {
        let mut deleted = 0;
        while deleted < DELETIONS {
            // It may not be there just now.
            deleted += u64::from(raw::delete_table().is_ok());
            std::thread::sleep(Duration::from_millis(3));
        }
    };
    // A thread is in the namespace of the one that starts it.
    let thread = node
        .netns
        .call(move || std::thread::spawn(work))
        .expect("a thread");
    let (mut edits, start) = (0, Instant::now());
    while edits < EDITS || !thread.is_finished() {
        assert!(start.elapsed() < PATIENCE, "the table does not come back");
        node.say(steady::edit(edits));
        node.run(Duration::from_millis(2));
        edits += 1;
    }
    thread.join().expect("deleted");
    node.becomes_right();
    let (failed, repaired) = (node.failures(), node.repairs("table"));
    println!(
        "{edits} changes, {DELETIONS} deletions: {failed} refused, {repaired} times put right"
    );
    assert!(repaired > 0);
    node.say(steady::edit(edits));
    node.becomes_right();
}

/// What was told got lost for want of room.
#[test]
fn an_overrun_ends_in_a_right_table() {
    let mut node = Node::new("overrun", Some(4096), RARE_INSPECTION);
    let mut script = "add table inet other\nadd set inet other s { type ipv4_addr; }\n".to_owned();
    for i in 0..10_000_u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + i);
        script.push_str(&format!("add element inet other s {{ {address} }}\n"));
    }
    let set = node.set();
    script.push_str(&format!(
        "flush map inet netpol ingress4\nflush set inet netpol {set}\n"
    ));
    node.nft(&script);
    assert_ne!(node.found(), Found::Same);
    node.say(steady::edit(2));
    node.becomes_right();
    let told = ["table", "chain", "rule", "set", "element", "other"].map(|kind| node.repairs(kind));
    assert_eq!(told, [0; 6], "it was told");
}

/// Nobody watches, but now and then the table is compared.
#[test]
fn what_nobody_told_is_found() {
    let mut node = Node::new("compared", None, Duration::from_millis(50));
    let set = node.set();
    for (kind, edit) in [
        (
            "rule",
            "flush chain inet netpol policy/shop/allow/ingress".to_owned(),
        ),
        ("element", format!("flush set inet netpol {set}")),
        ("chain", "add chain inet netpol mine".to_owned()),
        (
            "table",
            "add table inet netpol { flags dormant; }".to_owned(),
        ),
    ] {
        assert_eq!(node.repairs(kind), 0);
        node.nft(&edit);
        node.run_until(&edit, |node| node.repairs(kind) == 1);
        node.becomes_right();
    }
    assert_eq!(node.failures(), 0);
}
