//! What is bound, what the table holds, and how one follows from the other.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use policy_compiler::ruleset::{DropLog, PodId};
use tracing::{info, warn};

use super::bindings::{Binding, Bindings, Conflict, Owners, Spaces, bind, kept, unknown};
use super::pods::Published;
use super::ports::{Lookout, NodeSide};
use crate::dataplane::NetlinkError;
use crate::dataplane::netlink::ports::{Content, Drops, PortTable};

/// How far the guard reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// Pods that are bound to a port.
    pub bound: usize,
    /// Pods of this node that are not: they hang on no bridge, or have no address in their network namespace.
    pub unbound: usize,
    /// Ports that no pod is bound to.
    pub idle_ports: usize,
}

/// Why a look did not end well. What was bound stays so.
#[derive(Debug, thiserror::Error)]
pub(super) enum GuardError {
    #[error(
        "the ports of bridges cannot be looked at: {0}; allow the agent netlink sockets (seccomp, SELinux)"
    )]
    Links(#[from] io::Error),
    #[error("ports of bridges cannot be guarded: {0}")]
    Table(#[from] NetlinkError),
}

/// What is known of the table.
#[derive(Debug)]
enum Known {
    /// Nothing: it has not been read, or a commit failed.
    Nothing,
    Absent,
    Holds(Content),
}

/// The guard of one network namespace.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) table: PortTable,
    pub(super) lookout: Lookout,
    bindings: Bindings,
    known: Known,
    /// What an earlier agent has bound was taken over.
    has_begun: bool,
    told: BTreeSet<Conflict>,
    is_unreadable: bool,
}

impl Guard {
    pub(super) fn open(log: Option<DropLog>) -> Result<Self, NetlinkError> {
        let lookout = Lookout::open()
            .map_err(|source| NetlinkError::socket("opening a netlink socket", source))?;
        Ok(Self {
            table: PortTable::open(log)?,
            lookout,
            bindings: Bindings::new(),
            known: Known::Nothing,
            has_begun: false,
            told: BTreeSet::new(),
            is_unreadable: false,
        })
    }

    pub(super) fn remove(&mut self) -> Result<bool, NetlinkError> {
        self.table.remove()
    }

    /// Whether there is a table.
    pub(super) fn has_table(&self) -> bool {
        matches!(self.known, Known::Holds(_))
    }

    /// Packets dropped since the table was made.
    pub(super) fn dropped(&mut self) -> Option<Drops> {
        self.table.dropped().ok()
    }

    /// Whether all of these are bound that are pods' at all.
    pub(super) fn has_bound(&self, addresses: &[IpAddr]) -> bool {
        addresses
            .iter()
            .all(|address| self.bindings.contains_key(address))
    }

    /// Takes up what is bound in the kernel.
    fn begin(&mut self) -> Result<(), NetlinkError> {
        let found = self.table.read()?;
        self.known = match found {
            Some(found) => {
                let bound = found.content.bound.iter();
                self.bindings = bound
                    .map(|(port, address)| {
                        let binding = Binding {
                            port: *port,
                            pod: None,
                        };
                        (*address, binding)
                    })
                    .collect();
                if found.is_right {
                    Known::Holds(found.content)
                } else {
                    Known::Nothing
                }
            }
            None => Known::Absent,
        };
        self.has_begun = true;
        Ok(())
    }

    /// Looks at the ports, binds what can be bound, and makes the table so.
    pub(super) fn look(&mut self, pods: &Published) -> Result<Guarded, GuardError> {
        if !self.has_begun {
            self.begin()?;
        }
        let side = self.lookout.node_side()?;
        let owners = &*pods.owners;
        self.bindings = kept(&self.bindings, &side.ports, owners);
        let spaces = self.spaces(&side, owners);
        let conflicts = bind(&mut self.bindings, &side.ports, owners, &spaces);
        self.tell(&conflicts, &side, pods);
        self.write(content(&self.bindings, &side))?;
        Ok(guarded(&self.bindings, &side, owners))
    }

