//! `make cluster` and `make cluster-down`, and that nothing is left when the cluster ends, in whichever way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use netpol_tests::kubernetes::{leftovers, wait_for};
use netpol_tests::lab::{Signal, privileged};
use nix::sys::signal::kill;
use nix::unistd::Pid;

const GONE_WITHIN: Duration = Duration::from_secs(120);
/// What a kubelet would set for the whole machine.
const SETTINGS: [&str; 3] = [
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
];

#[test]
fn the_hand_tool_leaves_nothing_behind() {
    if !privileged("the hand tool") {
        return;
    }
    let _one = crate::one_at_a_time();
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let before = machine();

    let told = tool(&state, &["up", "--cni", "ptp", "--proxy", "iptables"]);
    assert!(told.contains("ptp CNI, kube-proxy with iptables"), "{told}");
    let nodes = run(Command::new(state.join("kubectl")).args(["get", "nodes"]));
    assert_eq!(nodes.matches(" Ready ").count(), 2, "{nodes}");
    let refused = Command::new(env!("CARGO_BIN_EXE_cluster"))
        .arg("up")
        .env("NETPOL_CLUSTER", &state)
        .output()
        .expect("the tool");
    assert!(!refused.status.success(), "a second cluster in one place");
    let networks = networks(&state);
    assert!(members(&networks) > 8, "{networks:?}");
    let told = tool(&state, &["down"]);
    assert!(told.contains("gone"), "{told}");
    assert_eq!(members(&networks), 0, "processes are left");
    assert_eq!(machine(), before);
    assert!(!state.exists());

    // Killed: the kernel ends everything, and whoever comes next clears away the rest.
    tool(&state, &["up"]);
    let networks = self::networks(&state);
    kill(pid(&state), Signal::SIGKILL).expect("the cluster's process");
    wait_for("the end of all processes", GONE_WITHIN, || {
        match members(&networks) {
            0 => Ok(()),
            some => Err(format!("{some} are left")),
        }
    })
    .expect("an end");
    tool(&state, &["down"]);
    assert_eq!(machine(), before);
}

fn tool(state: &Path, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    run(command.args(words).env("NETPOL_CLUSTER", state))
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("a program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn pid(state: &Path) -> Pid {
    let pid = std::fs::read_to_string(state.join("pid")).expect("its number");
    Pid::from_raw(pid.trim().parse().expect("a number"))
}

/// The network namespaces of a cluster: the control plane's and the nodes', by the files its process holds open.
fn networks(state: &Path) -> BTreeSet<PathBuf> {
    let files = PathBuf::from(format!("/proc/{}/fd", pid(state)));
    let open = std::fs::read_dir(files).expect("its files").flatten();
    let targets = open.filter_map(|file| std::fs::read_link(file.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("net:"))
        .collect()
}

/// How many processes are in one of these.
fn members(networks: &BTreeSet<PathBuf>) -> usize {
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let theirs =
        processes.filter_map(|process| std::fs::read_link(process.path().join("ns/net")).ok());
    theirs.filter(|network| networks.contains(network)).count()
}

/// What a cluster could leave on the machine, or change.
fn machine() -> (String, Vec<PathBuf>, String, [String; 3]) {
    let read = |path: &str| std::fs::read_to_string(path).expect("a file of the kernel's");
    let links = run(Command::new("ip").args(["-oneline", "link"]));
    let mut left = leftovers::all();
    left.sort();
    (
        links,
        left,
        read("/proc/mounts"),
        SETTINGS.map(|setting| read(&format!("/proc/sys/{setting}"))),
    )
}
