//! A cluster with the pods of the scenarios, and how a scenario asks who reaches whom.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netpol_tests::control_plane;
use netpol_tests::kubernetes::{Cluster, ClusterError, Options, wait_for};
use netpol_tests::lab::OUTSIDE;
use serde_json::{Value, json};

use crate::enforcement::Enforced;
use crate::pods::{self, PORT};
use crate::questions::{Row, ask, sockets};

/// How soon pods are up and changes are obeyed. Ordinarily it takes seconds and tenths of them. The machine may be busy, and
/// where many pods come and go its kernel may keep its own threads from the processors for a minute.
pub(crate) const SOON: Duration = Duration::from_secs(180);
const OBEYED_WITHIN: Duration = Duration::from_secs(180);

/// What a scenario says at its end.
pub(crate) type Outcome = Result<(), String>;

pub(crate) struct Stage {
    pub(crate) options: Options,
    pub(crate) enforced: Enforced,
    pub(crate) cluster: Cluster,
}

impl Stage {
    /// Creates the pods and Services that all scenarios share, and waits for them.
    pub(crate) fn set(&self) -> Result<(), ClusterError> {
        for namespace in ["shop", "guests"] {
            self.cluster
                .create_namespace(namespace, &json!({"team": namespace}))?;
        }
        self.cluster.apply(include_str!("stage.yaml"))?;
        let mut names = Vec::new();
        for (node, letter) in [("node-a", 'a'), ("node-b", 'b')] {
            let pods = [
                pods::server_with_host_port("shop", &format!("web-{letter}"), "web", node),
                pods::server("shop", &format!("client-{letter}"), "client", node),
                pods::server("guests", &format!("guest-{letter}"), "guest", node),
            ];
            for pod in &pods {
                self.cluster.control_plane().create(pod)?;
                names.push(key(pod));
            }
        }
        names
            .iter()
            .try_for_each(|name| self.wait_running(name).map(drop))
    }

    /// Waits for a pod, `NAMESPACE/NAME`, to be ready. Returns it.
    pub(crate) fn wait_running(&self, pod: &str) -> Result<Value, ClusterError> {
        wait_for(&format!("{pod} ready"), SOON, || {
            let found = self.object(pod)?;
            if is_ready(&found) {
                Ok(found)
            } else {
                Err(found["status"].to_string())
            }
        })
    }

    /// A pod as the API server has it.
    pub(crate) fn object(&self, pod: &str) -> Result<Value, String> {
        let (namespace, name) = pod.split_once('/').unwrap_or(("default", pod));
        let object = control_plane::pod(namespace, name);
        let found = self.cluster.control_plane().get(&object);
        found.map_err(|error| error.to_string())
    }

    /// Has policies in force, waits until all rows are so, and takes the policies away.
    pub(crate) fn under(&self, policies: &str, rows: &[Row<'_>]) -> Outcome {
        self.cluster.apply(policies).map_err(text)?;
        let outcome = self.expect(rows);
        self.without(policies)?;
        outcome
    }

    /// Takes policies away.
    pub(crate) fn without(&self, policies: &str) -> Outcome {
        let delete = ["delete", "--wait=false", "-f", "-"];
        self.cluster
            .kubectl_with(&delete, policies)
            .map(drop)
            .map_err(text)
    }

    /// Waits until all rows are so, all at the same time.
    pub(crate) fn expect(&self, rows: &[Row<'_>]) -> Outcome {
        let asked = wait_for("what policies say", OBEYED_WITHIN, || {
            let mut questions = Vec::new();
            for row in rows {
                questions.extend(self.questions(row)?);
            }
            let wrong = ask(&questions);
            if wrong.is_empty() {
                return Ok(());
            }
            Err(format!(
                "{} of {} wrong:\n{}",
                wrong.len(),
                questions.len(),
                wrong.join("\n")
            ))
        });
        asked.map_err(text)
    }

    /// The first address of a pod.
    pub(crate) fn address(&self, pod: &str) -> Result<IpAddr, String> {
        let addresses = self.addresses(pod)?;
        addresses
            .first()
            .copied()
            .ok_or_else(|| format!("{pod} has no address"))
    }

    /// The addresses of a pod.
    pub(crate) fn addresses(&self, pod: &str) -> Result<Vec<IpAddr>, String> {
        let found = sockets(&self.object(pod)?["status"]["podIPs"], "ip", PORT);
        Ok(found.iter().map(SocketAddr::ip).collect())
    }

    /// All addresses of a pod, a node or the outside.
    pub(crate) fn all_addresses(&self, place: &str) -> Result<Vec<IpAddr>, String> {
        if place.contains('/') {
            return self.addresses(place);
        }
        if place == "outside" {
            let (v4, v6) = OUTSIDE;
            return Ok(vec![v4.into(), v6.into()]);
        }
        let node = self.cluster.node(place).map_err(text)?.spec();
        Ok(vec![node.v4.into(), node.v6.into()])
    }
}

/// Whether a pod's status says that it is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// `NAMESPACE/NAME`
pub(crate) fn key(object: &Value) -> String {
    let word = |field: &str| {
        object["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    format!("{}/{}", word("namespace"), word("name"))
}

/// An error as scenarios tell it.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The pods of a namespace with a label.
pub(crate) fn listed(stage: &Stage, namespace: &str, selector: &str) -> Result<Vec<Value>, String> {
    let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}");
    let list = stage.cluster.control_plane().read(&path).map_err(text)?;
    let items = list["items"].as_array().into_iter().flatten();
    Ok(items.cloned().collect())
}
