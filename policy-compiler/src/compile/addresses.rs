//! Which pods claim an address.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::{ObjectKey, Pod};

/// The live pods by address. Ordinarily an address is one pod's alone; while the API server still shows a pod whose
/// address was given to another, two claim it, and neither can be told from the other (semantics rule F9).
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    by_address: HashMap<IpAddr, Claimants>,
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
            self.by_address
                .entry(address)
                .and_modify(|claimants| claimants.add(&pod.key))
                .or_insert_with(|| Claimants::One(pod.key.clone()));
        }
    }

    /// Removes the claims of a pod.
    pub(crate) fn remove(&mut self, pod: &Pod) {
        for address in pod.network_addresses().iter() {
            if self
                .by_address
                .get_mut(&address)
                .is_some_and(|claimants| claimants.remove(&pod.key))
            {
                self.by_address.remove(&address);
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

    /// The addresses with several claimants, in no order.
    pub(crate) fn contested(&self) -> impl Iterator<Item = (IpAddr, &[ObjectKey])> {
        self.by_address
            .iter()
            .filter_map(|(address, claimants)| match claimants {
                Claimants::One(_) => None,
                Claimants::Several(keys) => Some((*address, keys.as_slice())),
            })
    }
}

impl Claimants {
    fn add(&mut self, key: &ObjectKey) {
        match self {
            Self::One(first) => *self = Self::Several(vec![first.clone(), key.clone()]),
            Self::Several(keys) => keys.push(key.clone()),
        }
    }

    /// Removes a claimant; tells whether nobody is left.
    fn remove(&mut self, key: &ObjectKey) -> bool {
        match self {
            Self::One(only) => only == key,
            Self::Several(keys) => {
                keys.retain(|k| k != key);
                if let [last] = keys.as_slice() {
                    *self = Self::One(last.clone());
                }
                false
            }
        }
    }
}
