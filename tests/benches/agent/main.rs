//! What the agent costs at its design size: the loop, the compiler and the netlink dataplane as they run on a node, fed
//! with objects as the API server sends them, in clusters of growing size. Needs root.
//!
//! Times are from when an event is handed to the loop until the kernel has what follows from it, on an otherwise quiet
//! node. Each size is a process of its own; its memory is all it has.

mod cluster;
mod observed;
mod usage;

use std::process::Command;
use std::time::{Duration, Instant};

use cluster::{NODE, Size, TOGETHER, edited, namespace};
use futures::channel::mpsc::{self, Sender, UnboundedReceiver};
use futures::{SinkExt, StreamExt, stream};
use netpol_agent::dataplane::NetlinkDataplane;
use netpol_agent::enforce::{Enforcement, RARE_INSPECTION, Timing, enforce};
use netpol_agent::flow_log::FlowLog;
use netpol_agent::pod_start::PodStart;
use netpol_agent::port_guard::PortGuard;
use netpol_agent::revoke::Revocation;
use netpol_agent::source::Update;
use netpol_agent::telemetry::Telemetry;
use netpol_agent::uplinks::Uplinks;
use netpol_tests::lab::{Netns, privileged};
use observed::{Commit, Observed};
use policy_compiler::compile::Protection;
use policy_compiler::decode::{self, Kind};
use policy_compiler::index::Event;
use policy_compiler::model::{Name, NodeScope, ObjectKey};
use serde_json::Value;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use usage::{cpu_time, memory, percentile};

/// Pods, namespaces, policies.
const SIZES: [(u32, u32, u32); 3] = [
    (1_000, 100, 200),
    (10_000, 500, 1_000),
    (150_000, 5_000, 10_000),
];

const POD_CHANGES: u32 = 1_000;
const POLICY_EDITS: u32 = 200;
/// Elements of a table that is not the agent's.
const FOREIGN: u32 = 50_000;
/// Between two changes, so that each finds a quiet node and is not gathered with others.
const PAUSE: Duration = Duration::from_millis(8);
/// When no commit has come for this long none is to come: no change waits for others as long.
const QUIET: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(5);

fn main() {
    if !privileged("agent") {
        return;
    }
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("size") {
        let place = arguments.next().and_then(|place| place.parse().ok());
        measure(SIZES[place.unwrap_or(0)]);
        return;
    }
    let columns: Vec<Vec<String>> = (0..SIZES.len()).map(column).collect();
    for row in 0..columns[0].len() {
        let label = columns[0][row].split('\t').next().unwrap_or_default();
        print!("{label:<44}");
        for column in &columns {
            let cell = column.get(row).and_then(|line| line.split('\t').nth(1));
            print!(" {:>27}", cell.unwrap_or_default());
        }
        println!();
    }
}

