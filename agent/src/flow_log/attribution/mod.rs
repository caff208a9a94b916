//! Who sent a dropped packet to whom, and why it was dropped: what the agent knew at the time of the packet, and what
//! the evaluator makes of that.

mod hints;
mod lives;
mod nodes;
mod past;
mod reason;
#[cfg(test)]
pub(super) mod tests;

use std::net::IpAddr;
use std::time::SystemTime;

use nix::net::if_::if_indextoname;
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::{Direction, Name, ObjectKey, Pod, Snapshot};
use policy_compiler::ruleset::{DropOf, PodId};

use super::event::{End, FlowEvent, Interface, PodEnd, Reason, Who};
use super::revoked::{Cut, transport};
use super::sighting::{Extent, Sighting};
use lives::Lives;
use nodes::NodeAddresses;
use past::{Past, What};
use reason::{judge, reason};

/// What has to be remembered besides the objects themselves.
#[derive(Debug)]
pub struct Attribution {
    node: Name,
    lives: Lives,
    nodes: NodeAddresses,
    past: Past,
}

/// The pods at both ends, at the time of the packet.
struct Ends<'a> {
    source: Vec<&'a Pod>,
    destination: Vec<&'a Pod>,
    /// The pod whose chain it was, if the address was not its own at that time.
    astray: Option<&'a Pod>,
}

impl<'a> Ends<'a> {
    fn of(&self, direction: Direction) -> &[&'a Pod] {
        match direction {
            Direction::Egress => &self.source,
            Direction::Ingress => &self.destination,
        }
    }
}

impl Attribution {
    /// For the drops of this node.
    pub fn new(node: Name) -> Self {
        Self {
            node,
            lives: Lives::default(),
            nodes: NodeAddresses::default(),
            past: Past::default(),
        }
    }

    /// Takes note of an event before the compiler takes it in. Returns the addresses that will be others' than before.
    pub fn before(&mut self, event: &Event, compiler: &Compiler, now: SystemTime) -> Vec<IpAddr> {
        let snapshot = compiler.snapshot();
        match event {
            Event::Pod(pod) => {
                let old = snapshot.pod(&pod.key);
                if old != Some(pod) {
                    return self.before_pod(old, Some(pod), compiler, now);
                }
            }
            Event::PodDeleted(key) => {
                if let Some(old) = snapshot.pod(key) {
                    return self.before_pod(Some(old), None, compiler, now);
                }
            }
            Event::Namespace(namespace) => {
                if snapshot.namespaces.get(&namespace.name) != Some(namespace) {
                    self.past.note(What::Namespace(namespace.name.clone()), now);
                }
            }
            Event::NamespaceDeleted(name) => self.past.note(What::Namespace(name.clone()), now),
            Event::Policy(policy) => {
                if snapshot.policies.get(&policy.key) != Some(policy) {
                    let namespace = policy.key.namespace.clone();
                    self.past.note(What::Policy(namespace), now);
                }
            }
            Event::PolicyDeleted(key) => {
                self.past.note(What::Policy(key.namespace.clone()), now);
            }
        }
        Vec::new()
    }

    fn before_pod(
        &mut self,
        old: Option<&Pod>,
        new: Option<&Pod>,
        compiler: &Compiler,
        now: SystemTime,
    ) -> Vec<IpAddr> {
        let here = |pod: &&Pod| pod.node.as_ref() == Some(&self.node);
        self.lives.note(old.filter(here), new.filter(here), now);
        self.nodes.note(old, new);
        let mut addresses: Vec<IpAddr> = old
            .into_iter()
            .chain(new)
            .flat_map(|pod| pod.network_addresses().iter())
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        for &address in &addresses {
            let owners = compiler.owners(address).cloned().collect();
            self.past.note(What::Owners(address, owners), now);
        }
        if let (Some(old), Some(new)) = (old, new)
            && (&old.key, &old.uid) == (&new.key, &new.uid)
        {
            let has = |pod: &Pod, address| pod.network_addresses().iter().any(|a| a == address);
            addresses.retain(|&address| has(old, address) != has(new, address));
        }
        addresses
    }

    /// The kernel has been told of everything that was known at `known`.
    pub fn in_force(&mut self, known: SystemTime, now: SystemTime) {
        self.past.in_force(known, now);
    }

    /// The pod of a drop, as it is or last was.
    pub fn pod<'a>(&'a self, id: PodId, snapshot: &'a Snapshot) -> Option<&'a Pod> {
        self.lives.find(id, snapshot)
    }

    /// The pods of this node.
    pub fn pods_here(&self) -> impl Iterator<Item = &ObjectKey> {
        self.lives.present()
    }

