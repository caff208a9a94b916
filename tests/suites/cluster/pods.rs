//! The pods of the scenarios, as objects.

use netpol_tests::kubernetes::AGNHOST;
use serde_json::{Value, json};

/// Where every server listens, TCP and UDP.
pub(crate) const PORT: u16 = 8080;
/// A second port of every server, TCP alone.
pub(crate) const OTHER_PORT: u16 = 9090;
/// Where the nodes of the web servers lead to them.
pub(crate) const HOST_PORT: u16 = 30_080;

/// A pod that answers on both ports.
pub(crate) fn server(namespace: &str, name: &str, app: &str, node: &str) -> Value {
    let mut spec = server_spec();
    spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": app, "host": node}},
        "spec": spec,
    })
}

/// As [`server`], with a port of its node.
pub(crate) fn server_with_host_port(namespace: &str, name: &str, app: &str, node: &str) -> Value {
    let mut pod = server(namespace, name, app, node);
    let port = |protocol: &str| json!({"containerPort": PORT, "hostPort": HOST_PORT, "protocol": protocol});
    pod["spec"]["containers"][0]["ports"] = json!([port("TCP"), port("UDP")]);
    pod
}

/// What a pod is made of that answers on both ports.
pub(crate) fn server_spec() -> Value {
    let container = |name: &str, tcp: u16, udp: i32| {
        json!({
            "name": name,
            "image": AGNHOST,
            "args": ["netexec", format!("--http-port={tcp}"), format!("--udp-port={udp}")],
        })
    };
    json!({
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 1,
        "containers": [
            container("main", PORT, PORT.into()),
            container("other", OTHER_PORT, -1),
        ],
    })
}
