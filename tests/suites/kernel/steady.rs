//! Rules that change all the time, and two flows that none of the changes concerns: one allowed, one not.

use std::net::UdpSocket;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use futures::channel::mpsc::unbounded;
use netpol_agent::dataplane::NetlinkDataplane;
use netpol_agent::enforce::{Enforcement, RARE_INSPECTION, Timing, enforce};
use netpol_agent::flow_log::FlowLog;
use netpol_agent::pod_start::PodStart;
use netpol_agent::port_guard::PortGuard;
use netpol_agent::source::Update;
use netpol_agent::telemetry::Telemetry;
use netpol_agent::uplinks::Uplinks;
use netpol_tests::lab::{Netns, privileged};
use nix::sys::socket::{setsockopt, sockopt};
use policy_compiler::compile::Protection;
use policy_compiler::decode;
use policy_compiler::index::Event;
use policy_compiler::model::{Name, NodeScope};
use serde_json::{Value, json};
use tokio::task::{LocalSet, spawn_local};

const SERVER: &str = "10.1.0.2";
const ALLOWED: &str = "10.2.0.2";
const FORBIDDEN: &str = "10.2.0.3";
const PORT: u16 = 8080;
const EDITS: u64 = 6_000;
/// 200 a second.
const BETWEEN_EDITS: Duration = Duration::from_millis(5);
/// Of the packets of one flow.
const BETWEEN_PACKETS: Duration = Duration::from_millis(1);
/// Bytes for packets that are not read yet, by the kernel's own count: some ten seconds.
const ROOM: usize = 16 << 20;
/// The number of the packet after which nothing comes.
const LAST: u64 = u64::MAX;

/// A client with two addresses and a server, either side of a router.
struct Ground {
    client: Netns,
    router: Netns,
    server: Netns,
}

impl Ground {
    fn new() -> Self {
        let [client, router, server] =
            ["client", "router", "server"].map(|name| Netns::new(name).expect("a namespace"));
        for (end, device) in [(&client, "to-client"), (&server, "to-server")] {
            let link = format!(
                "link add eth0 type veth peer name {device} netns {}\n",
                router.path().display()
            );
            end.ip(&link).expect("a link");
        }
        let of_client = format!(
            "addr add {ALLOWED}/24 dev eth0\naddr add {FORBIDDEN}/24 dev eth0\nlink set eth0 up\nroute add default via 10.2.0.1\n"
        );
        let of_server = format!(
            "addr add {SERVER}/24 dev eth0\nlink set eth0 up\nroute add default via 10.1.0.1\n"
        );
        let of_router = "addr add 10.2.0.1/24 dev to-client\naddr add 10.1.0.1/24 dev to-server\nlink set to-client up\nlink set to-server up\n";
        client.ip(&of_client).expect("addresses");
        server.ip(&of_server).expect("addresses");
        router.ip(of_router).expect("addresses");
        router
            .sysctl(&[("net/ipv4/ip_forward", "1")])
            .expect("forwarding");
        Self {
            client,
            router,
            server,
        }
    }

    /// What arrives until the last packet of the allowed flow: sender and number.
    fn listen(&self) -> Receiver<Vec<(String, u64)>> {
        let (bound, is_bound) = std::sync::mpsc::channel();
        let arrived = self.server.submit(move || {
            let socket = UdpSocket::bind((SERVER, PORT)).expect("a socket");
            // What is lost for want of room is not for netpol to answer for: this thread may have to wait for its turn.
            setsockopt(&socket, sockopt::RcvBufForce, &ROOM).expect("room");
            bound.send(()).expect("the test waits");
            let mut arrived = Vec::new();
            loop {
                let mut number = [0; 8];
                let (_, from) = socket.recv_from(&mut number).expect("a packet");
                match u64::from_be_bytes(number) {
                    LAST => return arrived,
                    number => arrived.push((from.ip().to_string(), number)),
                }
            }
        });
        is_bound.recv().expect("the server listens");
        arrived
    }

    /// Sends so many packets of both flows, then the last.
    fn send(&self, count: u64) -> Receiver<()> {
        self.client.submit(move || {
            let [allowed, forbidden] = [ALLOWED, FORBIDDEN].map(|from| {
                let socket = UdpSocket::bind((from, 0)).expect("a socket");
                socket.connect((SERVER, PORT)).expect("a route");
                socket
            });
            for number in 0..count {
                forbidden.send(&number.to_be_bytes()).expect("sent");
                allowed.send(&number.to_be_bytes()).expect("sent");
                std::thread::sleep(BETWEEN_PACKETS);
            }
            allowed.send(&LAST.to_be_bytes()).expect("sent");
        })
    }
}

fn pod(name: &str, node: &str, address: &str, app: &str) -> Update {
    let json = json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
        "spec": {"nodeName": node}, "status": {"phase": "Running", "podIPs": [{"ip": address}]}
    });
    Update::Change(Event::Pod(decode::pod(&json).object.expect("a pod")))
}

