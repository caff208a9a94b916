//! Metrics of the source guard of bridges.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::gauge::gauge;
use crate::port_guard::Guarded;

type Labels = [(&'static str, &'static str); 1];

#[derive(Debug, Default)]
pub(super) struct Ports {
    forged: Family<Labels, Counter>,
    pods: Family<Labels, Gauge>,
}

impl Ports {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "bridge_forged_packets",
            "Packets that were dropped at a bridge's port: with an address that is bound to another (source), that claim \
             one, or to be a router, in ARP or neighbour discovery (neighbour), tagged so that netfilter would not see them (tagged)",
            self.forged.clone(),
        );
        registry.register(
            "bridge_guarded_pods",
            "Pods of this node whose addresses are bound to their port of a bridge, or are not: they hang on no bridge, or \
             no address is found in them",
            self.pods.clone(),
        );
        self.dropped([("source", 0), ("neighbour", 0), ("tagged", 0)]);
        self.set(Guarded::default());
    }

    pub(super) fn dropped(&self, packets: [(&'static str, u64); 3]) {
        for (kind, count) in packets {
            self.forged.get_or_create(&[("kind", kind)]).inc_by(count);
        }
    }

    pub(super) fn set(&self, guarded: Guarded) {
        for (state, count) in [("bound", guarded.bound), ("unbound", guarded.unbound)] {
            self.pods
                .get_or_create(&[("state", state)])
                .set(gauge(count));
        }
    }
}
