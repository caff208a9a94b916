//! A built lab: its places, and who has which address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::agent::Agent;
use super::packet::{IpProtocol, Token};
use super::receive::{Arrivals, Sniffer};
use super::sender::Tokens;
use super::{LabError, LabSpec, Netns, Place, Topology};

/// A network namespace with its addresses and receivers.
#[derive(Debug)]
pub struct Host {
    pub(super) netns: Netns,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) sniffers: Vec<Arc<Sniffer>>,
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
    pub(super) topology: Topology,
    pub(super) spec: LabSpec,
    // Dropped in this order: agents end before the namespaces they are in.
    pub(super) agents: BTreeMap<String, Agent>,
    pub(super) hosts: BTreeMap<Place, Host>,
    pub(super) wire: Netns,
    pub(super) arrivals: Arc<Arrivals>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) listening: BTreeSet<(Place, IpProtocol, u16)>,
    /// Numbers the nodes' interfaces to pods.
    pub(super) plugged: usize,
    pub(super) directory: TempDir,
}

impl Lab {
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
        self.hosts
            .get(place)
            .ok_or_else(|| LabError::NoSuchPlace(place.to_string()))
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
        self.hosts
            .iter()
            .find(|(_, host)| host.addresses.contains(&address))
            .map(|(place, _)| place)
    }

    /// The node a pod runs on.
    pub fn node_of(&self, place: &Place) -> Option<Place> {
        let Place::Pod(key) = place else { return None };
        let pod = self.spec.pods.iter().find(|pod| pod.key == *key)?;
        Some(Place::node(&pod.node))
    }
}
