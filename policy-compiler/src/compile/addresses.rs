//! Which pods claim an address.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::model::{ObjectKey, Pod};

/// The live pods by address. Ordinarily an address is one pod's alone; while the API server still shows a pod whose
/// address was given to another, two claim it, and neither can be told from the other (semantics rule F9).
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    by_address: HashMap<IpAddr, Claimants>,
    /// The addresses with several claimants: ordinarily none.
    contested: BTreeSet<IpAddr>,
}

#[derive(Clone, Debug)]
enum Claimants {
    One(ObjectKey),
    /// At least two.
    Several(Vec<ObjectKey>),
}

impl Claims {
    /// The claims of all `pods`.
    pub(crate) fn of_all<'a>(pods: impl Iterator<Item = &'a Pod>) -> Self {
        let mut claims = Self::default();
        pods.for_each(|pod| claims.add(pod));
        claims
    }

    /// Adds the claims of a pod that has none here yet.
    pub(crate) fn add(&mut self, pod: &Pod) {
        for address in pod.network_addresses().iter() {
            match self.by_address.entry(address) {
                Entry::Vacant(free) => {
                    free.insert(Claimants::One(pod.key.clone()));
                }
                Entry::Occupied(mut taken) => {
                    taken.get_mut().add(&pod.key);
                    self.contested.insert(address);
                }
            }
        }
    }

    /// Removes the claims of a pod.
    pub(crate) fn remove(&mut self, pod: &Pod) {
        for address in pod.network_addresses().iter() {
            let Entry::Occupied(mut taken) = self.by_address.entry(address) else {
                continue;
            };
            match taken.get_mut().remove(&pod.key) {
                0 => {
                    taken.remove();
                }
                1 => {
                    self.contested.remove(&address);
                }
                _ => {}
            }
        }
    }

    /// Who claims `address`.
    pub(crate) fn claimants(&self, address: IpAddr) -> &[ObjectKey] {
        match self.by_address.get(&address) {
            None => &[],
            Some(Claimants::One(key)) => std::slice::from_ref(key),
            Some(Claimants::Several(keys)) => keys,
        }
    }

    /// The addresses of `pod` that nobody else claims.
    pub(crate) fn sole_addresses<'a>(&'a self, pod: &Pod) -> impl Iterator<Item = IpAddr> + 'a {
        pod.network_addresses()
            .iter()
            .filter(|address| self.claimants(*address).len() == 1)
    }

    /// The addresses with several claimants.
    pub(crate) fn contested(&self) -> impl Iterator<Item = (IpAddr, &[ObjectKey])> {
        self.contested
            .iter()
            .map(|address| (*address, self.claimants(*address)))
    }
}

impl Claimants {
    fn add(&mut self, key: &ObjectKey) {
        match self {
            Self::One(first) => *self = Self::Several(vec![first.clone(), key.clone()]),
            Self::Several(keys) => keys.push(key.clone()),
        }
    }

    /// Removes a claimant; tells how many are left.
    fn remove(&mut self, key: &ObjectKey) -> usize {
        match self {
            Self::One(only) => usize::from(only != key),
            Self::Several(keys) => {
                keys.retain(|k| k != key);
                let left = keys.len();
                if let [last] = keys.as_slice() {
                    *self = Self::One(last.clone());
                }
                left
            }
        }
    }
}