fn policy(name: &str, rules: &[Value]) -> Update {
    let json = json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"], "ingress": rules}
    });
    Update::Change(Event::Policy(
        decode::policy(&json).object.expect("a policy"),
    ))
}

fn from(app: &str, port: u16) -> Value {
    json!({"from": [{"podSelector": {"matchLabels": {"app": app}}}], "ports": [{"port": port, "protocol": "UDP"}]})
}

/// Changes of everything around the two flows; none of what decides them.
pub(crate) fn edit(number: u64) -> Update {
    let is_odd = number / 4 % 2 == 1;
    match number % 4 {
        // The policy that allows: its chain is made anew.
        0 if is_odd => policy("allow", &[from("nobody", 81), from("client", PORT)]),
        0 => policy("allow", &[from("client", PORT)]),
        // Another of the same pod comes and goes, and with it a set and a jump in the pod's chain.
        1 if is_odd => Update::Change(Event::PolicyDeleted("shop/another".parse().expect("a key"))),
        1 => policy("another", &[from("third", 82)]),
        // A pod goes in and out of the set that the allowed one is in.
        2 => pod(
            "neighbour",
            "node-b",
            "10.2.0.9",
            if is_odd { "client" } else { "third" },
        ),
        // The forbidden one changes, to what is not allowed either.
        _ => pod(
            "forbidden",
            "node-b",
            FORBIDDEN,
            if is_odd { "third" } else { "nobody" },
        ),
    }
}

#[test]
fn flows_that_no_change_concerns() {
    if !privileged("flows_that_no_change_concerns") {
        return;
    }
    let ground = Ground::new();
    let arrived = ground.listen();
    ground.send(3).recv().expect("sent");
    let both = arrived.recv().expect("arrivals").len();
    assert_eq!(both, 6, "without rules everything arrives");

    let dataplane = ground
        .router
        .call(NetlinkDataplane::open)
        .expect("alive")
        .expect("a socket");
    let telemetry = Telemetry::default();
    let (updates, source) = unbounded();
    let enforcement = Enforcement {
        scope: NodeScope::Node(Name::parse("node-a").expect("a name")),
        // Each change for itself.
        inspection: RARE_INSPECTION,
        timing: Timing {
            debounce: Duration::ZERO,
            max_delay: Duration::ZERO,
        },
        telemetry: telemetry.clone(),
        revocation: netpol_agent::revoke::Revocation::off(),
        flow_log: FlowLog::off(),
        protection: Protection::default(),
        uplinks: Uplinks::off(),
        port_guard: PortGuard::off(),
        pod_start: PodStart::off(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let count = EDITS * 5;
    let arrived = LocalSet::new().block_on(&runtime, async {
        spawn_local(enforce(
            source,
            dataplane,
            futures::stream::pending(),
            enforcement,
            std::future::pending::<()>(),
        ));
        for update in first() {
            updates.unbounded_send(update).expect("the loop listens");
        }
        while telemetry.readiness().is_err() {
            tokio::time::sleep(BETWEEN_PACKETS).await;
        }
        let arrived = ground.listen();
        let sent = ground.send(count);
        let mut pace = tokio::time::interval(BETWEEN_EDITS);
        for number in 0..EDITS {
            pace.tick().await;
            updates
                .unbounded_send(edit(number))
                .expect("the loop listens");
        }
        tokio::task::spawn_blocking(move || {
            sent.recv().expect("sent");
            arrived.recv().expect("arrivals")
        })
        .await
        .expect("arrivals")
    });
    let (allowed, others): (Vec<_>, Vec<_>) =
        arrived.into_iter().partition(|(from, _)| from == ALLOWED);
    assert!(
        others.is_empty(),
        "{} forbidden packets arrived: {:?}",
        others.len(),
        others.first()
    );
    let numbers: Vec<u64> = allowed.into_iter().map(|(_, number)| number).collect();
    let missing: Vec<u64> = (0..count)
        .filter(|number| numbers.binary_search(number).is_err())
        .collect();
    assert!(
        missing.is_empty(),
        "{} allowed packets are missing: {:?}",
        missing.len(),
        missing.first()
    );
    let metrics = telemetry.render();
    let commits = |result: &str| {
        let label = format!("netpol_commits_total{{result=\"{result}\"}} ");
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&label))
            .expect("a metric");
        line.parse::<u64>().expect("a number")
    };
    assert_eq!(commits("failed"), 0);
    assert!(commits("ok") > EDITS / 4, "only {} commits", commits("ok"));
}

/// A server and who may reach it, and that that is all.
pub(crate) fn first() -> [Update; 5] {
    [
        pod("server", "node-a", SERVER, "server"),
        pod("client", "node-b", ALLOWED, "client"),
        pod("forbidden", "node-b", FORBIDDEN, "nobody"),
        policy("allow", &[from("client", PORT)]),
        Update::Synced,
    ]
}
