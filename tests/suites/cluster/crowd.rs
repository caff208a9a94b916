//! A crowd of pods that send and listen from their first instruction, and who hears of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use netpol_tests::kubernetes::{GAP_SENDER, Hammer, Heard, Node, Receiver, wait_for};
use serde_json::{Value, json};

use crate::stage::{Outcome, SOON, Stage, text};

/// Where the crowd sends from, and listens.
const CROWD_PORT: u16 = 7000;
/// Where others listen to it.
const PORT: u16 = 7001;
/// The last part of the addresses of a node's first pod of a crowd. No scenario has so many pods that they get that far.
const FIRST_ADDRESS: u8 = 100;
const SPARE: u8 = 20;
/// How many pods of a crowd there are on each node, unless `$NETPOL_CROWD` says something else.
const EACH: u8 = 50;

/// Pods of a namespace of their own, half of them on either node.
pub(crate) struct Crowd {
    namespace: &'static str,
    each: u8,
    listeners: Vec<(&'static str, Receiver)>,
    hammers: Vec<Hammer>,
}

/// As many pods on each node as a whole crowd has.
pub(crate) fn whole() -> u8 {
    let chosen = std::env::var("NETPOL_CROWD").ok();
    chosen.and_then(|each| each.parse().ok()).unwrap_or(EACH)
}

impl Crowd {
    /// Has somebody listen at each of these places; no pod is there yet. `policy` is of the crowd's namespace.
    pub(crate) fn announced(
        stage: &Stage,
        namespace: &'static str,
        each: u8,
        places: &[&'static str],
        policy: &str,
    ) -> Result<Self, String> {
        stage
            .cluster
            .create_namespace(namespace, &json!({"team": namespace}))
            .map_err(text)?;
        stage.cluster.apply(policy).map_err(text)?;
        let mut listeners = Vec::new();
        for place in places {
            let network = stage.network(place)?;
            listeners.push((*place, Receiver::start(&network, PORT).map_err(text)?));
        }
        Ok(Self {
            namespace,
            each,
            listeners,
            hammers: Vec::new(),
        })
    }

    /// Has others send to every pod that is going to be there, from these places, until it leaves.
    pub(crate) fn hammered(
        mut self,
        stage: &Stage,
        places: &[&str],
        pause: Duration,
    ) -> Result<Self, String> {
        for place in places {
            let (network, targets) = (stage.network(place)?, self.addresses(stage));
            let hammer = Hammer::start(&network, targets, pause).map_err(text)?;
            self.hammers.push(hammer);
        }
        Ok(self)
    }

    /// Where its pods are going to listen. A pod whose first sandbox fails gets another address.
    pub(crate) fn addresses(&self, stage: &Stage) -> Vec<SocketAddr> {
        let hosts = FIRST_ADDRESS..FIRST_ADDRESS + self.each + SPARE;
        let nodes = stage.cluster.nodes().iter();
        nodes
            .flat_map(|node| {
                hosts
                    .clone()
                    .flat_map(|host| node.spec().pod_addresses(host))
            })
            .map(|address| (address, CROWD_PORT).into())
            .collect()
    }

    /// Creates the pods. Those on a node send to the places that are given for it.
    pub(crate) fn come(
        &self,
        stage: &Stage,
        places: impl Fn(&'static str) -> Vec<&'static str>,
    ) -> Outcome {
        for node in stage.cluster.nodes() {
            let first = node.spec().pod_addresses(FIRST_ADDRESS);
            node.leave_next(&first).map_err(text)?;
        }
        let mut targets = BTreeMap::new();
        for node in stage.cluster.nodes() {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for place in places(node.spec().name) {
                let found = stage.all_addresses(place)?.into_iter();
                addresses.extend(found.map(|address| SocketAddr::from((address, PORT))));
            }
            targets.insert(node.spec().name, addresses);
        }
        for number in 0..self.each {
            for (node, targets) in &targets {
                let pod = self.pod(&format!("{node}-{number}"), node, targets);
                stage.cluster.control_plane().create(&pod).map_err(text)?;
            }
        }
        Ok(())
    }

    fn pod(&self, name: &str, node: &str, targets: &[SocketAddr]) -> Value {
        let targets = targets.iter().map(SocketAddr::to_string);
        let words: Vec<String> = std::iter::once(name.to_owned()).chain(targets).collect();
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": self.namespace, "name": name, "labels": {"app": "crowd"}},
            "spec": {
                "nodeName": node,
                "dnsPolicy": "Default",
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": 0,
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": GAP_SENDER, "args": words}],
            },
        })
    }

