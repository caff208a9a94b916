//! Metrics of the table, and of what is sent to the kernel to make it so.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::gauge::gauge;

type Labels = [(&'static str, &'static str); 1];

/// How much of each there is in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSize {
    /// Chains.
    pub chains: usize,
    /// Rules of all chains.
    pub rules: usize,
    /// Sets that have a name.
    pub sets: usize,
    /// Verdict maps.
    pub maps: usize,
    /// Elements of those sets and maps.
    pub elements: usize,
    /// Named counters.
    pub counters: usize,
}

impl TableSize {
    fn by_kind(self) -> [(&'static str, usize); 6] {
        [
            ("chains", self.chains),
            ("rules", self.rules),
            ("sets", self.sets),
            ("maps", self.maps),
            ("elements", self.elements),
            ("counters", self.counters),
        ]
    }
}

/// Elements of sets and maps that a transaction moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    /// It puts them in.
    pub added: usize,
    /// It takes them out one by one, not with the set that they are in.
    pub deleted: usize,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    objects: Family<Labels, Gauge>,
    added: Counter,
    deleted: Counter,
    sent: Counter,
}

impl Table {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "table_objects",
            "What table inet netpol holds since it was last written, by kind: chains, rules, named sets, verdict maps, \
             elements of those sets and maps, named counters",
            self.objects.clone(),
        );
        registry.register(
            "elements_added",
            "Elements that transactions put into sets and maps",
            self.added.clone(),
        );
        registry.register(
            "elements_deleted",
            "Elements that transactions took out of sets and maps, but for those that went with the set",
            self.deleted.clone(),
        );
        registry.register_with_unit(
            "sent",
            "Bytes of transactions handed to nftables in netlink batches, taken or refused",
            Unit::Bytes,
            self.sent.clone(),
        );
        self.set_size(TableSize::default());
    }

    pub(super) fn set_size(&self, size: TableSize) {
        for (kind, count) in size.by_kind() {
            self.objects
                .get_or_create(&[("kind", kind)])
                .set(gauge(count));
        }
    }

    pub(super) fn moved(&self, elements: Elements) {
        for (counter, count) in [
            (&self.added, elements.added),
            (&self.deleted, elements.deleted),
        ] {
            counter.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// `bytes` is cumulative.
    pub(super) fn set_sent(&self, bytes: u64) {
        self.sent.inc_by(bytes.saturating_sub(self.sent.get()));
    }
}