    /// What is configured behind the ports that somebody may be bound to yet.
    pub(super) fn spaces(&mut self, side: &NodeSide, owners: &Owners) -> Spaces {
        let mut spaces = Spaces::new();
        let (mut trouble, mut has_read) = (None, false);
        for space in unknown(&self.bindings, &side.ports, owners) {
            match self.lookout.behind(space) {
                Ok(configured) => {
                    has_read = true;
                    spaces.insert(space, configured);
                }
                // It may just have gone.
                Err(error) => trouble = Some(error),
            }
        }
        if has_read {
            self.is_unreadable = false;
        } else if let Some(error) = trouble
            && !std::mem::replace(&mut self.is_unreadable, true)
        {
            warn!(%error, "the addresses behind bridges' ports cannot be read, so no pod is bound to its port: pods of \
                a bridge may use each other's addresses");
        }
        spaces
    }

    /// Logs who has another's address, once.
    fn tell(&mut self, conflicts: &BTreeSet<Conflict>, side: &NodeSide, pods: &Published) {
        for conflict in conflicts.difference(&self.told) {
            let port = side.ports.iter().find(|port| port.index == conflict.port);
            let port = port.map_or("", |port| port.name.as_str());
            let owner = pods.owners.get(&conflict.address);
            let pod = owner.and_then(|id| pods.names.get(id));
            let pod = pod.map(ToString::to_string).unwrap_or_default();
            warn!(
                port,
                address = %conflict.address,
                pod,
                "forged: an address of this pod is configured behind a port that is not its own, and gains nothing there"
            );
        }
        self.told.clone_from(conflicts);
    }

    fn write(&mut self, content: Content) -> Result<(), NetlinkError> {
        let known = std::mem::replace(&mut self.known, Known::Nothing);
        if content.is_empty() {
            if !matches!(known, Known::Absent) && self.table.remove()? {
                info!(
                    "no pod is bound to a bridge's port any more; table bridge netpol is removed"
                );
            }
            self.known = Known::Absent;
            return Ok(());
        }
        match &known {
            Known::Holds(held) if *held == content => {}
            Known::Holds(held) => {
                if let Err(error) = self.table.write(Some(held), &content) {
                    warn!(%error, "table bridge netpol could not be changed; writing it anew");
                    self.table.write(None, &content)?;
                }
            }
            Known::Absent | Known::Nothing => {
                self.table.write(None, &content)?;
                let (addresses, ports) = (content.bound.len(), content.pods.len());
                info!(
                    addresses,
                    ports,
                    "pods' addresses are bound to their ports; table bridge netpol is in force"
                );
            }
        }
        self.known = Known::Holds(content);
        Ok(())
    }

    /// Looks whether the table is as it was left. If it is not, the next look makes it anew.
    pub(super) fn compare(&mut self) -> Result<(), NetlinkError> {
        if matches!(self.known, Known::Nothing) {
            return Ok(());
        }
        let found = self.table.read()?;
        let is_as_left = match (&self.known, &found) {
            (Known::Holds(held), Some(found)) => found.is_right && found.content == *held,
            (Known::Holds(_), None) => false,
            (_, found) => found.is_none(),
        };
        if !is_as_left {
            let is_gone = found.is_none();
            warn!(
                is_gone,
                "another program has changed table bridge netpol; putting it right"
            );
            self.known = Known::Nothing;
        }
        Ok(())
    }
}

pub(super) fn content(bindings: &Bindings, side: &NodeSide) -> Content {
    let bound = bindings.iter();
    Content {
        guarded: bindings.keys().chain(&side.gateways).copied().collect(),
        bound: bound
            .map(|(address, binding)| (binding.port, *address))
            .collect(),
        pods: bindings.values().map(|binding| binding.port).collect(),
        passages: side.passages.clone(),
    }
}

fn guarded(bindings: &Bindings, side: &NodeSide, owners: &Owners) -> Guarded {
    let pods: BTreeSet<PodId> = owners.values().copied().collect();
    let bound: BTreeSet<PodId> = bindings
        .values()
        .filter_map(|binding| binding.pod)
        .collect();
    let used: BTreeSet<u32> = bindings.values().map(|binding| binding.port).collect();
    let idle = side.ports.iter().filter(|port| !used.contains(&port.index));
    Guarded {
        bound: bound.len(),
        unbound: pods.difference(&bound).count(),
        idle_ports: idle.count(),
    }
}
