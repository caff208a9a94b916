//! An agent's pod, as far as its log is concerned.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::Log;
use serde::Deserialize;

/// The container that the manifests name so.
const CONTAINER: &str = "netpol";
/// By this pods say whose log is meant if nobody says.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// A pod; all but a few fields are passed over.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct AgentPod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    containers: Vec<Container>,
}

#[derive(Clone, Debug, Deserialize)]
struct Container {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    restart_count: u32,
}

impl AgentPod {
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Empty until it is placed.
    pub(super) fn node(&self) -> &str {
        &self.spec.node_name
    }

    /// Which of its containers is the agent.
    pub(super) fn container(&self) -> Option<&str> {
        let annotations = self.metadata.annotations.as_ref();
        let wanted = annotations
            .and_then(|annotations| annotations.get(DEFAULT_CONTAINER))
            .map_or(CONTAINER, String::as_str);
        let containers = &self.spec.containers;
        let found = containers.iter().find(|container| container.name == wanted);
        let of = found.or(containers.first())?;
        Some(&of.name)
    }

    /// Whether the agent is not the first in its pod, and the one before it may have left a log.
    pub(super) fn has_predecessor(&self) -> bool {
        let statuses = self.status.container_statuses.iter();
        statuses
            .filter(|status| Some(status.name.as_str()) == self.container())
            .any(|status| status.restart_count > 0)
    }

    /// What to call it.
    pub(super) fn display_name(&self) -> String {
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        match self.node() {
            "" => format!("{namespace}/{}", self.name()),
            node => format!("{namespace}/{} on {node}", self.name()),
        }
    }
}

impl Resource for AgentPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Log for AgentPod {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whose_log_is_meant() {
        let rows = [
            (
                json!({}),
                json!([{"name": "other"}, {"name": "netpol"}]),
                Some("netpol"),
            ),
            (
                json!({}),
                json!([{"name": "first"}, {"name": "second"}]),
                Some("first"),
            ),
            (
                json!({DEFAULT_CONTAINER: "second"}),
                json!([{"name": "netpol"}, {"name": "second"}]),
                Some("second"),
            ),
            (json!({}), json!([]), None),
        ];
        for (annotations, containers, expected) in rows {
            let json = json!({
                "metadata": {"name": "netpol-x", "namespace": "kube-system", "annotations": annotations},
                "spec": {"nodeName": "node-a", "containers": containers},
                "status": {"containerStatuses": [{"name": "other", "restartCount": 2}, {"name": "second", "restartCount": 1}]},
            });
            let pod: AgentPod = serde_json::from_value(json).expect("a pod");
            assert_eq!(pod.container(), expected);
            assert_eq!(pod.has_predecessor(), expected == Some("second"));
            assert_eq!(pod.display_name(), "kube-system/netpol-x on node-a");
        }
    }

    #[test]
    fn a_pod_without_a_node() {
        let json = json!({"metadata": {"name": "netpol-x", "namespace": "a"}});
        let pod: AgentPod = serde_json::from_value(json).expect("a pod");
        assert_eq!(
            (pod.node(), pod.display_name().as_str()),
            ("", "a/netpol-x")
        );
    }
}
