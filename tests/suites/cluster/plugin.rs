//! `kubectl netpol`, as a person at the cluster calls it.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use k8s_openapi::jiff::Timestamp;
use netpol_tests::kubernetes::wait_for;
use netpol_tests::lab::{Signal, netpol_binary};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;

use crate::Scenario;
use crate::agents::CLIENTS;
use crate::enforcement::Enforced;
use crate::stage::{Outcome, SOON, Stage, text};

pub(crate) const SCENARIOS: &[Scenario] = &[("kubectl netpol", plugin)];

/// One drop on each node.
const FORBIDDEN: [(&str, &str, bool); 2] = [
    ("guests/guest-b", "shop/web-a tcp", false),
    ("guests/guest-a", "shop/web-b tcp", false),
];
const NODES: [&str; 2] = ["node-a", "node-b"];

fn plugin(stage: &mut Stage) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let binary = netpol_binary().map_err(|error| error.to_string())?;
    symlink(binary, folder.path().join("kubectl-netpol")).map_err(|error| error.to_string())?;
    stage.cluster.apply(CLIENTS).map_err(text)?;
    let outcome = stage
        .expect(&FORBIDDEN)
        .and_then(|()| objects(stage, folder.path()))
        .and_then(|()| match stage.enforced {
            Enforced::DaemonSet => flows(stage, folder.path()),
            Enforced::Process(..) => no_agents(stage, folder.path()),
        });
    stage.without(CLIENTS)?;
    outcome
}

/// What is read of the API server alone.
fn objects(stage: &Stage, folder: &Path) -> Outcome {
    let summary = run(stage, folder, "compile -n shop --pod web-a -o summary")?;
    let words = "explain -n shop --from guests/guest-b --to web-a --port tcp/8080";
    let answer = run(stage, folder, words)?;
    if !summary.contains("(clients)") || !answer.contains("DENIED") {
        return Err(format!("{summary}\n{answer}"));
    }
    Ok(())
}

/// Agents that are no pods are not found, and that is said.
fn no_agents(stage: &Stage, folder: &Path) -> Outcome {
    match run(stage, folder, "flows") {
        Err(said) if said.contains("no agent found: namespace kube-system") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn flows(stage: &mut Stage, folder: &Path) -> Outcome {
    wait_for("the drops of both nodes", SOON, || {
        let lines = run(
            stage,
            folder,
            "flows -o json -n guests --to-pod web-a --to-pod web-b",
        )?;
        all_nodes(&lines, Timestamp::MIN)
    })
    .map_err(text)?;
    // By time, whichever node they are of, also what was counted and is told later.
    let lines = run(
        stage,
        folder,
        "flows -o json -n guests --to-pod web-a --to-pod web-b",
    )?;
    let times: Vec<Timestamp> = values(&lines)
        .filter_map(|line| line["time"].as_str()?.parse().ok())
        .collect();
    if times.is_empty() || !times.is_sorted() {
        return Err(format!("not in the order of time:\n{lines}"));
    }
    let of_one = run(stage, folder, "flows -o json --node node-b")?;
    if values(&of_one).any(|line| line["node_name"] != "node-b") {
        return Err(format!("not of node-b alone:\n{of_one}"));
    }

    // Agents that come while it is followed are heard, too.
    let printed = folder.join("printed");
    let mut following = follow(stage, folder, &printed)?;
    let outcome = stage
        .enforced
        .replace(&stage.cluster)
        .map_err(text)
        .and_then(|()| {
            // Those that end tell the rest of what they have counted, but nothing of what comes now.
            let since = Timestamp::now();
            wait_for("drops told by the new agents", SOON, || {
                stage.expect(&FORBIDDEN)?;
                let lines = std::fs::read_to_string(&printed).unwrap_or_default();
                all_nodes(&lines, since)
            })
            .map_err(text)
        });
    let ended = end(&mut following);
    outcome.and(ended)
}

/// Whether each node has told a drop since a time.
fn all_nodes(lines: &str, since: Timestamp) -> Result<(), String> {
    let is_later = |line: &Value| {
        let time = line["time"].as_str().unwrap_or_default();
        time.parse::<Timestamp>().is_ok_and(|time| time > since)
    };
    let has =
        |node: &&str| values(lines).any(|line| line["node_name"] == **node && is_later(&line));
    let is_complete = NODES.iter().all(has);
    is_complete.then_some(()).ok_or_else(|| lines.to_owned())
}

/// The lines that are complete.
fn values(lines: &str) -> impl Iterator<Item = Value> {
    lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

/// Follows the agents of now, and those that come: begins when the lines of now are shown, of which there is none.
fn follow(stage: &Stage, folder: &Path, printed: &Path) -> Result<Child, String> {
    let file = File::create(printed).map_err(|error| error.to_string())?;
    let mut command = kubectl(stage, folder, "flows -f --last 0 -o json -n guests");
    command
        .stdin(Stdio::null())
        .stdout(file)
        .spawn()
        .map_err(|error| error.to_string())
}

/// It ends by itself when it is interrupted, as in a terminal.
fn end(following: &mut Child) -> Outcome {
    let pid = i32::try_from(following.id()).map_err(|error| error.to_string())?;
    kill(Pid::from_raw(pid), Signal::SIGINT).map_err(|error| error.to_string())?;
    let status = following.wait().map_err(|error| error.to_string())?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| format!("kubectl netpol flows -f ended with {status}"))
}

fn run(stage: &Stage, folder: &Path, words: &str) -> Result<String, String> {
    let output = kubectl(stage, folder, words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(told(&output.stdout))
    } else {
        Err(told(&output.stderr))
    }
}

/// kubectl, which becomes the plugin: its process is the one that is started here.
fn kubectl(stage: &Stage, folder: &Path, words: &str) -> Command {
    let prefix = stage.cluster.kubectl_prefix();
    // kubectl takes no options before a plugin's name: the kubeconfig goes by the environment.
    let (program, rest) = (&prefix[0], &prefix[1..]);
    let rest = rest
        .iter()
        .filter(|word| !word.starts_with("--kubeconfig="));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command
        .args(rest)
        .arg("netpol")
        .args(words.split_whitespace())
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("KUBECONFIG", stage.cluster.kubeconfig());
    command
}
