//! Who an endpoint is: the pod behind an address, a node, or somebody policies know only by address.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use super::Endpoint;
use crate::model::{Name, ObjectKey, Pod, Snapshot};

/// Who stands at one end of a flow, as reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// The one live pod that has the address.
    Pod(ObjectKey),
    /// The address, and the several live pods that claim it: nobody can tell whose packets these are, so the address
    /// counts as no pod's where that denies and as every claimant's where that denies (semantics rule F9).
    Contested(IpAddr, Vec<ObjectKey>),
    /// A process on a node.
    Node(Name, IpAddr),
    /// An address that is no live pod's: an outside host, another machine's node, a pod that has ended.
    Outside(IpAddr),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(key) => key.fmt(f),
            Self::Contested(address, claimants) => {
                write!(f, "{address} (claimed by ")?;
                for (i, key) in claimants.iter().enumerate() {
                    write!(f, "{}{key}", if i == 0 { "" } else { " and " })?;
                }
                f.write_str(")")
            }
            Self::Node(name, address) => write!(f, "node {name} ({address})"),
            Self::Outside(address) => address.fmt(f),
        }
    }
}

/// An endpoint and who it turned out to be.
#[derive(Debug)]
pub(super) struct End<'a> {
    pub(super) address: IpAddr,
    pub(super) who: Who<'a>,
}

#[derive(Debug)]
pub(super) enum Who<'a> {
    Pod(&'a Pod),
    Contested(Vec<&'a Pod>),
    Node(&'a Name),
    Outside,
}

impl<'a> End<'a> {
    /// An endpoint, given the live pods that have its address.
    pub(super) fn new(endpoint: &'a Endpoint, owners: &[&'a Pod]) -> Self {
        let who = match endpoint {
            Endpoint::Node { name, .. } => Who::Node(name),
            Endpoint::Address(_) => match owners {
                [] => Who::Outside,
                [pod] => Who::Pod(pod),
                pods => Who::Contested(pods.to_vec()),
            },
        };
        Self {
            address: endpoint.address(),
            who,
        }
    }

    /// The pods whose policies apply to what this end does: none, one, or all who claim the address (rule F9).
    pub(super) fn claimants(&self) -> &[&'a Pod] {
        match &self.who {
            Who::Pod(pod) => std::slice::from_ref(pod),
            Who::Contested(pods) => pods,
            Who::Node(_) | Who::Outside => &[],
        }
    }

    pub(super) fn to_party(&self) -> Party {
        match &self.who {
            Who::Pod(pod) => Party::Pod(pod.key.clone()),
            Who::Contested(pods) => Party::Contested(
                self.address,
                pods.iter().map(|pod| pod.key.clone()).collect(),
            ),
            Who::Node(name) => Party::Node((*name).clone(), self.address),
            Who::Outside => Party::Outside(self.address),
        }
    }
}

/// The live pods behind each address. Pods that have ended and pods on the node's network have none
/// (semantics rules F1, F2 and L5); pending and terminating ones do (F3, F4).
#[derive(Debug)]
pub(super) struct AddressBook<'a> {
    owners: HashMap<IpAddr, Vec<&'a Pod>>,
}

impl<'a> AddressBook<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let mut owners: HashMap<IpAddr, Vec<&'a Pod>> = HashMap::new();
        for pod in snapshot.pods.values() {
            for address in pod.network_addresses().iter() {
                owners.entry(address).or_default().push(pod);
            }
        }
        Self { owners }
    }

    /// The pods behind an address, several if it is contested.
    pub(super) fn owners(&self, address: IpAddr) -> &[&'a Pod] {
        self.owners.get(&address).map_or(&[], Vec::as_slice)
    }
}
