//! Pods: started with the lab, or later.

use std::collections::BTreeMap;

use super::build::EVERYWHERE;
use super::links::wait_for_links;
use super::spec::{NODES, NodeSpec, Place, PodSpec};
use super::{Lab, LabError, Netns};

impl Lab {
    /// Starts pods: their namespaces, links and receivers.
    pub fn add_pods(&mut self, pods: Vec<PodSpec>) -> Result<(), LabError> {
        let mut plugs = BTreeMap::<&str, String>::new();
        let mut started = Vec::new();
        for pod in pods {
            let node = node_spec(&pod.node).ok_or_else(|| {
                LabError::Spec(format!("pod {}: there is no node {}", pod.key, pod.node))
            })?;
            self.check_addresses(&pod)?;
            // The kernel cuts thread names after 15 bytes; the namespace of a pod is the same in all of a test's pods.
            let netns = Netns::new(pod.key.split_once('/').map_or(&*pod.key, |(_, name)| name))?;
            netns.sysctl(EVERYWHERE)?;
            let port = format!("pod{}", self.plugged);
            self.plugged += 1;
            plugs
                .entry(node.name)
                .or_default()
                .push_str(&self.topology.plug(&pod, &port, &netns.path()));
            started.push((pod, node, netns));
        }
        let plugged: Vec<_> = plugs
            .iter()
            .map(|(node, lines)| {
                Ok(self
                    .host(&Place::node(node))?
                    .netns
                    .run_later(&["ip", "-batch", "-"], lines))
            })
            .collect::<Result<_, LabError>>()?;
        for answer in plugged {
            answer
                .recv()
                .map_err(|_| LabError::Ended("a node".to_owned()))??;
        }
        let configured: Vec<_> = started
            .iter()
            .map(|(pod, node, netns)| {
                netns.run_later(&["ip", "-batch", "-"], &self.topology.pod_links(node, pod))
            })
            .collect();
        for ((pod, _, netns), answer) in started.into_iter().zip(configured) {
            answer
                .recv()
                .map_err(|_| LabError::Ended(pod.key.clone()))??;
            let (place, addresses) = (Place::Pod(pod.key.clone()), pod.addresses.clone());
            self.spec.pods.push(pod);
            self.settle(place, netns, addresses)?;
        }
        let places = self.hosts.values().map(|host| &host.netns);
        wait_for_links(places.chain([&self.wire]))
    }

    /// Ends a pod; its interfaces go with its namespace.
    pub fn remove_pod(&mut self, key: &str) -> Result<(), LabError> {
        let place = Place::pod(key);
        let host = self
            .hosts
            .remove(&place)
            .ok_or_else(|| LabError::NoSuchPlace(key.to_owned()))?;
        // The kernel takes namespaces apart at leisure; without its device the node's route goes at once.
        host.netns.ip("link delete eth0\n")?;
        self.spec.pods.retain(|pod| pod.key != key);
        self.listening.retain(|(at, ..)| *at != place);
        Ok(())
    }

    fn check_addresses(&self, pod: &PodSpec) -> Result<(), LabError> {
        for &address in &pod.addresses {
            if let Some(owner) = self.owner(address) {
                return Err(LabError::Spec(format!(
                    "pod {}: {address} is the address of {owner}",
                    pod.key
                )));
            }
        }
        Ok(())
    }
}

fn node_spec(name: &str) -> Option<&'static NodeSpec> {
    NODES.iter().find(|node| node.name == name)
}
