//! The `netpol` binary as people meet it: what it prints where, and its exit codes. Nothing here touches the kernel.

mod compile;
mod explain;
mod flows;
mod plugin;
mod usage;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-a}
status: {phase: Running, podIPs: [{ip: 10.244.1.2}, {ip: 'fd00:10:244:1::2'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec:
  nodeName: node-b
  containers: [{name: db, ports: [{name: sql, containerPort: 5432}]}]
status: {phase: Running, podIPs: [{ip: 10.244.2.3}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
";

const BAD: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  ingress:
  - ports:
    - port: 0
";

/// A folder with `shop.yaml` and `bad.yaml`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("shop.yaml"), SHOP).expect("written");
    std::fs::write(folder.path().join("bad.yaml"), BAD).expect("written");
    folder
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `netpol` in `folder`, where there is no kubeconfig to be found by chance.
fn netpol_with_input(folder: &TempDir, arguments: &str, input: &str) -> Ran {
    run_as("netpol", folder, arguments, input)
}

/// The same program by another name.
fn run_as(name: &str, folder: &TempDir, arguments: &str, input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_netpol"))
        .arg0(name)
        .args(arguments.split_whitespace())
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("netpol starts");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes())
        .expect("read");
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("netpol ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

fn netpol(folder: &TempDir, arguments: &str) -> Ran {
    netpol_with_input(folder, arguments, "")
}
