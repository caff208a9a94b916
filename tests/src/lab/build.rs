//! Building a lab, and probing it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::agent::{Agent, http_get, manifests};
use super::packet::{IpProtocol, Token};
use super::probe::{Outcome, Probe, Sender, Tokens, Transport};
use super::receive::{Arrivals, Sniffer, echo_tcp, echo_udp};
use super::services;
use super::spec::{LabSpec, NODES, NodeSpec, OUTSIDE, Place, PodSpec, SERVICES};
use super::topology::{Topology, host_prefix};
use super::{LabError, Netns};

/// A network namespace with its addresses and receivers.
#[derive(Debug)]
pub struct Host {
    netns: Netns,
    addresses: Vec<IpAddr>,
    sniffers: Vec<Arc<Sniffer>>,
}

impl Host {
    /// The namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Its addresses, those of the wire first.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Its first address of a family.
    pub fn address(&self, ipv4: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|a| a.is_ipv4() == ipv4)
    }
}

/// Two nodes, their pods and the outside host, wired up. Everything is gone when it is dropped.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    spec: LabSpec,
    // Dropped in this order: agents end before the namespaces they are in.
    agents: BTreeMap<String, Agent>,
    hosts: BTreeMap<Place, Host>,
    wire: Netns,
    arrivals: Arc<Arrivals>,
    tokens: Arc<Tokens>,
    listening: BTreeSet<(Place, IpProtocol, u16)>,
    /// Numbers the nodes' interfaces to pods.
    plugged: usize,
    directory: TempDir,
}

/// Settings of every namespace, made before it has interfaces: those inherit them.
const EVERYWHERE: &[(&str, &str)] = &[
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    // Echo requests come from ping sockets, and there are many at once.
    ("net/ipv4/ping_group_range", "0 2147483647"),
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
];

const NODE: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/forwarding", "1"),
    ("net/ipv4/conf/default/rp_filter", "2"),
    ("net/bridge/bridge-nf-call-iptables", "1"),
    ("net/bridge/bridge-nf-call-ip6tables", "1"),
];

/// The wire carries frames and judges nothing.
const WIRE: &[(&str, &str)] = &[
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
    ("net/bridge/bridge-nf-call-arptables", "0"),
];

const LINKS_UP_WITHIN: Duration = Duration::from_secs(10);

impl Lab {
    /// Builds the network. No agent runs yet: everything reaches everything.
    pub fn build(topology: Topology, spec: LabSpec) -> Result<Self, LabError> {
        let wire = Netns::new("wire")?;
        wire.sysctl(WIRE)?;
        wire.ip("link set lo up\nlink add wire type bridge forward_delay 0 mcast_snooping 0\nlink set wire up\n")?;
        let mut lab = Self {
            topology,
            spec: LabSpec { pods: Vec::new(), ..spec },
            agents: BTreeMap::new(),
            hosts: BTreeMap::new(),
            wire,
            arrivals: Arc::default(),
            tokens: Arc::default(),
            listening: BTreeSet::new(),
            plugged: 0,
            directory: tempfile::Builder::new()
                .prefix("netpol-lab-")
                .tempdir()
                .map_err(LabError::io("folder for the lab's files"))?,
        };
        lab.add_outside()?;
        let script = services::script(topology, &lab.spec.services);
        for node in &NODES {
            lab.add_node(node, &script)?;
        }
        lab.add_pods(spec.pods)?;
        lab.wait_for_links(lab.hosts.values().map(|host| &host.netns).chain([&lab.wire]))?;
        Ok(lab)
    }

