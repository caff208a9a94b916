//! What is said of wrong or missing arguments.

use std::process::{Command, Stdio};

use similar_asserts::assert_eq;

use crate::{folder, netpol};

#[test]
fn help_names_each_command_and_shows_examples() {
    let folder = folder();
    let ran = netpol(&folder, "--help");
    assert_eq!(ran.code, Some(0));
    for word in [
        "compile",
        "explain",
        "agent",
        "flows",
        "cleanup",
        "verify",
        "completions",
        "Examples:",
    ] {
        assert!(
            ran.stdout.contains(word),
            "{word} is missing in:\n{}",
            ran.stdout
        );
    }
    for command in [
        "compile",
        "explain",
        "flows",
        "agent",
        "cleanup",
        "verify",
        "completions",
    ] {
        let ran = netpol(&folder, &format!("{command} --help"));
        for word in ["Examples:", "Exit codes:"] {
            assert!(ran.stdout.contains(word), "{}", ran.stdout);
        }
        assert!(
            ran.stdout.lines().all(|line| line.chars().count() <= 100),
            "{}",
            ran.stdout
        );
    }
    assert_eq!(
        netpol(&folder, "--version").stdout,
        concat!("netpol ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_eq!(netpol(&folder, "compil").code, Some(2));
}

#[test]
fn without_input_it_says_what_to_give() {
    let folder = folder();
    for command in ["compile", "explain --from a --to b --port 80"] {
        let ran = netpol(&folder, command);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert!(
            ran.stderr.contains("give manifests with -f FILE"),
            "{}",
            ran.stderr
        );
    }
    let ran = netpol(&folder, "compile --kubeconfig nowhere.conf");
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stderr,
        "error: kubeconfig nowhere.conf: cannot be read: No such file or directory (os error 2)\n"
    );
    std::fs::write(
        folder.path().join("k.conf"),
        "apiVersion: v1\nkind: Config\ncontexts:\n- name: prod\n",
    )
    .expect("written");
    let ran = netpol(&folder, "compile --kubeconfig k.conf --context prd");
    assert_eq!(
        ran.stderr,
        "error: kubeconfig k.conf: there is no context \"prd\"; there are: prod\n"
    );
    // Nothing of the file is shown: tokens are in it.
    std::fs::write(
        folder.path().join("k.conf"),
        "users:\n- name: u\n  user:\n    token: s3cr3t\n  x: [\n",
    )
    .expect("written");
    let ran = netpol(&folder, "compile --kubeconfig k.conf");
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("line 5") && !ran.stderr.contains("s3cr3t"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        netpol(&folder, "compile -f shop.yaml --kubeconfig k.conf").code,
        Some(2)
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = folder();
    let path = folder.path().join("shop.yaml");
    let mut child = Command::new(env!("CARGO_BIN_EXE_netpol"))
        .args(["compile", "-f"])
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("netpol starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("netpol ends");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_agent_says_what_it_lacks() {
    let folder = folder();
    let ran = netpol(&folder, "agent");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(
        ran.stderr
            .contains("Give --node-name NAME or set NODE_NAME"),
        "{}",
        ran.stderr
    );
    let ran = netpol(&folder, "agent --node-name Node_A");
    assert!(
        ran.stderr.contains("--node-name \\\"Node_A\\\"")
            || ran.stderr.contains("--node-name \"Node_A\""),
        "{}",
        ran.stderr
    );
    for arguments in [
        "--debounce 5",
        "--listen 9808",
        "--log-format xml",
        "--flow-log-group 65536",
        "--flow-log-group 9807",
        "--log-level inf",
        "--manifests . --kubeconfig k",
    ] {
        let ran = netpol(&folder, &format!("agent --node-name a {arguments}"));
        assert_eq!(ran.code, Some(2), "{arguments}: {}", ran.stderr);
    }
}
