//! The `netpol` binary as people meet it: what it prints where, and its exit codes. Nothing here touches the kernel.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use similar_asserts::assert_eq;
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
    let mut child = Command::new(env!("CARGO_BIN_EXE_netpol"))
        .args(arguments.split_whitespace())
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("netpol starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
    let Output { status, stdout, stderr } = child.wait_with_output().expect("netpol ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn netpol(folder: &TempDir, arguments: &str) -> Ran {
    netpol_with_input(folder, arguments, "")
}

#[test]
fn help_names_each_command_and_shows_examples() {
    let folder = folder();
    let ran = netpol(&folder, "--help");
    assert_eq!(ran.code, Some(0));
    for word in ["compile", "explain", "agent", "cleanup", "Examples:"] {
        assert!(ran.stdout.contains(word), "{word} is missing in:\n{}", ran.stdout);
    }
    for command in ["compile", "explain", "agent"] {
        let ran = netpol(&folder, &format!("{command} --help"));
        assert!(ran.stdout.contains("Examples:"), "{}", ran.stdout);
        assert!(ran.stdout.lines().all(|line| line.chars().count() <= 100), "{}", ran.stdout);
    }
    assert_eq!(netpol(&folder, "--version").stdout, concat!("netpol ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(netpol(&folder, "compil").code, Some(2));
}

#[test]
fn compile_prints_a_table() {
    let folder = folder();
    let ran = netpol(&folder, "compile -f shop.yaml");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.starts_with("table inet netpol {\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("10.244.2.3") && ran.stdout.contains("10.244.1.2"), "{}", ran.stdout);
    let again = netpol(&folder, "compile shop.yaml");
    assert_eq!(again.stdout, ran.stdout);
    assert_eq!(netpol_with_input(&folder, "compile -f -", SHOP).stdout, ran.stdout);
}

#[test]
fn compile_narrows_to_a_node_or_a_pod() {
    let folder = folder();
    let of_node_a = netpol(&folder, "compile -f shop.yaml --node node-a");
    assert!(!of_node_a.stdout.contains("10.244.2.3"), "{}", of_node_a.stdout);
    assert_eq!(of_node_a.stderr, "note: these rules let everything pass: no pod is isolated\n");
    let of_db = netpol(&folder, "compile -f shop.yaml --pod shop/db");
    assert!(of_db.stdout.contains("10.244.2.3"), "{}", of_db.stdout);
    for (arguments, complaint) in [
        ("--pod shop/bd", "error: there is no pod shop/bd; did you mean shop/db?\n"),
        ("--pod shop/db --node node-a", "error: pod shop/db does not run on node node-a\n"),
    ] {
        let ran = netpol(&folder, &format!("compile -f shop.yaml {arguments}"));
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(1), "", complaint));
    }
}

#[test]
fn compile_prints_json_for_nft() {
    let ran = netpol(&folder(), "compile -f shop.yaml -o json");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert!(json["nftables"].as_array().is_some_and(|objects| objects.len() > 5), "{json}");
}

#[test]
fn json_and_lists_are_read() {
    let folder = folder();
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"podIP": "10.0.0.9"}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "n"}, "spec": {}}]}"#;
    let ran = netpol_with_input(&folder, "compile -f -", list);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains("10.0.0.9"), "{}", ran.stdout);
}

#[test]
fn a_mistake_prints_nothing_but_the_mistake() {
    let folder = folder();
    for arguments in ["compile -f bad.yaml", "compile -f shop.yaml -f bad.yaml", "compile -f bad.yaml -o summary"] {
        let ran = netpol(&folder, arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{arguments}");
        assert!(
            ran.stderr.starts_with("error: networkpolicy shop/db: spec.ingress[0].ports[0].port: Invalid value: 0: ")
                || ran.stderr.contains("\nerror: networkpolicy shop/db: "),
            "{}",
            ran.stderr
        );
        let excerpt = " --> bad.yaml:7:13\n  |\n7 |     - port: 0\n  |             ^\n";
        assert!(ran.stderr.contains(excerpt), "{}", ran.stderr);
    }
    let ran = netpol(&folder, "compile -f shop.yaml -f missing.yaml");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("missing.yaml: cannot be read"), "{}", ran.stderr);
}

#[test]
fn without_input_it_says_what_to_give() {
    let folder = folder();
    for command in ["compile", "explain --from a --to b --port 80"] {
        let ran = netpol(&folder, command);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.contains("give manifests with -f FILE"), "{}", ran.stderr);
    }
    let ran = netpol(&folder, "compile --kubeconfig nowhere.conf");
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr, "error: kubeconfig nowhere.conf: cannot be read: No such file or directory (os error 2)\n");
    std::fs::write(folder.path().join("k.conf"), "apiVersion: v1\nkind: Config\ncontexts:\n- name: prod\n").expect("written");
    let ran = netpol(&folder, "compile --kubeconfig k.conf --context prd");
    assert_eq!(ran.stderr, "error: kubeconfig k.conf: there is no context \"prd\"; there are: prod\n");
    assert_eq!(netpol(&folder, "compile -f shop.yaml --kubeconfig k.conf").code, Some(2));
}

