//! What became of connections that policies allow no longer.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::revoke::Tally;

/// From a few connections of one pod to a node's hundreds of thousands.
const PASS_SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

#[derive(Debug)]
pub(super) struct Connections {
    examined: Counter,
    cut: Counter,
    restored: Counter,
    forgotten: Counter,
    failures: Counter,
    pass_seconds: Histogram,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            examined: Counter::default(),
            cut: Counter::default(),
            restored: Counter::default(),
            forgotten: Counter::default(),
            failures: Counter::default(),
            pass_seconds: Histogram::new(PASS_SECONDS),
        }
    }
}

impl Connections {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections_cut",
            "Connections that were cut, because no policy allowed them any more",
            self.cut.clone(),
        );
        registry.register(
            "connections_restored",
            "Connections that had been cut and were allowed again before they had ended",
            self.restored.clone(),
        );
        registry.register(
            "connections_forgotten",
            "Connections that were deleted, because the pod at one end had gone",
            self.forgotten.clone(),
        );
        registry.register(
            "connections_examined",
            "Connections that were judged after a change, those of the addresses that it concerned",
            self.examined.clone(),
        );
        registry.register(
            "revocation_failures",
            "Times that connections could not be looked at, or not all of them",
            self.failures.clone(),
        );
        registry.register_with_unit(
            "revocation",
            "How long it took to find the connections that a change concerned, to judge and to cut them",
            Unit::Seconds,
            self.pass_seconds.clone(),
        );
    }

    pub(super) fn looked(&self, tally: Tally, took: Duration) {
        self.examined.inc_by(tally.examined);
        self.cut.inc_by(tally.cut);
        self.restored.inc_by(tally.restored);
        self.forgotten.inc_by(tally.forgotten);
        self.pass_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }
}
