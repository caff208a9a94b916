//! What befalls agents, while packets flow; and what they tell.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use netpol_tests::kubernetes::{Reply, Transport, knock, request, wait_for};

use crate::Scenario;
use crate::pods::PORT;
use crate::stage::{Outcome, SOON, Stage, text};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("agents are replaced under traffic", replaced),
    ("agents crash under traffic", crashed),
    ("drops are told", told),
];

/// Clients reach the web servers, and nobody else.
pub(crate) const CLIENTS: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: clients, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]
";

/// Connections opened at the same time for every pair: each asks again as soon as it has its answer.
const AT_A_TIME: usize = 4;
/// Between two connections of one of these: the servers are programs on the same machine.
const PAUSE: Duration = Duration::from_millis(10);

fn replaced(stage: &mut Stage) -> Outcome {
    under_traffic(stage, |stage| {
        stage.enforced.replace(&stage.cluster).map_err(text)
    })
}

fn crashed(stage: &mut Stage) -> Outcome {
    under_traffic(stage, |stage| {
        stage.enforced.crash(&stage.cluster).map_err(text)
    })
}

/// Does something while allowed and forbidden connections are opened all the time: each has to come out right.
fn under_traffic(stage: &mut Stage, act: impl FnOnce(&mut Stage) -> Outcome) -> Outcome {
    stage.cluster.apply(CLIENTS).map_err(text)?;
    let rows = [
        ("shop/client-a", "shop/web-a", true),
        ("shop/client-a", "shop/web-b", true),
        ("guests/guest-a", "shop/web-a", false),
        ("guests/guest-a", "shop/web-b", false),
        ("guests/guest-b", "shop/web-b", false),
    ];
    stage.expect(&rows)?;
    let mut pairs: Vec<(File, SocketAddr, bool)> = Vec::new();
    for (from, to, passes) in rows {
        for address in stage.addresses(to)? {
            pairs.push((stage.network(from)?, (address, PORT).into(), passes));
        }
    }
    let traffic = Traffic::default();
    let outcome = std::thread::scope(|scope| {
        let traffic = &traffic;
        for (from, to, passes) in &pairs {
            if !passes {
                scope.spawn(move || traffic.knock(from, *to));
            }
            for transport in [Transport::Tcp, Transport::Udp] {
                for _ in 0..AT_A_TIME {
                    scope.spawn(move || traffic.flow(from, *to, transport, *passes));
                }
            }
        }
        let outcome = act(stage);
        traffic.is_over.store(true, Ordering::Relaxed);
        outcome
    });
    outcome?;
    let (right, wrong) = (traffic.right.into_inner(), traffic.wrong.into_inner());
    println!("  {right} connections came out right, {wrong} wrong");
    if wrong > 0 || right == 0 {
        return Err(format!("{wrong} connections came out wrong, {right} right"));
    }
    // And the agents are at work again.
    stage.without(CLIENTS)?;
    stage.expect(&rows.map(|(from, to, _)| (from, to, true)))
}

#[derive(Default)]
struct Traffic {
    is_over: AtomicBool,
    right: AtomicUsize,
    wrong: AtomicUsize,
}

impl Traffic {
    /// Asks over and over.
    fn flow(&self, from: &File, to: SocketAddr, transport: Transport, passes: bool) {
        while !self.is_over.load(Ordering::Relaxed) {
            let reply = request(from, to, transport, passes);
            let is_right = matches!(
                (&reply, passes),
                (Reply::Pod(_), true) | (Reply::Silence, false)
            );
            if !is_right {
                println!("  to {to}, {transport:?}: {reply}");
            }
            let count = if is_right { &self.right } else { &self.wrong };
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(PAUSE);
        }
    }

    /// Sends datagrams that must not arrive, so close together that the smallest gap lets one through.
    fn knock(&self, from: &File, to: SocketAddr) {
        let answered = knock(from, to, &self.is_over);
        if !matches!(answered, Ok(0)) {
            println!("  to {to}: {answered:?} answers");
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn told(stage: &mut Stage) -> Outcome {
    stage.cluster.apply(CLIENTS).map_err(text)?;
    stage.expect(&[("guests/guest-a", "shop/web-b", false)])?;
    wait_for("a line about the drop", SOON, || {
        let log = stage.enforced.log(&stage.cluster, 1).map_err(text)?;
        // On the server's node, with both ends by name.
        let is_it = |line: &&str| {
            ["DROPPED", "\"guest-a\"", "\"web-b\""]
                .iter()
                .all(|word| line.contains(word))
        };
        log.lines().find(is_it).map(drop).ok_or(log)
    })
    .map_err(text)?;
    stage.without(CLIENTS)
}