    /// The kind of pod network.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// A folder of the lab's own, for manifests and logs; removed with it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// All places, sorted.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.hosts.keys()
    }

    /// The host at a place.
    pub fn host(&self, place: &Place) -> Result<&Host, LabError> {
        self.hosts.get(place).ok_or_else(|| LabError::NoSuchPlace(place.to_string()))
    }

    /// Whether a request has arrived at a place until now.
    pub fn has_arrived(&self, place: &Place, token: Token) -> bool {
        if let Some(host) = self.hosts.get(place) {
            host.sniffers.iter().for_each(|sniffer| sniffer.drain());
        }
        self.arrivals.source(place, token).is_some()
    }

    /// Who has an address.
    pub fn owner(&self, address: IpAddr) -> Option<&Place> {
        self.hosts.iter().find(|(_, host)| host.addresses.contains(&address)).map(|(place, _)| place)
    }

    /// The node a pod runs on.
    pub fn node_of(&self, place: &Place) -> Option<Place> {
        let Place::Pod(key) = place else { return None };
        let pod = self.spec.pods.iter().find(|pod| pod.key == *key)?;
        Some(Place::node(&pod.node))
    }

    /// Plugs a further host into the wire, with no routes but the wire's own. For programs the test brings along.
    pub fn attach_host(&mut self, name: &str, v4: Ipv4Addr, v6: Ipv6Addr) -> Result<&Netns, LabError> {
        let netns = Netns::new(name)?;
        netns.sysctl(EVERYWHERE)?;
        self.plug_into_wire(&netns, v4, v6)?;
        let host = Host { netns, addresses: vec![v4.into(), v6.into()], sniffers: Vec::new() };
        let place = Place::Host(name.to_owned());
        Ok(&self.hosts.entry(place).insert_entry(host).into_mut().netns)
    }

    fn plug_into_wire(&self, netns: &Netns, v4: Ipv4Addr, v6: Ipv6Addr) -> Result<(), LabError> {
        let port = netns.name();
        self.wire.ip(&format!(
            "link add {port} type veth peer name eth0 netns {}\nlink set {port} master wire up\n",
            netns.path().display()
        ))?;
        netns.ip(&format!(
            "link set lo up\naddress add {v4}/24 dev eth0\naddress add {v6}/64 dev eth0 nodad\nlink set eth0 up\n"
        ))
    }

    fn add_outside(&mut self) -> Result<(), LabError> {
        let netns = Netns::new("outside")?;
        netns.sysctl(EVERYWHERE)?;
        let (v4, v6) = OUTSIDE;
        self.plug_into_wire(&netns, v4, v6)?;
        let mut addresses = vec![v4.into(), v6.into()];
        let mut lines = String::new();
        for &address in &self.spec.outside {
            if !addresses.contains(&address) {
                let nodad = if address.is_ipv6() { " nodad" } else { "" };
                let _ = writeln!(lines, "address add {} dev lo{nodad}", host_prefix(address));
                addresses.push(address);
            }
        }
        for node in &NODES {
            let [pods_v4, pods_v6] = node.pod_ranges();
            let _ = write!(lines, "route add {pods_v4} via {}\nroute add {pods_v6} via {}\n", node.v4, node.v6);
        }
        let [first, _] = &NODES;
        let (services_v4, services_v6) = SERVICES;
        let _ = write!(lines, "route add {services_v4} via {}\nroute add {services_v6} via {}\n", first.v4, first.v6);
        netns.ip(&lines)?;
        self.settle(Place::Outside, netns, addresses)
    }

    fn add_node(&mut self, node: &NodeSpec, services: &str) -> Result<(), LabError> {
        let netns = Netns::new(node.name)?;
        netns.sysctl(EVERYWHERE)?;
        netns.sysctl(NODE)?;
        self.plug_into_wire(&netns, node.v4, node.v6)?;
        let (outside_v4, outside_v6) = OUTSIDE;
        netns.ip(&format!(
            "route add default via {outside_v4}\nroute add default via {outside_v6}\n{}",
            self.topology.node_links(node)
        ))?;
        let entries = self.topology.forwarding_entries(node);
        if !entries.is_empty() {
            netns.run(&["bridge", "-batch", "-"], &entries)?;
        }
        netns.sysctl(self.topology.pod_link_defaults())?;
        netns.nft(services)?;
        let mut addresses = vec![node.v4.into(), node.v6.into()];
        addresses.extend(self.topology.extra_node_addresses(node));
        self.settle(Place::node(node.name), netns, addresses)
    }

    /// Starts pods: their namespaces, links and receivers.
    pub fn add_pods(&mut self, pods: Vec<PodSpec>) -> Result<(), LabError> {
        let mut plugs = BTreeMap::<&str, String>::new();
        let mut started = Vec::new();
        for pod in pods {
            let node = node_spec(&pod.node)
                .ok_or_else(|| LabError::Spec(format!("pod {}: there is no node {}", pod.key, pod.node)))?;
            self.check_addresses(&pod)?;
            // The kernel cuts thread names after 15 bytes; the namespace of a pod is the same in all of a test's pods.
            let netns = Netns::new(pod.key.split_once('/').map_or(&*pod.key, |(_, name)| name))?;
            netns.sysctl(EVERYWHERE)?;
            let port = format!("pod{}", self.plugged);
            self.plugged += 1;
            plugs.entry(node.name).or_default().push_str(&self.topology.plug(&pod, &port, &netns.path()));
            started.push((pod, node, netns));
        }
        let plugged: Vec<_> = plugs
            .iter()
            .map(|(node, lines)| Ok(self.host(&Place::node(node))?.netns.run_later(&["ip", "-batch", "-"], lines)))
            .collect::<Result<_, LabError>>()?;
        for answer in plugged {
            answer.recv().map_err(|_| LabError::Ended("a node".to_owned()))??;
        }
        let configured: Vec<_> = started
            .iter()
            .map(|(pod, node, netns)| netns.run_later(&["ip", "-batch", "-"], &self.topology.pod_links(node, pod)))
            .collect();
        for ((pod, _, netns), answer) in started.into_iter().zip(configured) {
            answer.recv().map_err(|_| LabError::Ended(pod.key.clone()))??;
            let (place, addresses) = (Place::Pod(pod.key.clone()), pod.addresses.clone());
            self.spec.pods.push(pod);
            self.settle(place, netns, addresses)?;
        }
        Ok(())
    }

    /// Ends a pod; its interfaces go with its namespace.
    pub fn remove_pod(&mut self, key: &str) -> Result<(), LabError> {
        let place = Place::pod(key);
        let host = self.hosts.remove(&place).ok_or_else(|| LabError::NoSuchPlace(key.to_owned()))?;
        // The kernel takes namespaces apart at leisure; without its device the node's route goes at once.
        host.netns.ip("link delete eth0\n")?;
        self.spec.pods.retain(|pod| pod.key != key);
        self.listening.retain(|(at, ..)| *at != place);
        Ok(())
    }

    /// Waits until every link carries packets. The kernel notices some time after both ends are up, and drops what is
    /// sent before without a word: a request that must not arrive would not, for the wrong reason.
    fn wait_for_links<'a>(&self, places: impl Iterator<Item = &'a Netns>) -> Result<(), LabError> {
        let mut waiting: Vec<&Netns> = places.collect();
        let deadline = Instant::now() + LINKS_UP_WITHIN;
        while !waiting.is_empty() {
            let answers: Vec<_> = waiting.iter().map(|netns| netns.run_later(&["ip", "-oneline", "link"], "")).collect();
            let mut down = Vec::new();
            for (netns, answer) in waiting.into_iter().zip(answers) {
                let links = answer.recv().map_err(|_| LabError::Ended(netns.name().to_owned()))??;
                if links.lines().any(|link| link.contains("state DOWN") || link.contains("LOWERLAYERDOWN")) {
                    down.push(netns);
                }
            }
            if Instant::now() > deadline {
                let names: Vec<&str> = down.iter().map(|netns| netns.name()).collect();
                return Err(LabError::Spec(format!("{}: links stay down", names.join(", "))));
            }
            waiting = down;
        }
        Ok(())
    }

    fn check_addresses(&self, pod: &PodSpec) -> Result<(), LabError> {
        for &address in &pod.addresses {
            if let Some(owner) = self.owner(address) {
                return Err(LabError::Spec(format!("pod {}: {address} is the address of {owner}", pod.key)));
            }
        }
        Ok(())
    }

    fn settle(&mut self, place: Place, netns: Netns, addresses: Vec<IpAddr>) -> Result<(), LabError> {
        let (at, local, arrivals) = (place.clone(), addresses.clone(), self.arrivals.clone());
        let sniffers = netns
            .call(move || Sniffer::open_all(&at, &local, &arrivals))?
            .map_err(LabError::io(format!("raw sockets of {place}")))?;
        self.hosts.insert(place, Host { netns, addresses, sniffers });
        Ok(())
    }

    /// Who receives what is sent to an address, and on which port: behind services, their first backend.
    pub fn receiver(&self, to: IpAddr, transport: Transport) -> Option<(&Place, u16)> {
        let owner = self.owner(to);
        let to_node = matches!(owner, Some(Place::Node(_)));
        let translated = self.spec.services.iter().find_map(|service| {
            let port = service.ports.iter().find(|port| {
                ip_protocol(port.protocol) == transport.protocol()
                    && (service.cluster_ips.contains(&to) && port.port == transport.port()
                        || to_node && port.node_port == Some(transport.port()))
            })?;
            port.backend(to.is_ipv4())
        });
        match translated {
            Some(backend) => Some((self.owner(backend.ip())?, backend.port())),
            None => Some((owner?, transport.port())),
        }
    }

    /// Makes `place` answer on a port, if it does not yet. SCTP and echo requests are always answered.
    pub fn listen(&mut self, place: &Place, protocol: IpProtocol, port: u16) -> Result<(), LabError> {
        if !matches!(protocol, IpProtocol::Tcp | IpProtocol::Udp)
            || !self.listening.insert((place.clone(), protocol, port))
        {
            return Ok(());
        }
        let host = self.host(place)?;
        let addresses = host.addresses.clone();
        let (opened, answer) = std::sync::mpsc::channel();
        host.netns.submit(move || {
            tokio::task::spawn_local(async move {
                let result = if protocol == IpProtocol::Tcp {
                    echo_tcp(port).await
                } else {
                    let mut result = Ok(());
                    for address in addresses {
                        result = result.and(echo_udp(SocketAddr::new(address, port)).await);
                    }
                    result
                };
                let _ = opened.send(result);
            });
        });
        answer
            .recv()
            .map_err(|_| LabError::Ended(place.to_string()))?
            .map_err(LabError::io(format!("listen on {protocol:?} port {port} in {place}")))
    }

    /// Sends all probes at once and returns what became of each, in order.
    pub fn probe(&mut self, probes: &[Probe]) -> Result<Vec<Outcome>, LabError> {
        let mut receivers = Vec::with_capacity(probes.len());
        for probe in probes {
            let receiver = self.receiver(probe.to, probe.transport).map(|(place, port)| (place.clone(), port));
            if let Some((place, port)) = &receiver {
                self.listen(place, probe.transport.protocol(), *port)?;
            }
            receivers.push(receiver.map(|(place, _)| place));
        }
        let mut running = Vec::with_capacity(probes.len());
        for probe in probes {
            let sender = Sender { probe: probe.clone(), numbers: self.tokens.clone() };
            let (done, result) = std::sync::mpsc::channel();
            self.host(&probe.from)?.netns.submit(move || {
                tokio::task::spawn_local(async move {
                    let _ = done.send(sender.run().await);
                });
            });
            running.push(result);
        }
        let mut sent = Vec::with_capacity(probes.len());
        for (result, probe) in running.into_iter().zip(probes) {
            sent.push(result.recv().map_err(|_| LabError::Ended(probe.from.to_string()))?);
        }
        // Packets are in the receivers' queues by now; their threads may not have come to read them.
        for place in receivers.iter().flatten().collect::<BTreeSet<_>>() {
            for sniffer in &self.host(place)?.sniffers {
                sniffer.drain();
            }
        }
        let outcomes = sent.into_iter().zip(receivers).map(|(sent, receiver)| Outcome {
            answered: sent.answered,
            arrived_from: receiver.and_then(|r| sent.tokens.iter().find_map(|&t| self.arrivals.source(&r, t))),
            trouble: sent.trouble,
        });
        Ok(outcomes.collect())
    }

    /// Starts an agent on every node, fed from a folder of manifests, and waits until they are ready.
    pub fn start_agents(&mut self, folder: &Path) -> Result<(), LabError> {
        for node in &NODES {
            self.start_agent(node.name, &manifests(folder))?;
        }
        for node in &NODES {
            self.wait_ready(node.name)?;
        }
        Ok(())
    }

    /// Starts the agent of a node with further arguments, and does not wait. An agent that runs already is killed.
    pub fn start_agent(&mut self, node: &str, arguments: &[String]) -> Result<(), LabError> {
        self.agents.remove(node);
        let log = self.directory.path().join(format!("agent-{node}.log"));
        let agent = Agent::start(node, &self.host(&Place::node(node))?.netns, arguments, log)?;
        self.agents.insert(node.to_owned(), agent);
        Ok(())
    }

    /// Waits until the agent of a node is ready.
    pub fn wait_ready(&mut self, node: &str) -> Result<(), LabError> {
        let place = Place::node(node);
        let (Some(agent), Some(host)) = (self.agents.get_mut(node), self.hosts.get(&place)) else {
            return Err(LabError::NoSuchPlace(format!("agent on {node}")));
        };
        agent.wait_ready(&host.netns)
    }

    /// Ends the agent of a node by a signal and returns how it ended.
    pub fn stop_agent(&mut self, node: &str, signal: Signal) -> Result<ExitStatus, LabError> {
        let agent = self.agents.remove(node).ok_or_else(|| LabError::NoSuchPlace(format!("agent on {node}")))?;
        agent.stop(signal)
    }

    /// The agent of a node.
    pub fn agent(&self, node: &str) -> Option<&Agent> {
        self.agents.get(node)
    }

    /// `GET path` from the agent of a node: status and body.
    pub fn agent_get(&self, node: &str, path: &str) -> Result<(u16, String), LabError> {
        let path = path.to_owned();
        self.host(&Place::node(node))?.netns.call(move || http_get(&path))?.map_err(LabError::io("ask the agent"))
    }
}

pub(super) fn node_spec(name: &str) -> Option<&'static NodeSpec> {
    NODES.iter().find(|node| node.name == name)
}

fn ip_protocol(protocol: policy_compiler::model::Protocol) -> IpProtocol {
    use policy_compiler::model::Protocol;
    match protocol {
        Protocol::Tcp => IpProtocol::Tcp,
        Protocol::Udp => IpProtocol::Udp,
        Protocol::Sctp => IpProtocol::Sctp,
    }
}
