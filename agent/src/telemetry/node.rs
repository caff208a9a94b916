//! What was found amiss with the node.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::gauge::gauge;

#[derive(Debug, Default)]
pub(super) struct Node {
    findings: Family<[(&'static str, &'static str); 1], Gauge>,
}

impl Node {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "node_findings",
            "What keeps policies from being enforced on this node (error), or may (warning), as `netpol doctor` tells it",
            self.findings.clone(),
        );
        self.set(0, 0);
    }

    pub(super) fn set(&self, warnings: usize, errors: usize) {
        for (level, count) in [("warning", warnings), ("error", errors)] {
            self.findings
                .get_or_create(&[("level", level)])
                .set(gauge(count));
        }
    }
}