/// What a process of this size says: label, tab, value.
fn column(place: usize) -> Vec<String> {
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(program)
        .args(["size", &place.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("{error}"));
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {problem}", SIZES[place]);
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(str::to_owned).collect()
}

fn measure((pods, namespaces, policies): (u32, u32, u32)) {
    let size = Size {
        pods,
        namespaces,
        policies,
    };
    println!("pods\t{pods}");
    println!("namespaces, policies\t{namespaces}, {policies}");
    let netns = Netns::new("agent").unwrap_or_else(|error| panic!("{error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("{error}"));
    LocalSet::new().block_on(&runtime, async {
        let mut agent = Agent::start(&netns);
        agent.first_sync(size).await;
        agent.pod_changes("remote pod's change", size).await;
        agent.gathered(size).await;
        agent.policy_edits("policy edit").await;
        netns
            .nft(&foreign())
            .unwrap_or_else(|error| panic!("{error}"));
        agent.pod_changes("  beside a foreign table", size).await;
        agent.policy_edits("  beside a foreign table").await;
        agent.idle().await;
        println!(
            "memory in the end, peak\t{}, {}",
            mebibytes("VmRSS"),
            mebibytes("VmHWM")
        );
    });
}

/// The loop under test, and the ends it is driven by.
struct Agent {
    updates: Sender<Update>,
    commits: UnboundedReceiver<Commit>,
}

impl Agent {
    fn start(netns: &Netns) -> Self {
        let dataplane = netns.call(NetlinkDataplane::open);
        let dataplane = dataplane.unwrap_or_else(|error| panic!("{error}"));
        let inner = dataplane.unwrap_or_else(|error| panic!("{error}"));
        let (updates, source) = mpsc::channel(16);
        let (sender, commits) = mpsc::unbounded();
        let dataplane = Observed {
            inner,
            commits: sender,
        };
        let (scope, telemetry) = (NodeScope::Node(name(NODE)), Telemetry::default());
        // Its thread is to look at this network's connections.
        let revocation = netns.call({
            let (scope, telemetry) = (scope.clone(), telemetry.clone());
            move || Revocation::start(scope, &telemetry)
        });
        let enforcement = Enforcement {
            scope,
            inspection: RARE_INSPECTION,
            timing: Timing::default(),
            telemetry,
            revocation: revocation.unwrap_or_else(|error| panic!("{error}")),
            flow_log: FlowLog::off(),
            protection: Protection {
                source_guard: true,
                ..Protection::default()
            },
            uplinks: Uplinks::off(),
            port_guard: PortGuard::off(),
            pod_start: PodStart::off(),
        };
        spawn_local(enforce(
            source,
            dataplane,
            stream::pending(),
            enforcement,
            std::future::pending::<()>(),
        ));
        Self { updates, commits }
    }

    async fn say(&mut self, update: Update) {
        let said = self.updates.send(update).await;
        said.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Hands an event over, and waits until the kernel has what follows from it.
    async fn timed(&mut self, update: Update) -> (Duration, Commit) {
        let start = Instant::now();
        self.say(update).await;
        let commit = self.committed().await;
        (commit.ended - start, commit)
    }

    async fn committed(&mut self) -> Commit {
        match timeout(PATIENCE, self.commits.next()).await {
            Ok(Some(commit)) => commit,
            Ok(None) => panic!("the loop ended"),
            Err(error) => panic!("nothing follows from this: {error}"),
        }
    }

    async fn first_sync(&mut self, size: Size) {
        println!("memory before\t{}", mebibytes("VmRSS"));
        let (start, cpu) = (Instant::now(), cpu_time());
        let mut reading = Duration::ZERO;
        for i in 0..size.namespaces {
            let decoded = decode::namespace(&namespace(i));
            self.say(change(decoded.object.map(Event::Namespace))).await;
        }
        for i in 0..size.pods {
            let json = size.pod(i, &size.app(i));
            let start = Instant::now();
            let update = pod(&json);
            reading += start.elapsed();
            self.say(update).await;
        }
        for i in 0..size.policies {
            self.say(policy(&size.policy(i))).await;
        }
        println!(
            "the list, with making its JSON\t{:.1?} (CPU {:.1?})",
            start.elapsed(),
            cpu_time().saturating_sub(cpu)
        );
        println!("  of that reading pods\t{reading:.2?}");
        println!(
            "memory with the list, peak\t{}, {}",
            mebibytes("VmRSS"),
            mebibytes("VmHWM")
        );
        let (took, commit) = self.timed(Update::Synced).await;
        println!("elements\t{}", commit.elements);
        println!(
            "first sync (of that netlink)\t{:.1?} ({:.1?})",
            took,
            commit.ended - commit.began
        );
        println!(
            "memory after the first sync, peak\t{}, {}",
            mebibytes("VmRSS"),
            mebibytes("VmHWM")
        );
        println!(
            "bytes in a pod's JSON\t{}",
            size.pod(size.pods - 1, "app-0").len()
        );
        sleep(PAUSE).await;
    }

    /// Pods of other nodes go in and out of sets, one at a time.
    async fn pod_changes(&mut self, label: &str, size: Size) {
        // All in the first namespace: each is in several sets.
        let place = |i: u32| (3 + i / 2 % 6) * size.namespaces;
        let updates = (0..POD_CHANGES).map(|i| {
            let index = place(i);
            let app = if i % 2 == 0 {
                "app-none".to_owned()
            } else {
                size.app(index)
            };
            pod(&size.pod(index, &app))
        });
        let cpu = self.changes(label, updates.collect()).await;
        println!("    CPU for {POD_CHANGES} pod events, one by one\t{cpu:.2?}");
    }

    /// Pods of other nodes come as fast as the loop takes them, and go.
    async fn gathered(&mut self, size: Size) {
        let first = size.pods.next_multiple_of(size.namespaces);
        let pods: Vec<Update> = (0..POD_CHANGES)
            .map(|i| {
                let index = first + i * size.namespaces;
                pod(&size.pod(index, &size.app(index)))
            })
            .collect();
        let deletion = |update: &Update| match update {
            Update::Change(Event::Pod(pod)) => Update::Change(Event::PodDeleted(pod.key.clone())),
            _ => panic!("a pod"),
        };
        let deletions = pods.iter().map(deletion).collect();
        for (label, updates) in [("come", pods), ("go", deletions)] {
            let (start, cpu) = (Instant::now(), cpu_time());
            for update in updates {
                self.say(update).await;
            }
            let (mut commits, mut took) = (0, Duration::ZERO);
            while let Ok(Some(commit)) = timeout(QUIET, self.commits.next()).await {
                commits += 1;
                took = commit.ended - start;
            }
            let cpu = cpu_time().saturating_sub(cpu);
            println!("CPU for {POD_CHANGES} pods that {label} at once\t{cpu:.2?}");
            println!("    until the kernel has them, commits\t{took:.2?} {commits}");
        }
    }

    /// A rule of a policy that selects all pods of a namespace changes; then such a policy comes and goes.
    async fn policy_edits(&mut self, label: &str) {
        self.say(policy(&edited(80))).await;
        self.committed().await;
        sleep(PAUSE).await;
        let edits = (0..POLICY_EDITS).map(|i| policy(&edited(if i % 2 == 0 { 81 } else { 80 })));
        self.changes(&format!("{label}, a rule"), edits.collect())
            .await;
        let key = ObjectKey::new(name("namespace-0"), name("edited"));
        let edits = (0..POLICY_EDITS).map(|i| match i % 2 {
            0 => Update::Change(Event::PolicyDeleted(key.clone())),
            _ => policy(&edited(80)),
        });
        self.changes(
            &format!("{label}, {TOGETHER} pods come or go"),
            edits.collect(),
        )
        .await;
        self.say(Update::Change(Event::PolicyDeleted(key))).await;
        self.committed().await;
        sleep(PAUSE).await;
    }

    /// Says what they cost, and returns the CPU time of all.
    async fn changes(&mut self, label: &str, updates: Vec<Update>) -> Duration {
        let count = u32::try_from(updates.len()).unwrap_or(u32::MAX);
        let (mut times, mut kernel, mut operations) = (Vec::new(), Duration::ZERO, 0);
        let mut cpu = Duration::ZERO;
        for update in updates {
            let before = cpu_time();
            let (took, commit) = self.timed(update).await;
            times.push(took);
            kernel += commit.ended - commit.began;
            operations = operations.max(commit.operations);
            sleep(PAUSE).await;
            cpu += cpu_time().saturating_sub(before);
        }
        times.sort_unstable();
        let [half, most] = [50, 99].map(|percent| percentile(&times, percent));
        let worst = times.last().copied().unwrap_or_default();
        println!("{label}: p50 p99 max\t{half:.2?} {most:.2?} {worst:.2?}");
        println!(
            "    netlink's part, commands, CPU\t{:.2?} {operations} {:.2?}",
            kernel / count,
            cpu / count
        );
        cpu
    }

    async fn idle(&mut self) {
        // The last change's connections are looked at first.
        sleep(QUIET).await;
        let before = cpu_time();
        sleep(IDLE).await;
        let used = cpu_time().saturating_sub(before);
        println!("idle: CPU in {IDLE:?}\t{used:.2?}");
    }
}

fn mebibytes(field: &str) -> String {
    format!("{} MiB", memory(field) >> 20)
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn change(event: Option<Event>) -> Update {
    Update::Change(event.unwrap_or_else(|| panic!("a bad object")))
}

fn pod(json: &str) -> Update {
    let json = Kind::Pod.read(&mut serde_json::Deserializer::from_str(json));
    let json = json.unwrap_or_else(|error| panic!("{error}"));
    change(decode::pod(&json).object.map(Event::Pod))
}

fn policy(json: &Value) -> Update {
    change(decode::policy(json).object.map(Event::Policy))
}

/// A table of another program's, with a large set of ranges.
fn foreign() -> String {
    let element = |i: u32| {
        let first = 0x0b00_0000 + i * 4;
        let [first, last] = [first, first + 2].map(std::net::Ipv4Addr::from);
        format!("{first}-{last}")
    };
    let elements: Vec<String> = (0..FOREIGN).map(element).collect();
    format!(
        "table inet other {{\nset ranges {{\ntype ipv4_addr; flags interval\nelements = {{ {} }}\n}}\n}}\n",
        elements.join(", ")
    )
}
