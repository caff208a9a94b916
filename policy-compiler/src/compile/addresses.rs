//! Which pods claim an address.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::model::Pod;

/// The live pods by address. Ordinarily an address is one pod's alone; while the API server still shows a pod whose
/// address was given to another, two claim it, and neither can be told from the other (semantics rule F9).
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    // There may be hundreds of thousands: IPv4 addresses do not take the room of IPv6 ones.
    v4: HashMap<Ipv4Addr, Arc<Pod>>,
    v6: HashMap<Ipv6Addr, Arc<Pod>>,
    /// The addresses with several claimants, which are not above: ordinarily none.
    contested: BTreeMap<IpAddr, Vec<Arc<Pod>>>,
}

impl Claims {
    /// The claims of all `pods`.
    pub(crate) fn of_all<'a>(pods: impl Iterator<Item = &'a Arc<Pod>>) -> Self {
        let mut claims = Self::default();
        pods.for_each(|pod| claims.add(pod));
        claims
    }

    /// Adds the claims of a pod that has none here yet.
    pub(crate) fn add(&mut self, pod: &Arc<Pod>) {
        for address in pod.network_addresses().iter() {
            if let Some(pods) = self.contested.get_mut(&address) {
                pods.push(pod.clone());
            } else if let Some(first) = self.insert(address, pod) {
                self.take(address);
                self.contested.insert(address, vec![first, pod.clone()]);
            }
        }
    }

    /// Removes the claims of a pod.
    pub(crate) fn remove(&mut self, pod: &Pod) {
        for address in pod.network_addresses().iter() {
            let Some(pods) = self.contested.get_mut(&address) else {
                if self.claimants(address).iter().any(|p| p.key == pod.key) {
                    self.take(address);
                }
                continue;
            };
            pods.retain(|other| other.key != pod.key);
            if let [last] = pods.as_slice() {
                let last = last.clone();
                self.contested.remove(&address);
                self.insert(address, &last);
            }
        }
    }

    /// Returns who had the address.
    fn insert(&mut self, address: IpAddr, pod: &Arc<Pod>) -> Option<Arc<Pod>> {
        match address {
            IpAddr::V4(v4) => self.v4.insert(v4, pod.clone()),
            IpAddr::V6(v6) => self.v6.insert(v6, pod.clone()),
        }
    }

    fn take(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.v4.remove(&v4),
            IpAddr::V6(v6) => self.v6.remove(&v6),
        };
    }

    /// Who claims `address`.
    pub(crate) fn claimants(&self, address: IpAddr) -> &[Arc<Pod>] {
        let sole = match address {
            IpAddr::V4(v4) => self.v4.get(&v4),
            IpAddr::V6(v6) => self.v6.get(&v6),
        };
        match sole {
            Some(pod) => std::slice::from_ref(pod),
            None => self.contested.get(&address).map_or(&[], Vec::as_slice),
        }
    }

    /// The addresses of `pod` that nobody else claims.
    pub(crate) fn sole_addresses<'a>(&'a self, pod: &Pod) -> impl Iterator<Item = IpAddr> + 'a {
        pod.network_addresses()
            .iter()
            .filter(|address| self.claimants(*address).len() == 1)
    }

    /// The addresses with several claimants.
    pub(crate) fn contested(&self) -> impl Iterator<Item = (IpAddr, &[Arc<Pod>])> {
        let contested = self.contested.iter();
        contested.map(|(address, pods)| (*address, pods.as_slice()))
    }
}
