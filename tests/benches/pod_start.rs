//! What the gate costs a Deployment: the time from its creation until all of its pods are ready, with agents that have
//! the runtime wait for each pod's rules, and without any agent, in turns. Needs root, and the image's archive in
//! `$NETPOL_IMAGE`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use netpol_tests::kubernetes::{Cluster, Cni, Options, Proxy, idle_deployment, wait_for};
use netpol_tests::lab::{http_get, privileged};
use serde_json::json;

const MANIFEST: &str = include_str!("../../deploy/netpol.yaml");
const METRICS: ([u8; 4], u16) = ([127, 0, 0, 1], 9808);
const PODS: usize = 50;
const NAMESPACE: &str = "load";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/load/deployments";
/// Rounds of each kind, unless `$NETPOL_ROUNDS` says something else.
const ROUNDS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(180);
const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: load, namespace: load}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {}}]}]
";

fn main() {
    if !privileged("pod_start") {
        return;
    }
    let image = std::env::var_os("NETPOL_IMAGE").map(PathBuf::from);
    let image = image.expect("$NETPOL_IMAGE: the archive that `make image` prints");
    let rounds = std::env::var("NETPOL_ROUNDS").ok();
    let rounds = rounds.and_then(|rounds| rounds.parse().ok());
    let (cni, proxy) = (Cni::Ptp, Proxy::Nftables);
    let cluster = Cluster::start(Options { cni, proxy }).unwrap_or_else(|error| panic!("{error}"));
    good(cluster.import(&image));
    good(cluster.create_namespace(NAMESPACE, &json!({})));
    good(cluster.apply(POLICY));
    // The first pods of all find nothing in the machine's caches.
    deployed(&cluster);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..rounds.unwrap_or(ROUNDS) {
        // Whoever comes second in one round comes first in the next.
        for gated in [round % 2 == 0, round % 2 != 0] {
            if gated {
                install(&cluster);
                with.push(deployed(&cluster));
                uninstall(&cluster);
            } else {
                without.push(deployed(&cluster));
            }
        }
        let (with, without) = (with[round], without[round]);
        println!(
            "round {round}: {:.2} s without agents, {:.2} s with the gate, ratio {:.3}",
            without.as_secs_f64(),
            with.as_secs_f64(),
            with.as_secs_f64() / without.as_secs_f64()
        );
    }
    let ratios = with.iter().zip(&without);
    let mut ratios: Vec<f64> = ratios
        .map(|(a, b)| a.as_secs_f64() / b.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "{PODS} pods, medians: {:.2} s without agents, {:.2} s with the gate; of the rounds' ratios {:.3}",
        median(&mut without).as_secs_f64(),
        median(&mut with).as_secs_f64(),
        ratios[ratios.len() / 2]
    );
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// How long a Deployment takes until its pods are ready; it is gone when this returns.
fn deployed(cluster: &Cluster) -> Duration {
    let begin = Instant::now();
    good(
        cluster
            .control_plane()
            .post(DEPLOYMENTS, &idle_deployment(NAMESPACE, PODS)),
    );
    good(wait_for("all pods ready", PATIENCE, || {
        let found = cluster.control_plane().read(&format!("{DEPLOYMENTS}/load"));
        let found = found.map_err(|error| error.to_string())?;
        match found["status"]["readyReplicas"].as_u64() {
            Some(ready) if ready == PODS as u64 => Ok(()),
            other => Err(format!("{other:?} ready")),
        }
    }));
    let took = begin.elapsed();
    tell_gaps(cluster);
    let delete = [
        "delete",
        "--namespace=load",
        "deployment/load",
        "--cascade=foreground",
    ];
    good(cluster.kubectl(&delete));
    good(wait_for("all pods gone", PATIENCE, || {
        let pods = cluster.control_plane().read("/api/v1/namespaces/load/pods");
        let pods = pods.map_err(|error| error.to_string())?;
        match pods["items"].as_array().map_or(0, Vec::len) {
            0 => Ok(()),
            some => Err(format!("{some} are left")),
        }
    }));
    took
}

/// What the agents say of the gaps, if there are any agents.
fn tell_gaps(cluster: &Cluster) {
    for node in cluster.nodes() {
        let metrics = node.netns().call(|| http_get(METRICS.into(), "/metrics"));
        let Ok(Ok((200, metrics))) = metrics else {
            continue;
        };
        let value = |name: &str| {
            let name = format!("netpol_pod_start_gap_seconds_{name} ");
            let line = metrics
                .lines()
                .find_map(|line| line.strip_prefix(name.as_str()));
            line.and_then(|value| value.parse::<f64>().ok())
        };
        if let (Some(sum), Some(count)) = (value("sum"), value("count")) {
            println!(
                "  {}: {count} pods held for {:.1} ms in the mean",
                node.spec().name,
                sum / count * 1000.0
            );
        }
    }
}

fn install(cluster: &Cluster) {
    good(cluster.apply(MANIFEST));
    let words = [
        "rollout",
        "status",
        "--timeout=120s",
        "--namespace=kube-system",
        "daemonset/netpol",
    ];
    good(cluster.kubectl(&words));
}

/// Nothing is left of it on the nodes.
fn uninstall(cluster: &Cluster) {
    let words = ["delete", "--cascade=foreground", "-f", "-"];
    good(cluster.kubectl_with(&words, MANIFEST));
    for node in cluster.nodes() {
        let tables = good(node.run(&["nft", "list", "tables"]));
        for table in tables.lines().filter(|table| table.ends_with(" netpol")) {
            let words: Vec<&str> = std::iter::once("delete").chain(table.split(' ')).collect();
            good(node.run(&[&["nft"], &words[..]].concat()));
        }
    }
}

fn good<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