#[test]
fn the_summary_says_who_is_isolated() {
    let ran = netpol(&folder(), "compile -f shop.yaml -o summary");
    assert_eq!(ran.code, Some(0));
    let expected = "\
POD       NODE    ADDRESSES                    INGRESS     EGRESS
shop/db   node-b  10.244.2.3                   1 pod (db)  open
shop/web  node-a  10.244.1.2,fd00:10:244:1::2  open        open
";
    assert_eq!(ran.stdout, expected);
    let manifests = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n---\n\
                     apiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\n\
                     apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: none, namespace: pay}\nspec: {}\n";
    let ran = netpol_with_input(&folder(), "compile -f - -o summary", manifests);
    let expected = "\
POD        NODE  ADDRESSES  INGRESS  EGRESS
default/p  -     -          open     open

No address yet, so nothing to program (status.podIPs is empty):
  default/p

Policies that select no pod:
  pay/none

Namespaces without manifest, known by name and without labels of their own:
  default, pay

Kinds that policy does not depend on, passed over:
  Service
";
    assert_eq!(ran.stdout, expected);
}

/// Rows: from, to, port, what the answer holds.
#[test]
fn explain_judges() {
    let folder = folder();
    for (from, to, port, expected) in [
        ("shop/web", "shop/db", "tcp/5432", "shop/web -> shop/db TCP 5432: ALLOWED\n"),
        ("shop/web", "shop/db", "sql", "shop/web -> shop/db TCP 5432: ALLOWED\n"),
        ("shop/web", "shop/db", "tcp/80", "shop/web -> shop/db TCP 80: DENIED\n"),
        ("shop/web", "shop/db", "icmp", "DENIED\n"),
        ("192.0.2.1", "shop/db", "5432", "192.0.2.1 -> shop/db TCP 5432: DENIED\n"),
        ("node:node-b/172.30.0.12", "shop/db", "5432", "its own node may always connect"),
        ("node:node-a/172.30.0.11", "shop/db", "5432", "DENIED\n"),
        ("shop/db", "shop/web", "tcp/1", "ALLOWED\n"),
    ] {
        let ran = netpol(&folder, &format!("explain -f shop.yaml --from {from} --to {to} --port {port}"));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{from} {to} {port}");
        assert!(ran.stdout.contains(expected), "{from} {to} {port}: {}", ran.stdout);
    }
}

/// Rows: from, to, port, the complaint.
#[test]
fn explain_says_what_it_cannot_judge() {
    let folder = folder();
    for (from, to, port, expected) in [
        ("shop/wbe", "shop/db", "80", "there is no pod shop/wbe; did you mean shop/web?"),
        ("fd00::9", "shop/db", "80", "the two ends have no address of the same family"),
        ("node:node-a", "shop/db", "80", "write node:node-a/ADDRESS"),
        ("shop/web", "10.0.0.1", "tcp/http", "only a pod's ports have names"),
        ("shop/web", "shop/db", "tcp/http", "pod shop/db has no TCP port of the name http"),
    ] {
        let ran = netpol(&folder, &format!("explain -f shop.yaml --from {from} --to {to} --port {port}"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{from} {to} {port}");
        assert!(ran.stderr.contains(expected), "{from} {to} {port}: {}", ran.stderr);
    }
}

#[test]
fn pods_that_were_never_started_can_be_asked_about() {
    let manifests = SHOP.lines().filter(|line| !line.starts_with("status:")).collect::<Vec<_>>().join("\n");
    let ran = netpol_with_input(&folder(), "explain -f - --from shop/web --to shop/db --port 80", &manifests);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("shop/web -> shop/db TCP 80: DENIED"), "{}", ran.stdout);
    assert!(ran.stderr.contains("pod shop/db has no address yet (status.podIPs)"), "{}", ran.stderr);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = folder();
    let path: PathBuf = folder.path().join("shop.yaml");
    let mut child = Command::new(env!("CARGO_BIN_EXE_netpol"))
        .args(["compile", "-f"])
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("netpol starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("netpol ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_agent_says_what_it_lacks() {
    let folder = folder();
    let ran = netpol(&folder, "agent");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("Give --node-name NAME or set NODE_NAME"), "{}", ran.stderr);
    let ran = netpol(&folder, "agent --node-name Node_A");
    assert!(ran.stderr.contains("--node-name \\\"Node_A\\\"") || ran.stderr.contains("--node-name \"Node_A\""), "{}", ran.stderr);
    for arguments in ["--debounce 5", "--listen 9808", "--log-format xml", "--manifests . --kubeconfig k"] {
        let ran = netpol(&folder, &format!("agent --node-name a {arguments}"));
        assert_eq!(ran.code, Some(2), "{arguments}: {}", ran.stderr);
    }
}
