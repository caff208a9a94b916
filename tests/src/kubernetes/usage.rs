//! What a test does with a cluster.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Cluster, ClusterError, Node, command, config, wait_for};
use crate::control_plane::ControlPlane;
use crate::lab::Netns;

const READY_WITHIN: Duration = Duration::from_secs(300);

impl Cluster {
    /// Its nodes, by their order of names.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node by its name.
    pub fn node(&self, name: &str) -> Result<&Node, ClusterError> {
        let node = self.nodes.iter().find(|node| node.spec().name == name);
        node.ok_or_else(|| crate::lab::LabError::NoSuchPlace(name.to_owned()).into())
    }

    /// The network of the control plane, and of whoever comes from outside.
    pub fn control(&self) -> &Netns {
        &self.control
    }

    /// The API server, for requests without `kubectl`.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// The folder of logs and certificates, gone with the cluster.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The folder of the programs.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// The administrator's kubeconfig file, good where the API server can be reached: inside the cluster's networks.
    pub fn kubeconfig(&self) -> &Path {
        self.control_plane.kubeconfig()
    }

    /// The words before those of a `kubectl` command: they enter the control plane's network.
    pub fn kubectl_prefix(&self) -> Vec<String> {
        let kubectl = self.binaries.join("kubectl");
        vec![
            "nsenter".to_owned(),
            format!("--net={}", self.control.path().display()),
            kubectl.display().to_string(),
            format!("--kubeconfig={}", self.kubeconfig().display()),
        ]
    }

    /// The words before those of a program to run on a node.
    pub fn node_prefixes(&self) -> Vec<(&'static str, Vec<String>)> {
        let enter = |node: &Node| {
            let nsenter = std::iter::once("nsenter".to_owned());
            (node.spec().name, nsenter.chain(node.entrance()).collect())
        };
        self.nodes.iter().map(enter).collect()
    }

    /// Runs `kubectl` and returns what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        self.kubectl_with(arguments, "")
    }

    /// As [`Cluster::kubectl`], with something on its standard input.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, ClusterError> {
        let prefix = self.kubectl_prefix();
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).args(arguments);
        command::run("control", &mut command, input)
    }

    /// `kubectl apply` of YAML.
    pub fn apply(&self, manifests: &str) -> Result<(), ClusterError> {
        self.kubectl_with(&["apply", "-f", "-"], manifests)
            .map(drop)
    }

    /// Creates a namespace with a label, and waits until pods can be created in it.
    pub fn create_namespace(&self, name: &str, labels: &Value) -> Result<(), ClusterError> {
        self.control_plane.create(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": labels},
        }))?;
        self.wait_for_account(name)
    }

    /// Runs a program in a pod's first container and returns what it printed.
    pub fn exec(&self, namespace: &str, pod: &str, words: &[&str]) -> Result<String, ClusterError> {
        let kubectl = ["exec", "--namespace", namespace, pod, "--"];
        let arguments: Vec<&str> = kubectl.into_iter().chain(words.iter().copied()).collect();
        self.kubectl(&arguments)
    }

    /// What a pod's first container has printed.
    pub fn logs(&self, namespace: &str, pod: &str) -> Result<String, ClusterError> {
        self.kubectl(&["logs", "--namespace", namespace, pod])
    }

    /// Makes the images in an archive known to all nodes.
    pub fn import(&self, archive: &Path) -> Result<(), ClusterError> {
        std::thread::scope(|scope| {
            let importing = self
                .nodes
                .iter()
                .map(|node| scope.spawn(|| node.import(archive)));
            let importing: Vec<_> = importing.collect();
            importing
                .into_iter()
                .try_for_each(|thread| super::joined(thread.join()))
        })
    }

    /// Waits until nodes take pods, Services are translated, and pods can be created.
    pub(super) fn wait_ready(&mut self) -> Result<(), ClusterError> {
        for at in 0..self.nodes.len() {
            let name = self.nodes[at].spec().name;
            let ready = wait_for(&format!("{name} ready"), READY_WITHIN, || {
                if let Some(casualty) = self.nodes[at].casualty() {
                    return Ok(Err(casualty));
                }
                self.is_ready(name).map(Ok)
            })?;
            ready?;
        }
        self.wait_for_account("default")
    }

    fn is_ready(&self, node: &str) -> Result<(), String> {
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
        let found = self
            .control_plane
            .get(&object)
            .map_err(|error| error.to_string())?;
        let conditions = found["status"]["conditions"].as_array();
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Ready");
        let is_ready = ready.is_some_and(|condition| condition["status"] == "True");
        let tainted = found["spec"]["taints"]
            .as_array()
            .is_some_and(|t| !t.is_empty());
        if !is_ready || tainted {
            return Err(format!("{ready:?}, {}", found["spec"]["taints"]));
        }
        let netns = self.node(node).map_err(|error| error.to_string())?.netns();
        let port = config::PROXY_HEALTH;
        let answer = netns
            .call(move || crate::lab::http_get(([127, 0, 0, 1], port).into(), "/healthz"))
            .map_err(|error| error.to_string())?;
        match answer {
            Ok((200, _)) => Ok(()),
            other => Err(format!("kube-proxy: {other:?}")),
        }
    }

    fn wait_for_account(&self, namespace: &str) -> Result<(), ClusterError> {
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"namespace": namespace, "name": "default"},
        });
        let what = format!("service account of namespace {namespace}");
        wait_for(&what, READY_WITHIN, || {
            self.control_plane
                .get(&account)
                .map_err(|error| error.to_string())
        })
        .map(drop)
    }

    /// A file of the cluster's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
