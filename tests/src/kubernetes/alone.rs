//! A node without a cluster: containerd, and a kubelet that runs the pods whose manifests lie in a folder.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::network::{EVERYWHERE, NODE};
use super::node::Node;
use super::{ClusterError, Cni, Options, Proxy, config, image, leftovers};
use crate::control_plane::program;
use crate::lab::{NODES, Netns};

const MANIFESTS: &str = "/run/manifests";

/// A running node. Everything ends with it.
pub struct LoneNode {
    // The node ends before its files.
    node: Node,
    _directory: TempDir,
}

impl LoneNode {
    /// Builds the programs if need be, and starts them.
    pub fn start(cni: Cni) -> Result<Self, ClusterError> {
        let binaries = program::build(Some("cluster"))?;
        leftovers::sweep();
        let directory = leftovers::folder()?;
        let [spec, _] = NODES;
        let netns = Netns::new(spec.name)?;
        netns.sysctl(EVERYWHERE)?;
        netns.sysctl(NODE)?;
        // A kubelet wants to know its address.
        netns.ip(&format!(
            "link set lo up\naddress add {}/32 dev lo\n",
            spec.v4
        ))?;
        let archive = image::agnhost(&binaries)?;
        let options = Options {
            cni,
            proxy: Proxy::Nftables,
        };
        let folder = directory.path().join(spec.name);
        let mut node = Node::start(spec, netns, &binaries, folder, options)?;
        node.wait_for_containerd()?;
        node.import(&archive)?;
        node.run(&["mkdir", MANIFESTS])?;
        node.run_kubelet(&config::lone_kubelet(MANIFESTS))?;
        Ok(Self {
            node,
            _directory: directory,
        })
    }

    /// The node itself.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Has a pod run, whose name is told: the kubelet adds the node's to it.
    pub fn run_pod(&self, name: &str, spec: &Value) -> Result<String, ClusterError> {
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": spec,
        });
        // The kubelet must not see half of it, and passes over what begins with a dot.
        let place = self.manifest(name);
        let part = place.with_file_name(format!(".{name}"));
        std::fs::write(&part, manifest.to_string())
            .and_then(|()| std::fs::rename(&part, &place))
            .map_err(ClusterError::io(format!("write {}", place.display())))?;
        Ok(format!("{name}-{}", self.node.spec().name))
    }

    /// Has a pod removed.
    pub fn remove_pod(&self, name: &str) -> Result<(), ClusterError> {
        let place = self.manifest(name);
        std::fs::remove_file(&place)
            .map_err(ClusterError::io(format!("remove {}", place.display())))
    }

    /// The containers of a pod, init containers included, that have been made and not removed.
    pub fn containers(&self, pod: &str) -> Result<Vec<String>, ClusterError> {
        let filter = format!(
            r#"labels."io.kubernetes.pod.name"=={pod},labels."io.cri-containerd.kind"==container"#
        );
        let mut words = vec!["ctr", "--address", config::CONTAINERD];
        words.extend(["--namespace", "k8s.io", "containers", "list", "-q"]);
        words.push(&filter);
        let listed = self.node.run(&words)?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Kills containerd and starts it again. Pods go on meanwhile.
    pub fn restart_containerd(&mut self) -> Result<(), ClusterError> {
        self.node.restart_containerd()
    }

    /// The socket that containerd's plugins connect to.
    pub fn nri(&self) -> PathBuf {
        self.node.file("/run/nri/nri.sock")
    }

    fn manifest(&self, name: &str) -> PathBuf {
        let folder = self.node.file(MANIFESTS);
        Path::new(&folder).join(format!("{name}.json"))
    }
}