    /// How many pods it has.
    pub(crate) fn size(&self) -> usize {
        2 * usize::from(self.each)
    }

    /// Waits until so many pods have printed a line that begins so.
    pub(crate) fn await_line(&self, stage: &Stage, begin: &str, count: usize) -> Outcome {
        let what = format!("{count} pods of {} say {begin:?}", self.namespace);
        wait_for(&what, 2 * SOON, || {
            let printed = self.printed(stage);
            let said = |log: &&String| log.lines().any(|line| words_of(line).starts_with(begin));
            match printed.values().filter(said).count() {
                some if some >= count => Ok(()),
                some => Err(format!("{some} of {} that print", printed.len())),
            }
        })
        .map_err(text)
    }

    /// The pods that a stranger's datagrams have reached, and what they say of it.
    pub(crate) fn reached(&self, stage: &Stage) -> BTreeMap<String, Vec<String>> {
        let printed = self.printed(stage).into_iter();
        let told = printed.map(|(pod, log)| {
            let lines = log.lines().map(words_of);
            let told = lines.filter(|line| line.starts_with("received"));
            (pod, told.map(str::to_owned).collect::<Vec<_>>())
        });
        told.filter(|(_, lines)| !lines.is_empty()).collect()
    }

    /// What its containers have printed so far, as the nodes keep it: asking the API server a hundred times takes longer.
    fn printed(&self, stage: &Stage) -> BTreeMap<String, String> {
        let nodes = stage.cluster.nodes().iter();
        nodes.flat_map(|node| self.printed_on(node)).collect()
    }

    fn printed_on(&self, node: &Node) -> Vec<(String, String)> {
        let folders = std::fs::read_dir(node.file("/var/log/pods"));
        let folders = folders.into_iter().flatten().flatten();
        let of_pod = folders.filter_map(|folder| {
            // NAMESPACE_NAME_UID
            let name = folder.file_name().into_string().ok()?;
            let (namespace, rest) = name.split_once('_')?;
            let (pod, _) = rest.split_once('_')?;
            let log = std::fs::read_to_string(folder.path().join("main/0.log")).ok()?;
            (namespace == self.namespace).then(|| (pod.to_owned(), log))
        });
        of_pod.collect()
    }

    /// How many sandboxes of its pods could not be made: each was made again at another address, seconds later.
    pub(crate) fn failed_sandboxes(&self, stage: &Stage) -> Result<usize, String> {
        let namespace = format!("--namespace={}", self.namespace);
        let failed = "--field-selector=reason=FailedCreatePodSandBox";
        let words = ["get", "events", &namespace, failed, "--output=name"];
        let events = stage.cluster.kubectl(&words).map_err(text)?;
        Ok(events.lines().count())
    }

    /// Who was heard at each place.
    pub(crate) fn heard(&self) -> Result<Vec<(&'static str, Heard)>, String> {
        let heard = self.listeners.iter().map(|(place, receiver)| {
            if receiver.is_listening() {
                Ok((*place, receiver.heard()))
            } else {
                Err(format!("nobody listens at {place} any more"))
            }
        });
        heard.collect()
    }

    /// The numbers that were heard of each pod, wherever.
    pub(crate) fn numbers(&self) -> Result<Heard, String> {
        let mut all: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for (_, heard) in self.heard()? {
            for (name, numbers) in heard {
                all.entry(name).or_default().extend(numbers);
            }
        }
        Ok(all)
    }

    /// Waits until nothing of it is left.
    pub(crate) fn leave(mut self, stage: &Stage) -> Outcome {
        self.hammers.clear();
        let words = ["delete", "namespace", self.namespace, "--timeout=300s"];
        stage.cluster.kubectl(&words).map_err(text)?;
        wait_for("the crowd's addresses to be free", SOON, || {
            let taken = self.addresses(stage).into_iter().map(|socket| socket.ip());
            let mut taken = taken.filter(|&address| stage.cluster.pod_network(address).is_ok());
            match taken.next() {
                Some(address) => Err(format!("{address} is taken")),
                None => Ok(()),
            }
        })
        .map_err(text)
    }
}

/// What a program printed: the runtime puts time, stream and a mark before it.
fn words_of(line: &str) -> &str {
    line.splitn(4, ' ').nth(3).unwrap_or_default()
}
