//! What the agent costs where it runs: as the `DaemonSet`'s pod on a node of a real cluster, at rest and while pods and
//! policies come and go. Needs root, and the image's archive in `$NETPOL_IMAGE`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use netpol_tests::kubernetes::{Cluster, Cni, Node, Options, Proxy, idle_deployment};
use netpol_tests::lab::privileged;
use serde_json::json;

const MANIFEST: &str = include_str!("../../deploy/netpol.yaml");
const NAMESPACES: usize = 4;
/// Of each namespace, on both nodes together.
const PODS: usize = 8;
const POLICIES: usize = 20;
const REST: Duration = Duration::from_secs(30);
const CHURN: Duration = Duration::from_secs(30);
/// What the kernel counts CPU time by, in `/proc/PID/stat`: hundredths of a second on all machines.
const TICK: Duration = Duration::from_millis(10);

fn main() {
    if !privileged("cluster") {
        return;
    }
    let image = std::env::var_os("NETPOL_IMAGE").map(PathBuf::from);
    let image = image.expect("$NETPOL_IMAGE: the archive that `make image` prints");
    let size = std::fs::metadata(&image)
        .expect("the image's archive")
        .len();
    let (cni, proxy) = (Cni::Ptp, Proxy::Nftables);
    let cluster = Cluster::start(Options { cni, proxy }).unwrap_or_else(|error| panic!("{error}"));
    for index in 0..NAMESPACES {
        let name = format!("load-{index}");
        let labels = json!({"team": name});
        let made = cluster.create_namespace(&name, &labels);
        made.unwrap_or_else(|error| panic!("{error}"));
        apply(&cluster, &idle_deployment(&name, PODS).to_string());
        for policy in 0..POLICIES {
            apply(&cluster, &network_policy(&name, policy, 0));
        }
        kubectl(
            &cluster,
            &[
                "rollout",
                "status",
                "--timeout=120s",
                "--namespace",
                &name,
                "deployment/load",
            ],
        );
    }
    let started = Instant::now();
    cluster
        .import(&image)
        .unwrap_or_else(|error| panic!("{error}"));
    apply(&cluster, MANIFEST);
    let rollout = [
        "rollout",
        "status",
        "--timeout=120s",
        "--namespace=kube-system",
        "daemonset/netpol",
    ];
    kubectl(&cluster, &rollout);
    println!(
        "the image's archive                        {} KB",
        size / 1000
    );
    println!(
        "applied, pulled from the node, ready after {:.1} s",
        started.elapsed().as_secs_f32()
    );
    let pods = NAMESPACES * PODS;
    println!(
        "pods, policies                             {pods}, {}",
        NAMESPACES * POLICIES
    );
    measure(&cluster, "at rest", REST, |_| std::thread::sleep(REST));
    measure(&cluster, "under churn", CHURN, churn);
}

/// Policies are edited all the time, and half of the pods go and come back.
fn churn(cluster: &Cluster) {
    let end = Instant::now() + CHURN;
    let (mut edits, mut scalings) = (0, 0);
    while Instant::now() < end {
        let name = format!("load-{}", edits % NAMESPACES);
        apply(cluster, &network_policy(&name, edits % POLICIES, edits));
        edits += 1;
        if edits % 10 == 0 {
            let replicas = if scalings % 2 == 0 { PODS / 2 } else { PODS };
            let name = format!("load-{}", scalings / 2 % NAMESPACES);
            kubectl(
                cluster,
                &[
                    "scale",
                    "--namespace",
                    &name,
                    "deployment/load",
                    &format!("--replicas={replicas}"),
                ],
            );
            scalings += 1;
        }
    }
    println!(
        "  {edits} policies edited, {} pods gone or come",
        scalings * PODS / 2
    );
}

/// What the agent of each node used meanwhile.
fn measure(cluster: &Cluster, label: &str, span: Duration, act: impl FnOnce(&Cluster)) {
    let before: Vec<Usage> = cluster.nodes().iter().map(Usage::of).collect();
    act(cluster);
    for (node, before) in cluster.nodes().iter().zip(before) {
        let after = Usage::of(node);
        let cpu = after.cpu.saturating_sub(before.cpu);
        let share = cpu.as_secs_f64() / span.as_secs_f64() * 1000.0;
        println!(
            "{label}, {}: memory {:.1} MiB, {:.1} MiB at its peak; CPU {share:.1} m",
            node.spec().name,
            after.resident,
            after.peak
        );
    }
}

struct Usage {
    /// MiB
    resident: f64,
    /// MiB
    peak: f64,
    cpu: Duration,
}

impl Usage {
    /// Of the agent on a node.
    fn of(node: &Node) -> Self {
        let run = |words: &[&str]| node.run(words).unwrap_or_else(|error| panic!("{error}"));
        let pid = run(&["pgrep", "-x", "netpol"]);
        let file = |name: &str| run(&["cat", &format!("/proc/{}/{name}", pid.trim())]);
        let (status, stat) = (file("status"), file("stat"));
        let mebibytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            number.unwrap_or_else(|| panic!("{field} in {status}")) / 1024.0
        };
        // Behind the name, which is in brackets, user and system time are the 12th and 13th field.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks: u32 = [11, 12]
            .iter()
            .map(|&place| fields[place].parse::<u32>().unwrap_or_default())
            .sum();
        Self {
            resident: mebibytes("VmRSS:"),
            peak: mebibytes("VmHWM:"),
            cpu: TICK * ticks,
        }
    }
}

fn kubectl(cluster: &Cluster, words: &[&str]) {
    let said = cluster.kubectl(words);
    said.unwrap_or_else(|error| panic!("{error}"));
}

fn apply(cluster: &Cluster, manifest: &str) {
    let said = cluster.apply(manifest);
    said.unwrap_or_else(|error| panic!("{error}"));
}

fn network_policy(namespace: &str, number: usize, turn: usize) -> String {
    let peer = format!("load-{}", (number + turn) % NAMESPACES);
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": format!("policy-{number}")},
        "spec": {
            "podSelector": {"matchLabels": {"app": "load"}},
            "ingress": [{
                "from": [{"namespaceSelector": {"matchLabels": {"team": peer}}}],
                "ports": [{"port": 8000 + number + turn % 7}],
            }],
        },
    })
    .to_string()
}
