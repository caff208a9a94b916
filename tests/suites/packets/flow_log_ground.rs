//! What the tests of the flow log in operation share: an agent on node-a that is told where and how to tell, datagrams that
//! are dropped, and means to await what is told of them.

use std::fs::File;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netpol_tests::lab::{Agent, Lab, Place, Topology, manifests, netpol_binary};
use serde_json::Value;

use crate::world::{POLICIES, addresses, at, build, objects};

/// The node of all pods that these tests speak of.
pub(crate) const NODE: &str = "node-a";

/// How soon something must have been told. Ordinarily it takes milliseconds.
const WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// The world's network with its objects and policies in a folder, and no agent yet.
pub(crate) fn world(topology: Topology) -> (Lab, PathBuf) {
    let lab = build(topology);
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    put(&folder, &(objects() + POLICIES));
    (lab, folder)
}

/// Writes what the agents are to know, all at once.
pub(crate) fn put(folder: &Path, text: &str) {
    std::fs::write(folder.join(".draft"), text).expect("a file");
    std::fs::rename(folder.join(".draft"), folder.join("world.yaml")).expect("a file in place");
}

/// The arguments of an agent that reads the folder, and further ones.
pub(crate) fn arguments(folder: &Path, more: &[&str]) -> Vec<String> {
    let more = more.iter().map(|&argument| argument.to_owned());
    manifests(folder).into_iter().chain(more).collect()
}

/// Starts the agent of node-a, or another in its place, and waits until it is ready and tells what is dropped.
pub(crate) fn start(lab: &mut Lab, folder: &Path, more: &[&str]) {
    lab.start_agent(NODE, &arguments(folder, more))
        .and_then(|()| lab.wait_ready(NODE))
        .unwrap_or_else(|error| panic!("{error}"));
    let is_off = more.contains(&"--flow-log=off");
    await_metric(lab, "netpol_flow_log_up", u64::from(!is_off));
}

/// The agent of node-a.
pub(crate) fn agent(lab: &Lab) -> &Agent {
    lab.agent(NODE).expect("an agent runs")
}

/// Sends a datagram over IPv4 to each of the ports.
pub(crate) fn send(lab: &Lab, from: &str, to: &str, ports: impl IntoIterator<Item = u16>) {
    let [to, _] = addresses(to);
    let ports: Vec<u16> = ports.into_iter().collect();
    let send = move || -> std::io::Result<()> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        ports
            .iter()
            .try_for_each(|port| socket.send_to(b"np?\n", (to, *port)).map(drop))
    };
    let netns = lab.host(&at(from)).expect("a pod").netns();
    netns
        .call(send)
        .expect("the pod is there")
        .unwrap_or_else(|error| panic!("{from} → {to}: {error}"));
}

/// Waits until there is what is looked for.
pub(crate) fn awaited<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WITHIN;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not after {WITHIN:?}");
        std::thread::sleep(POLL);
    }
}

/// What a file holds; nothing if there is none.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The flows in whole lines of Hubble's JSON, those of lost events aside.
pub(crate) fn flows(lines: &str) -> Vec<Value> {
    lines
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        })
        .map(|mut event| event["flow"].take())
        .filter(|flow| !flow.is_null())
        .collect()
}

/// The destination ports of the datagrams that were told as the first of their flow, in order.
pub(crate) fn firsts(lines: &str) -> Vec<u16> {
    flows(lines)
        .iter()
        .filter(|flow| flow["extensions"]["value"]["extent"] == "first")
        .filter_map(|flow| flow["l4"]["UDP"]["destination_port"].as_u64())
        .map(|port| u16::try_from(port).expect("a port"))
        .collect()
}

/// Waits until the file says of a datagram to this port that it was dropped.
pub(crate) fn await_first(path: &Path, port: u16) {
    awaited(&format!("{} tells of port {port}", path.display()), || {
        firsts(&read(path)).contains(&port).then_some(())
    });
}

/// The value of a metric of an agent on node-a, by its name with labels.
pub(crate) fn metric(lab: &Lab, agent: &Agent, name: &str) -> u64 {
    let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
    let (status, text) = agent
        .get(netns, "/metrics")
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(status, 200, "{text}");
    value(&text, name).unwrap_or_else(|| panic!("no metric {name}:\n{text}"))
}

/// Waits until a metric of the agent of node-a has this value.
pub(crate) fn await_metric(lab: &Lab, name: &str, expected: u64) {
    let mut last = String::new();
    let deadline = Instant::now() + WITHIN;
    while Instant::now() < deadline {
        (_, last) = lab
            .agent_get(NODE, "/metrics")
            .unwrap_or_else(|error| panic!("{error}"));
        if value(&last, name) == Some(expected) {
            return;
        }
        std::thread::sleep(POLL);
    }
    panic!("{name} is not {expected} in\n{last}");
}

fn value(metrics: &str, name: &str) -> Option<u64> {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} {value}")))
}

/// Runs `netpol` in node-a's namespace to its end and returns what it printed.
pub(crate) fn netpol(lab: &Lab, arguments: &[&str]) -> String {
    let binary = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
    let binary = binary.display().to_string();
    let command: Vec<&str> = [binary.as_str()].iter().chain(arguments).copied().collect();
    let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
    netns
        .run(&command, "")
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A `netpol` that runs in node-a's namespace until this is dropped.
pub(crate) struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    /// Starts it; what it prints goes to a file of the lab's folder, and its errors to `NAME.errors`.
    pub(crate) fn start(lab: &Lab, name: &str, arguments: &[&str]) -> Self {
        let output = lab.directory().join(name);
        let binary = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&output).expect("a file"))
            .stderr(File::create(output.with_extension("errors")).expect("a file"));
        let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
        let child = netns
            .call(move || command.spawn())
            .expect("the node is there")
            .expect("setpriv");
        Self { child, output }
    }

    /// What it has printed so far.
    pub(crate) fn output(&self) -> String {
        read(&self.output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