    /// Explains dropped packets.
    pub fn explain(&self, sighting: &Sighting, compiler: &Compiler) -> FlowEvent {
        let direction = sighting.point.direction;
        let ends = self.ends(sighting, compiler);
        let [source, destination] = [
            (sighting.packet.map(|packet| packet.source), &ends.source),
            (
                sighting.packet.map(|packet| packet.destination),
                &ends.destination,
            ),
        ]
        .map(|(address, owners)| self.end(address, owners));
        let verdict = sighting
            .packet
            .map(|packet| judge(&packet, &ends, compiler));
        let reason = reason(sighting, &ends, verdict.as_ref(), compiler, &self.past);
        let hints = match &sighting.packet {
            // They are about what policies say.
            Some(_) if is_beside_policies(sighting.point.of) => Vec::new(),
            Some(packet) => hints::hints(
                direction,
                packet,
                &source,
                &destination,
                verdict.as_ref(),
                &self.nodes,
            ),
            None => Vec::new(),
        };
        let towards_the_pod = match direction {
            Direction::Egress => sighting.input,
            Direction::Ingress => sighting.output,
        };
        FlowEvent {
            time: sighting.time,
            node: self.node.clone(),
            direction,
            extent: sighting.extent,
            source,
            destination,
            transport: sighting.packet.map(|packet| packet.transport),
            interface: towards_the_pod.map(interface),
            reason,
            hints,
            suppressed: 0,
        }
    }

    /// Tells of a connection that was cut just now.
    pub fn revoked(&self, cut: &Cut<'_>, compiler: &Compiler, time: SystemTime) -> FlowEvent {
        let opened = cut.connection.opened();
        let direction = cut.direction();
        let owners = |address| -> Vec<&Pod> {
            let mut owners: Vec<&Pod> = compiler.owners(address).collect();
            owners.sort_unstable_by_key(|pod| &pod.key);
            owners
        };
        let [source, destination] = [opened.source, opened.destination].map(owners);
        let keys: Vec<&ObjectKey> = source.iter().chain(&destination).map(|p| &p.key).collect();
        FlowEvent {
            time,
            node: self.node.clone(),
            direction,
            extent: Extent::Connection,
            source: self.end(Some(opened.source), &source),
            destination: self.end(Some(opened.destination), &destination),
            transport: Some(transport(&opened)),
            interface: None,
            reason: Reason::Revoked {
                isolating: cut.objection.side(direction).to_vec(),
                causes: cut.causes.of(&keys),
            },
            hints: cut.other_side().into_iter().collect(),
            suppressed: 0,
        }
    }

    fn ends<'a>(&'a self, sighting: &Sighting, compiler: &'a Compiler) -> Ends<'a> {
        let owners = |address: Option<IpAddr>| -> Vec<&'a Pod> {
            let Some(address) = address else {
                return Vec::new();
            };
            let mut owners: Vec<&Pod> = match self.past.owners(address, sighting.time) {
                Some(owners) => owners.iter().collect(),
                None => compiler.owners(address).collect(),
            };
            owners.sort_unstable_by_key(|pod| &pod.key);
            owners
        };
        let mut ends = Ends {
            source: owners(sighting.packet.map(|packet| packet.source)),
            destination: owners(sighting.packet.map(|packet| packet.destination)),
            astray: None,
        };
        // Whose chain it was is certain, whoever has the address by now.
        if let DropOf::Pod(id) = sighting.point.of
            && let Some(subject) = self.pod(id, compiler.snapshot())
        {
            let end = match sighting.point.direction {
                Direction::Egress => &mut ends.source,
                Direction::Ingress => &mut ends.destination,
            };
            let same_life = |pod: &&&Pod| pod.key == subject.key && pod.uid == subject.uid;
            let owner = end.iter().find(same_life).copied();
            *end = vec![owner.unwrap_or(subject)];
            ends.astray = owner.is_none().then_some(subject);
        }
        ends
    }

    fn end(&self, address: Option<IpAddr>, owners: &[&Pod]) -> End {
        let who = match owners {
            [] => {
                let node = address.and_then(|address| self.nodes.node(address));
                node.map_or(Who::World, |node| Who::Node(node.clone()))
            }
            [pod] => Who::Pod(Box::new(PodEnd {
                key: pod.key.clone(),
                uid: pod.uid.clone(),
                labels: pod.labels.clone(),
                workload: pod.workload.clone(),
                node: pod.node.clone(),
            })),
            pods => Who::Contested(pods.iter().map(|pod| pod.key.clone()).collect()),
        };
        End { address, who }
    }
}

/// Whether a packet was dropped whatever the policies say of it.
fn is_beside_policies(of: DropOf) -> bool {
    matches!(
        of,
        DropOf::NotProgrammed | DropOf::ForgedSource | DropOf::Cut
    )
}

fn interface(index: u32) -> Interface {
    // It may have gone with its pod.
    let name = if_indextoname(index).ok();
    Interface {
        index,
        name: name.map(|name| name.to_string_lossy().into_owned()),
    }
}
