//! The configuration files of what runs on a node.

use std::path::Path;

use serde_json::{Value, json};

use super::image::PAUSE;
use super::{Cni, Proxy};
use crate::lab::NodeSpec;

/// Where containerd answers.
pub(super) const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// The name of the pod network, under which `host-local` keeps its addresses.
pub(super) const NETWORK: &str = "pods";
const CNI_FOLDER: &str = "/run/cni";

pub(super) fn containerd(binaries: &Path) -> String {
    format!(
        r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "{CONTAINERD}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.runtime"]
# Scores below one's own need a capability that build machines may lack.
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{}"]
conf_dir = "{CNI_FOLDER}"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
"#,
        binaries.display()
    )
}

/// The pod network of a node.
pub(super) fn cni(kind: Cni, node: &NodeSpec) -> Value {
    let ranges: Vec<Value> = node
        .pod_ranges()
        .iter()
        .map(|range| json!([{"subnet": range.to_string()}]))
        .collect();
    let ipam = json!({
        "type": "host-local",
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    });
    let main = match kind {
        Cni::Bridge => json!({
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "hairpinMode": true,
            "ipam": ipam,
        }),
        Cni::Ptp => json!({"type": "ptp", "ipam": ipam}),
    };
    let ports = json!({
        "type": "portmap",
        "capabilities": {"portMappings": true},
        "snat": true,
        "backend": "nftables",
    });
    json!({"cniVersion": "1.0.0", "name": NETWORK, "plugins": [main, ports]})
}

/// `serving` is certificate and key.
pub(super) fn kubelet(authority: &Path, serving: &[String; 2]) -> Value {
    let [certificate, key] = serving;
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "tlsCertFile": certificate,
        "tlsPrivateKeyFile": key,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": authority},
        },
        "authorization": {"mode": "Webhook"},
        // The machine's control groups may be of either version; what they limit does not matter here.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "oomScoreAdj": 0,
        // How full the machine's disk is says nothing about the node.
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "resolvConf": "",
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
    })
}

/// A kubelet that knows no API server and runs what lies in a folder.
pub(super) fn lone_kubelet(manifests: &str) -> Value {
    let mut kubelet = kubelet(Path::new(""), &[String::new(), String::new()]);
    let changed = json!({
        "enableServer": false,
        "staticPodPath": manifests,
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
    });
    if let (Value::Object(kubelet), Value::Object(changed)) = (&mut kubelet, changed) {
        kubelet.extend(changed);
        kubelet.retain(|key, _| !key.starts_with("tls"));
    }
    kubelet
}

pub(super) fn kube_proxy(mode: Proxy, node: &NodeSpec, kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig},
        "mode": mode.to_string(),
        // One range of each family holds those of all nodes.
        "detectLocalMode": "ClusterCIDR",
        "clusterCIDR": "10.244.0.0/16,fd00:10:244::/48",
        "hostnameOverride": node.name,
        "bindAddress": "0.0.0.0",
        "healthzBindAddress": format!("127.0.0.1:{PROXY_HEALTH}"),
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        // These belong to the machine.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    })
}

/// Where kube-proxy says whether it has programmed the node.
pub(super) const PROXY_HEALTH: u16 = 10_256;
