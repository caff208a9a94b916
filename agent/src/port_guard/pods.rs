//! The pods of this node, by address.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy_compiler::index::Event;
use policy_compiler::model::{NodeScope, ObjectKey, PodAddresses};
use policy_compiler::ruleset::PodId;

use super::bindings::Owners;

/// What the guard is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    pub(crate) owners: Arc<Owners>,
    pub(crate) names: Arc<BTreeMap<PodId, ObjectKey>>,
}

/// Pods with an address of the pod network.
#[derive(Debug, Default)]
pub(crate) struct LocalPods {
    pods: BTreeMap<ObjectKey, (PodId, PodAddresses)>,
    /// Whose an address was said to be last: of several that claim it, who came first has it.
    owners: Owners,
}

impl LocalPods {
    /// Says whether anything is different now.
    pub(super) fn take(&mut self, event: &Event, scope: &NodeScope) -> bool {
        match event {
            Event::Pod(pod) => {
                let addresses = pod.network_addresses();
                if addresses.is_empty() || !scope.is_local(pod) {
                    return self.pods.remove(&pod.key).is_some();
                }
                let now = (PodId::of(&pod.key, &pod.uid), addresses);
                self.pods.insert(pod.key.clone(), now) != Some(now)
            }
            Event::PodDeleted(key) => self.pods.remove(key).is_some(),
            _ => false,
        }
    }

    pub(super) fn published(&mut self) -> Published {
        let mut owners = Owners::new();
        for (id, addresses) in self.pods.values() {
            for address in addresses.iter() {
                let before = self.owners.get(&address);
                let owner = owners.entry(address).or_insert(*id);
                if before == Some(id) {
                    *owner = *id;
                }
            }
        }
        self.owners.clone_from(&owners);
        let names = self.pods.iter().map(|(key, (id, _))| (*id, key.clone()));
        Published {
            owners: Arc::new(owners),
            names: Arc::new(names.collect()),
        }
    }
}

/// Whose addresses these are, where nothing was before.
pub(super) fn owners<'a>(
    pods: impl Iterator<Item = (&'a ObjectKey, &'a str, PodAddresses)>,
) -> Owners {
    let mut owners = Owners::new();
    for (key, uid, addresses) in pods {
        for address in addresses.iter() {
            let _: &mut PodId = owners.entry(address).or_insert_with(|| PodId::of(key, uid));
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use policy_compiler::decode;
    use policy_compiler::model::Name;
    use serde_json::json;

    use super::*;

    fn event(name: &str, uid: &str, node: &str, address: &str, phase: &str) -> Event {
        let pod = json!({
            "metadata": {"namespace": "shop", "name": name, "uid": uid},
            "spec": {"nodeName": node},
            "status": {"phase": phase, "podIPs": [{"ip": address}]},
        });
        Event::Pod(decode::pod(&pod).object.expect("a pod"))
    }

    #[test]
    fn who_came_first_has_an_address_as_long_as_it_does() {
        let scope = NodeScope::Node(Name::parse("here").expect("a name"));
        let mut pods = LocalPods::default();
        let owner = |pods: &mut LocalPods| {
            let published = pods.published();
            let id = published
                .owners
                .get(&"10.0.0.1".parse().expect("an address"));
            id.map(|id| published.names[id].name.to_string())
        };
        let mut take = |event: &Event| {
            let is_new = pods.take(event, &scope);
            (is_new, owner(&mut pods))
        };
        let web = Some("web".to_owned());
        let row = event("web", "1", "here", "10.0.0.1", "Running");
        assert_eq!(take(&row), (true, web.clone()));
        assert_eq!(take(&row), (false, web.clone()));
        let row = event("api", "2", "here", "10.0.0.1", "Running");
        assert_eq!(take(&row), (true, web.clone()));
        let row = event("far", "3", "there", "10.0.0.1", "Running");
        assert_eq!(take(&row), (false, web));
        let row = event("web", "1", "here", "10.0.0.1", "Succeeded");
        assert_eq!(take(&row), (true, Some("api".to_owned())));
        let gone = Event::PodDeleted("shop/api".parse().expect("a key"));
        assert_eq!(take(&gone), (true, None));
    }
}
