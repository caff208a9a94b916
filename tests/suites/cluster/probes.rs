//! Kubelets' probes of isolated pods.

use netpol_tests::kubernetes::wait_for;
use serde_json::{Value, json};

use crate::Scenario;
use crate::pods::{self, PORT};
use crate::stage::{Outcome, SOON, Stage, is_ready, text};

pub(crate) const SCENARIOS: &[Scenario] = &[("probes of isolated pods", probes)];

/// So many probes in a row have to succeed; one that fails makes the pod unready.
const ROUNDS: u64 = 5;

fn probes(stage: &mut Stage) -> Outcome {
    stage
        .cluster
        .create_namespace("probed", &json!({}))
        .map_err(text)?;
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: probed}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";
    stage.cluster.apply(policy).map_err(text)?;
    let http = json!({"httpGet": {"path": "/healthz", "port": PORT}});
    let tcp = json!({"tcpSocket": {"port": PORT}});
    let pods: Vec<Value> = [("http", "node-a", http), ("tcp", "node-b", tcp)]
        .into_iter()
        .map(|(name, node, mut probe)| {
            let mut pod = pods::server("probed", name, "probed", node);
            probe["periodSeconds"] = json!(1);
            probe["failureThreshold"] = json!(1);
            // An answer that a busy machine delays is no failure; one that a policy drops never comes.
            probe["timeoutSeconds"] = json!(5);
            pod["spec"]["containers"][0]["readinessProbe"] = probe;
            pod
        })
        .collect();
    for pod in &pods {
        stage.cluster.control_plane().create(pod).map_err(text)?;
    }
    let names = ["probed/http", "probed/tcp"];
    let mut since = Vec::new();
    for name in names {
        since.push(ready_since(&stage.wait_running(name).map_err(text)?));
    }
    let closed = names.map(|name| ("guests/guest-a", name, false));
    stage.expect(&closed)?;
    let mut wanted = Vec::new();
    for name in names {
        wanted.push(successes(stage, name)? + ROUNDS);
    }
    wait_for(&format!("{ROUNDS} probes each"), SOON, || {
        for (name, wanted) in names.iter().zip(&wanted) {
            let now = successes(stage, name)?;
            if now < *wanted {
                return Err(format!("{name} has had {now} of {wanted}"));
            }
        }
        Ok(())
    })
    .map_err(text)?;
    for (name, since) in names.iter().zip(since) {
        let pod = stage.object(name)?;
        if !is_ready(&pod) || ready_since(&pod) != since {
            return Err(format!(
                "{name} was not ready all the time: {}",
                pod["status"]
            ));
        }
    }
    stage
        .cluster
        .kubectl(&["delete", "namespace", "probed", "--wait=false"])
        .map(drop)
        .map_err(text)
}

fn ready_since(pod: &Value) -> Value {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready");
    ready
        .map(|condition| condition["lastTransitionTime"].clone())
        .unwrap_or_default()
}

/// How many readiness probes of a pod have succeeded, as its kubelet counts.
fn successes(stage: &Stage, pod: &str) -> Result<u64, String> {
    let found = stage.object(pod)?;
    let node = found["spec"]["nodeName"].as_str().unwrap_or_default();
    let path = format!("/api/v1/nodes/{node}/proxy/metrics/probes");
    let metrics = stage.cluster.control_plane().text(&path).map_err(text)?;
    let (_, name) = pod.split_once('/').unwrap_or_default();
    let words = [
        "prober_probe_total{".to_owned(),
        format!("pod=\"{name}\""),
        "probe_type=\"Readiness\"".to_owned(),
        "result=\"successful\"".to_owned(),
    ];
    let line = metrics
        .lines()
        .find(|line| words.iter().all(|word| line.contains(word)));
    let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    // A count of some dozens.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(count.unwrap_or_default() as u64)
}
